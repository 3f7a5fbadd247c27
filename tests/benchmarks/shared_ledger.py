"""
What a shared ledger costs: pairs of a hold and its bill a second, the time that it adds to a request, and what a server that
stops answering does to requests.

Everything runs on loopback. Three processes share one budget and never pause. The times of requests are taken in turns, and what
a ledger adds is the difference to a proxy that keeps its ledger in a file: of medians, and of the CPU time of proxy and server.
On a busy machine only CPU time says something.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import Reserve, Settle
from savemode_cli.core.money.amounts import MOST_NUSD
from savemode_cli.ledgers import connected_ledger
from tests.benchmarks.bodies import KB, agent_body
from tests.benchmarks.client import Client
from tests.benchmarks.processes import ROOT, Running, free_port, python, started
from tests.benchmarks.tables import columns, fixed, median, note, options, show_json
from tests.support.servers import PostgresServer, RedisServer, new_name, running_postgres, running_redis

PROCESSES = 3
WARM = 20
BATCHES = (1, 20, 64)
EACH_S = 0.02
FROZEN_S = 2.0

Server = RedisServer | PostgresServer


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How long each figure is measured, and how many requests are timed.
    """

    seconds: float
    requests: int


FULL, QUICK = Plan(3, 400), Plan(1, 80)


def main() -> None:
    """
    The tables.
    """
    if sys.argv[1:2] == ["--worker"]:
        url, name, seconds, batch = sys.argv[2:]
        asyncio.run(work(url, name, float(seconds), int(batch)))
        return
    parser = options(__doc__)
    chosen = parser.parse_args()
    plan = QUICK if chosen.quick else FULL
    with running_redis() as redis, running_postgres() as postgres:
        servers: dict[str, Server] = {"redis": redis, "postgresql": postgres}
        pairs = {
            (name, batch): pairs_a_second(server, batch, plan.seconds)
            for batch in BATCHES
            for name, server in servers.items()
        }
        figures = asyncio.run(added(servers, plan.requests))
        stalls = {name: asyncio.run(stalled(server)) for name, server in servers.items()}
    if chosen.json:
        rows = [{"server": name, "batch": batch} | figures for (name, batch), figures in pairs.items()]
        show_json({"pairs": rows, "added": figures, "longest_wait_ms": stalls})
        return
    _print(pairs, figures, stalls)


def _print(
    pairs: dict[tuple[str, int], dict[str, float]],
    added: dict[str, dict[str, float]],
    stalls: dict[str, dict[str, float]],
) -> None:
    cells = [
        (
            f"{name}, batches of {batch}",
            fixed(one["per_s"], 0),
            fixed(one["client_us"], 0),
            fixed(one["server_us"], 0),
            fixed(1e6 / one["server_us"], 0),
        )
        for (name, batch), one in pairs.items()
    ]
    title = f"Pairs of a hold and its bill, {PROCESSES} processes on one budget"
    print(columns(title, ("server", "a second", "client us", "server us", "a core a s"), cells))
    print()
    costs = [
        (name, fixed(one["p50_ms"], sign="+"), fixed(one["proxy_us"], 0, "+"), fixed(one["server_us"], 0))
        for name, one in added.items()
    ]
    print(columns("Added to a request, against a file", ("ledger", "p50 ms", "proxy us", "server us"), costs))
    print()
    rows = [(f"{name}: {what}", fixed(figures[what], 1)) for name, figures in stalls.items() for what in figures]
    print(columns(f"Longest wait around a server that stops for {FROZEN_S:g} s", ("requests", "ms"), rows))
    print(note("us are microseconds of CPU for a pair; a core a s is how many pairs one core of the server can do"))


async def work(url: str, name: str, seconds: float, batch: int) -> None:
    """
    One of the processes: hold and charge until the time is over.
    """
    ledger = connected_ledger(url)
    assert ledger is not None
    now = datetime.now(UTC)
    limit = limit_of(Budget("hot", MOST_NUSD), "", now)
    await ledger.check()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    count, bills = 0, list[Settle]()
    cpu_s, begun = time.process_time(), time.monotonic()
    while time.monotonic() - begun < seconds:
        holds = [
            Hold(f"{name}-{count + one}", (limit.key,), 1_000, now + timedelta(hours=1), "m") for one in range(batch)
        ]
        await ledger.post(bills, [Reserve(hold, [limit], now) for hold in holds])
        bills = [Settle(hold.id, 900, "reported", now, (limit.key,), hold) for hold in holds]
        count += batch
    print(json.dumps([count, time.monotonic() - begun, time.process_time() - cpu_s]), flush=True)
    # The connection stays open until its CPU time was read.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await ledger.close()


def pairs_a_second(server: Server, batch: int, seconds: float) -> dict[str, float]:
    """
    How many pairs, and the CPU time of each.
    """
    url = server.url(new_name())
    words = ["-m", __spec__.name, "--worker", url]
    processes = [
        subprocess.Popen(
            python(*words, name, str(seconds), str(batch)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for name in "abc"[:PROCESSES]
    ]
    for one in processes:
        assert one.stdout is not None
        one.stdout.readline()
    before_s = cpu_s(server)
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    lines = []
    for one in processes:
        assert one.stdout is not None
        lines.append(one.stdout.readline())
    server_s = cpu_s(server) - before_s
    for one in processes:
        one.communicate()
    answers = [json.loads(line) for line in lines]
    count = sum(one[0] for one in answers)
    return {
        "per_s": sum(one[0] / one[1] for one in answers),
        "client_us": sum(one[2] for one in answers) / count * 1e6,
        "server_us": server_s / count * 1e6,
    }


def cpu_s(server: Server) -> float:
    """
    The CPU time of a server so far.
    """
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return sum(time.clock_gettime((~one << 3) | 2) for one in (pid, *map(int, children)))


@contextlib.contextmanager
def proxies(ledgers: dict[str, str]) -> Iterator[dict[str, tuple[int, Running]]]:
    """
    A proxy for each of these ledgers before one upstream; their ports and processes.
    """
    far = free_port()
    with ExitStack() as stack:
        stack.enter_context(started(python("-m", "tests.benchmarks.upstream", "--port", str(far))))
        running = {}
        for name, url in ledgers.items():
            port = free_port()
            words = ["serve", "--quiet", "--budget", "1000000", "--fail", "open", "--ledger", url]
            words += ["--upstream", f"http://127.0.0.1:{far}", "--port", str(port)]
            running[name] = port, stack.enter_context(started(python("-m", "savemode_cli", *words)))
        yield running


async def connected(port: int) -> Client:
    """
    A client, once the proxy answers.
    """
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                return await Client.connect(port)
            await asyncio.sleep(0.02)


def request() -> bytes:
    """
    2 KB.
    """
    body = agent_body(2 * KB)
    head = "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def added(servers: dict[str, Server], requests: int) -> dict[str, dict[str, float]]:
    """
    What each ledger adds to a request: to its median time in milliseconds, and to the CPU time of the proxy and of the server in
    microseconds.
    """
    ledgers = {"file": "sqlite:///benchmark.db"} | {name: server.url(new_name()) for name, server in servers.items()}
    with proxies(ledgers) as running:
        clients = {name: await connected(port) for name, (port, _) in running.items()}
        asked, taken = request(), {name: list[float]() for name in running}
        before: dict[str, float] = {}
        for number in range(requests + WARM):
            if number == WARM:
                before = _cpu(running, servers)
            for name, client in clients.items():
                seconds, _ = await client.ask(asked)
                if number >= WARM:
                    taken[name].append(seconds * 1000)
        spent = {name: (now - before[name]) / requests * 1e6 for name, now in _cpu(running, servers).items()}
        for client in clients.values():
            client.close()
    return {
        name: {
            "p50_ms": median(taken[name]) - median(taken["file"]),
            "proxy_us": spent[name] - spent["file"],
            "server_us": spent[f"server {name}"],
        }
        for name in servers
    }


def _cpu(running: dict[str, tuple[int, Running]], servers: dict[str, Server]) -> dict[str, float]:
    return {name: one.cpu_s() or 0.0 for name, (_, one) in running.items()} | {
        f"server {name}": cpu_s(server) for name, server in servers.items()
    }


async def stalled(server: Server) -> dict[str, float]:
    """
    The longest wait of requests before a server stops, while it does and afterwards, in milliseconds. The first one that meets it
    is apart, because it waits for the answer of the server.
    """
    with proxies({"": server.url(new_name(), "&timeout=0.5")}) as running:
        client, free = [await connected(running[""][0]) for _ in range(2)]
        waits: dict[str, list[float]] = {}
        phase = "before"

        async def calls() -> None:
            asked = request()
            while phase:
                name = phase
                seconds, _ = await client.ask(asked)
                waits.setdefault(f"a call {name}", []).append(seconds * 1000)
                await asyncio.sleep(EACH_S)

        async def others() -> None:
            asked = b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
            while phase:
                name = phase
                begun = time.monotonic()
                with contextlib.suppress(OSError):
                    await free.ask(asked)
                waits.setdefault(f"beside it {name}", []).append((time.monotonic() - begun) * 1000)
                await asyncio.sleep(EACH_S)

        tasks = [asyncio.ensure_future(one()) for one in (calls, others)]
        await asyncio.sleep(1)
        server.freeze()
        phase = "during"
        await asyncio.sleep(FROZEN_S)
        server.thaw()
        phase = "after"
        await asyncio.sleep(2)
        phase = ""
        await asyncio.gather(*tasks)
        client.close()
        free.close()
    first, *later = waits.pop("a call during")
    waits |= {"the call that it met": [first], "a call while it is out": later}
    return {name: max(ones) for name, ones in sorted(waits.items())}


if __name__ == "__main__":
    main()
