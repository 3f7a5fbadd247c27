"""
What a proxy adds between a client and the API: savemode beside a plain pass-through, both beside no proxy at all.

Everything runs on loopback, in processes that this one starts and stops, in rounds: direct, plain, savemode, direct ...
A round's cost of a proxy is its figure less the direct figure of the same round; the table shows medians over rounds.
"""

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvloop

from tests.benchmarks.bodies import KB, MB, agent_body
from tests.benchmarks.client import Client
from tests.benchmarks.processes import Running, free_port, python, split_command, started
from tests.benchmarks.tables import columns, fixed, median, note, options, percentile, show_json, times

SAVEMODE = (
    "python -m savemode_cli serve --host 127.0.0.1 --port {port} --upstream {upstream} "
    "--ttl-policy always --debug --quiet"
)
SAVEMODE_ENVIRON = {"COST_CONTROLS_ENABLED": "true"}
TTL_BYTES = len(b',"ttl":"1h"')

SIZES = {"2_kb": 2 * KB, "200_kb": 200 * KB, "1_mb": MB}
CONNECTIONS = 16
IN_FLIGHT = 50
GAP_MS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How much is measured; every loop ends by its count or its time, whichever is first.
    """

    rounds: int
    rounds_s: float
    requests: int
    cell_s: float
    throughput_s: float
    events: int
    memory_rounds: int
    hold_ms: int


FULL = Plan(rounds=8, rounds_s=55, requests=150, cell_s=2, throughput_s=0.7, events=250, memory_rounds=3, hold_ms=1500)
QUICK = Plan(rounds=2, rounds_s=7, requests=60, cell_s=0.8, throughput_s=0.4, events=60, memory_rounds=1, hold_ms=1000)


@dataclass(frozen=True, slots=True)
class Target:
    """
    One way to the upstream. `proxy` is None for the direct one.
    """

    name: str
    port: int
    proxy: Running | None


Figures = dict[str, float | None]


def main() -> None:
    """
    Run the plan and print the table.
    """
    parser = options(__doc__)
    parser.add_argument("--command", default=SAVEMODE, help="how savemode is started (default: %(default)s)")
    parser.add_argument("--beside", default="", help="a command to measure in the plain proxy's place, started alike")
    chosen = parser.parse_args()
    plan = QUICK if chosen.quick else FULL
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures, edited = runner.run(measure(plan, chosen.command, chosen.beside))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(130) from None
    if chosen.json:
        show_json({"edited_upstream": edited, "figures": _with_ratios(figures)})
    else:
        _print(figures, edited)


async def measure(plan: Plan, command: str, beside: str = "") -> tuple[dict[str, Figures], bool]:
    """
    Every figure by its name, for each target; and whether savemode's edits reached the upstream.
    """
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does under asyncio.Runner: it takes effect at an await, never between a process's start and its handle.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with ExitStack() as stack:
        upstream_port = free_port()
        upstream = python("-m", "tests.benchmarks.upstream", "--port", str(upstream_port))
        await ready(Target("upstream", upstream_port, stack.enter_context(started(upstream))))
        begin = partial(_begin_proxies, command=command, beside=beside, upstream_port=upstream_port)
        with ExitStack() as proxies:
            targets = [Target("direct", upstream_port, None), *await begin(proxies)]
            edited = await _edits_reach_upstream(targets[-1])
            rounds = await _rounds(plan, targets)
        added: dict[str, Figures] = {}
        for what, without, with_it in (
            # Both count and print what each request costs; a budget holds it before and settles it after, on a disk.
            ("budget", Variant("--ledger memory:"), Variant("--budget 1000000")),
            ("events", Variant(), Variant("", _sends_events(upstream_port))),
        ):
            with ExitStack() as proxies:
                pair = await _begin_pair(proxies, command, upstream_port, without, with_it)
                added |= await _added(plan, what, pair)
        memory = []
        for _ in range(plan.memory_rounds):
            # Fresh processes: what an earlier burst has left with the allocator would hide the growth.
            with ExitStack() as proxies:
                memory.append({target.name: await _memory(plan, target) for target in await begin(proxies)})
    return _medians(rounds) | added | _medians(memory), edited


async def _begin_proxies(stack: ExitStack, command: str, beside: str, upstream_port: int) -> list[Target]:
    url = f"http://127.0.0.1:{upstream_port}"
    plain_port, our_port = free_port(), free_port()
    plain = python("-m", "tests.benchmarks.plain_proxy", "--port", str(plain_port), "--upstream", url)
    if beside:
        plain = split_command(beside.format(port=plain_port, upstream=url))
    ours = split_command(command.format(port=our_port, upstream=url))
    targets = [
        Target("plain", plain_port, stack.enter_context(started(plain, SAVEMODE_ENVIRON))),
        Target("savemode", our_port, stack.enter_context(started(ours, SAVEMODE_ENVIRON))),
    ]
    for target in targets:
        await ready(target)
    return targets


@dataclass(frozen=True, slots=True)
class Variant:
    """
    Savemode with more options, and with more in its environment.
    """

    options: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


def _sends_events(upstream_port: int) -> dict[str, str]:
    """
    The upstream is in PostHog's place.
    """
    return {"POSTHOG_API_KEY": "phc_benchmark", "POSTHOG_HOST": f"http://127.0.0.1:{upstream_port}"}


async def _begin_pair(
    stack: ExitStack, command: str, upstream_port: int, without: Variant, with_it: Variant
) -> list[Target]:
    url = f"http://127.0.0.1:{upstream_port}"
    targets = []
    for name, one in (("without", without), ("with", with_it)):
        port = free_port()
        ours = split_command(f"{command.format(port=port, upstream=url)} {one.options}")
        process = stack.enter_context(started(ours, SAVEMODE_ENVIRON | dict(one.environ)))
        targets.append(Target(name, port, process))
    for target in targets:
        await ready(target)
    return targets


async def _added(plan: Plan, what: str, targets: Sequence[Target]) -> dict[str, Figures]:
    """
    What something adds to a request: to its time, and to the CPU of it, threads included.
    """
    body = agent_body(SIZES["2_kb"])
    for target in targets:
        await _throughput(target, body, plan.throughput_s)
    rounds: list[dict[str, Figures]] = []
    for _ in range(plan.rounds):
        figures: dict[str, Figures] = {target.name: {} for target in targets}
        await _latency(targets, figures, "2_kb", body, plan)
        await _each(targets, figures, partial(_throughput, body=body, seconds=plan.throughput_s))
        rounds.append(figures)

    def added(name: str, *, share: bool = False) -> Figures:
        pairs = [(one["with"][name], one["without"][name]) for one in rounds]
        values = [(more - less) / (less if share else 1) for more, less in pairs if more is not None and less]
        return {"plain": None, "savemode": median(values) if values else None}

    return {
        f"{what}_added_p50_ms": added("added_p50_ms_2_kb"),
        f"{what}_added_p99_ms": added("added_p99_ms_2_kb"),
        f"{what}_added_cpu_share": added("cpu_ms_per_request", share=True),
    }


async def ready(target: Target, patience_s: float = 10) -> None:
    """
    Raises:
        SystemExit: the process has ended, or does not answer within *patience_s* seconds.
    """
    assert target.proxy is not None
    end = time.monotonic() + patience_s
    problem: Exception | None = None
    while time.monotonic() < end:
        target.proxy.check(target.name)
        try:
            client = await Client.connect(target.port)
            try:
                await client.ask(b"GET /-/health HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % target.port)
            finally:
                client.close()
        except (OSError, TimeoutError) as error:
            problem = error
            await asyncio.sleep(0.03)
        else:
            return
    raise SystemExit(f"{target.name} is not ready after {patience_s:.0f} s: {problem}\n{target.proxy.last_words()}")


def request(port: int, body: bytes, query: str = "") -> bytes:
    """
    A Messages API request as a client of the API writes it.
    """
    return (
        f"POST /v1/messages{query} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"accept: application/json\r\nuser-agent: benchmark/1\r\nanthropic-version: 2023-06-01\r\n"
        f"x-api-key: not-a-key\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def _edits_reach_upstream(target: Target) -> bool:
    body = agent_body(2 * KB)
    client = await Client.connect(target.port)
    _, counted = await client.ask(request(target.port, body, "?count=1"))
    client.close()
    return int(counted) == len(body) + 4 * TTL_BYTES


async def _rounds(plan: Plan, targets: Sequence[Target]) -> list[dict[str, Figures]]:
    """
    All but memory. Fewer rounds than planned if the time is up, two at least where two were planned.
    """
    bodies = {name: agent_body(size) for name, size in SIZES.items()}
    for target in targets:
        await _throughput(target, bodies["2_kb"], plan.throughput_s / 2)
    end = time.monotonic() + plan.rounds_s
    out: list[dict[str, Figures]] = []
    for number in range(plan.rounds):
        if number >= 2 and time.monotonic() > end:
            break
        figures: dict[str, Figures] = {target.name: {} for target in targets}
        for name, body in bodies.items():
            await _latency(targets, figures, name, body, plan)
        await _each(targets, figures, partial(_throughput, body=bodies["2_kb"], seconds=plan.throughput_s))
        await _each(targets, figures, partial(_stream, body=bodies["2_kb"], events=plan.events))
        _less_direct(figures)
        out.append(figures)
    return out


async def _each(
    targets: Sequence[Target], figures: dict[str, Figures], act: Callable[[Target], Awaitable[Figures]]
) -> None:
    for target in targets:
        figures[target.name] |= await act(target)


async def _latency(targets: Sequence[Target], figures: dict[str, Figures], name: str, body: bytes, plan: Plan) -> None:
    """
    Ten requests direct, ten through each proxy, and so on: a machine's speed changes within seconds.
    """
    clients = {target.name: await Client.connect(target.port) for target in targets}
    asked = {target.name: request(target.port, body) for target in targets}
    taken: dict[str, list[float]] = {target.name: [] for target in targets}
    end = time.monotonic() + plan.cell_s
    left = plan.requests
    while left > 0 and (left == plan.requests or time.monotonic() < end):
        for way, client in clients.items():
            taken[way] += [(await client.ask(asked[way]))[0] * 1000 for _ in range(10)]
        left -= 10
    for way, client in clients.items():
        client.close()
        figures[way] |= {f"added_{p}_ms_{name}": percentile(taken[way], float(p[1:])) for p in ("p50", "p99")}


def _less_direct(figures: dict[str, Figures]) -> None:
    """
    What the proxies add; subtracted within the round, where both sides had the same noise.
    """
    for target, own in figures.items():
        if target != "direct":
            for name in [name for name in own if name.startswith("added_")]:
                own[name] = cast("float", own[name]) - cast("float", figures["direct"][name])


async def _throughput(target: Target, body: bytes, seconds: float) -> Figures:
    asked = request(target.port, body)
    clients = [await Client.connect(target.port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(client.ask(asked) for client in clients))
    cpu = target.proxy.cpu_s() if target.proxy else None
    start = time.monotonic()
    counts = await asyncio.gather(*(_ask_until(client, asked, start + seconds) for client in clients))
    taken = time.monotonic() - start
    used = target.proxy.cpu_s() if target.proxy else None
    for client in clients:
        client.close()
    spent = None if cpu is None or used is None else (used - cpu) * 1000 / sum(counts)
    return {"requests_per_s": sum(counts) / taken, "cpu_ms_per_request": spent}


async def _ask_until(client: Client, asked: bytes, end: float) -> int:
    count = 0
    while time.monotonic() < end:
        await client.ask(asked)
        count += 1
    return count


async def _stream(target: Target, body: bytes, events: int) -> Figures:
    client = await Client.connect(target.port)
    await client.ask(request(target.port, body, f"?sse={events}&gap_ms={GAP_MS}"))
    client.close()
    if len(client.sent_ns) != events:
        raise SystemExit(f"{target.name} delivered {len(client.sent_ns)} of {events} events")
    delays = [(arrived - written) / 1e6 for written, arrived in client.sent_ns]
    return {"added_event_p50_ms": percentile(delays, 50), "added_event_p99_ms": percentile(delays, 99)}


async def _memory(plan: Plan, target: Target) -> Figures:
    """
    How far the proxy grows while the upstream holds back the answers to many large bodies.
    """
    proxy = target.proxy
    assert proxy is not None
    small, large = agent_body(2 * KB), agent_body(MB)
    async with AsyncExitStack() as stack:
        clients = [await Client.connect(target.port) for _ in range(IN_FLIGHT)]
        for client in clients:
            stack.callback(client.close)
        await asyncio.gather(*(client.ask(request(target.port, small)) for client in clients))
        before = proxy.resident_bytes()
        if before is None:
            return {"peak_bytes_per_body_byte": None, "held_bytes_per_body_byte": None}
        start = time.monotonic()
        asked = request(target.port, large, f"?wait_ms={plan.hold_ms}")
        answers = [asyncio.ensure_future(client.ask(asked)) for client in clients]
        for answer in answers:
            stack.callback(answer.cancel)
        sizes: list[int] = []
        while not any(answer.done() for answer in answers):
            sizes.append(proxy.resident_bytes() or 0)
            await asyncio.sleep(0.01)
        first_s = time.monotonic() - start
        await asyncio.gather(*answers)
        # The answers came one hold after the bodies arrived: if they all came within a hold, all bodies were in flight.
        if time.monotonic() - start - first_s > plan.hold_ms / 1000:
            raise SystemExit(f"{target.name} is too slow to have {IN_FLIGHT} bodies in flight at once")
    total = IN_FLIGHT * len(large)
    held = sizes[len(sizes) * 4 // 5 :]
    return {
        "peak_bytes_per_body_byte": (max(sizes) - before) / total,
        "held_bytes_per_body_byte": (median(held) - before) / total,
    }


def _medians(rounds: Sequence[dict[str, Figures]]) -> dict[str, Figures]:
    """
    Turned round: for each figure, the median over the rounds by target.
    """
    gathered: dict[str, dict[str, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for figures in rounds:
        for target, own in figures.items():
            for name, value in own.items():
                gathered[name][target].append(value)
    return {
        name: {
            target: None if None in values else median(cast("list[float]", values))
            for target, values in by_target.items()
        }
        for name, by_target in gathered.items()
    }


def _with_ratios(figures: dict[str, Figures]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, own in figures.items():
        ours, plain = own["savemode"], own["plain"]
        out[name] = own | {"savemode_to_plain": ours / plain if ours is not None and plain else None}
    return out


_LABELS = {
    **{
        f"added_{p}_ms_{name}": f"one in flight, {label}, {p}, ms"
        for name, label in (("2_kb", "2 KB"), ("200_kb", "200 KB"), ("1_mb", "1 MB"))
        for p in ("p50", "p99")
    },
    "requests_per_s": f"{CONNECTIONS} connections, 2 KB, requests/s",
    "cpu_ms_per_request": f"{CONNECTIONS} connections, 2 KB, CPU ms/request",
    "added_event_p50_ms": "event of a stream, p50, ms",
    "added_event_p99_ms": "event of a stream, p99, ms",
    **{
        f"{what}_added_{figure}": label
        for what, name in (("budget", "budget"), ("events", "telemetry"))
        for figure, label in (
            ("p50_ms", f"{name} on, 2 KB, p50, ms"),
            ("p99_ms", f"{name} on, 2 KB, p99, ms"),
            ("cpu_share", f"{name} on, {CONNECTIONS} at once, CPU, share"),
        )
    },
    "peak_bytes_per_body_byte": f"{IN_FLIGHT} x 1 MB in flight, peak, B/B",
    "held_bytes_per_body_byte": f"{IN_FLIGHT} x 1 MB in flight, held, B/B",
}


def _print(figures: dict[str, Figures], edited: bool) -> None:
    rows = []
    for name, label in _LABELS.items():
        own = figures[name]
        digits, sign = (0, "") if name == "requests_per_s" else (3, "+" if "added_" in name else "")
        rows.append(
            [
                label,
                fixed(own.get("direct"), digits),
                fixed(own["plain"], digits, sign),
                fixed(own["savemode"], digits, sign),
                times(own["savemode"], own["plain"]),
            ]
        )
    print(columns("A proxy on loopback", ["", "direct", "plain", "savemode", "savemode:plain"], rows))
    print()
    print(
        note(
            f"""+ is what the proxy adds to the direct figure of the same round; medians over interleaved rounds. Every
            body has four markers; savemode's edits {"reached" if edited else "DID NOT REACH"} the upstream. plain is
            uvicorn, starlette and httpx, passing through. Budget on is savemode with a cap and its ledger on a disk, less
            savemode that counts in memory and has no cap. Telemetry on is savemode that sends its events, less savemode
            that does not. Memory is growth over the idle process per byte of the bodies in flight: at its highest, and
            while the upstream holds all answers."""
        )
    )


if __name__ == "__main__":
    main()
