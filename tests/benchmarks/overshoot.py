"""
Several proxies on one cap, over HTTP: how many requests start at once, and what they cost in the end.

All streams are asked for at once, and the upstream answers none of them until each is with it or was refused. Then it answers,
and all are asked for again, until none starts. Beside it, in the same run: one proxy with as many streams on a file, and proxies
that count after the fact, whose requests hold nothing.
"""

import asyncio
import contextlib
import json
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from savemode_cli.core.budget.ledger import AsyncLedger, Looked, Posted, Reserve, Settle
from savemode_cli.core.money.amounts import dollars
from savemode_cli.ledgers import SCHEMES, Scheme, connected_ledger, open_ledger
from tests.benchmarks.processes import python, started
from tests.benchmarks.tables import columns, note, options, show_json
from tests.support.servers import free_port, new_name, shared_postgres, shared_redis

BODY = json.dumps(
    {"model": "claude-opus-5-5", "max_tokens": 64, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
).encode()
ANSWER_TIMEOUT_S = 120
MOST_ROUNDS = 30
AFTER = "after"
"""The scheme of a ledger whose requests hold nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    What happened to one cap.
    """

    proxies: int
    streams: int
    cap_nusd: int
    first: int
    """How many requests started of those that came at once."""
    first_nusd: int
    """What these cost."""
    all: int
    """How many started until none did."""
    spent_nusd: int
    """What is charged in the end."""


class Gate:
    """
    An upstream whose streams wait for one another.
    """

    def __init__(self) -> None:
        """
        It is closed.
        """
        self.waiting = 0
        self.port = 0
        self._open = asyncio.Event()

    def let_go(self) -> None:
        """
        Answer all that wait.
        """
        self._open.set()
        self._open, self.waiting = asyncio.Event(), 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        One connection.
        """
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_length(head))
                if head.startswith(b"POST /v1/messages"):
                    gate = self._open
                    self.waiting += 1
                    await gate.wait()
                    writer.write(_STREAM)
                else:
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        writer.close()


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    return 0 if found is None else int(found[1])


def _event(name: str, **fields: object) -> bytes:
    data = f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


_MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 1},
}
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + _event("message_start", message=_MESSAGE)
    + _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hello"})
    + _event("content_block_stop", index=0)
    + _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 60})
    + _event("message_stop")
    + b"0\r\n\r\n"
)


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    """
    An upstream on loopback.
    """
    one = Gate()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, backlog=1_024)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        yield one


class AfterTheFact:
    """
    A ledger whose requests hold nothing, so each is judged by what is charged already.
    """

    def __init__(self, ledger: AsyncLedger) -> None:
        """
        Args:
            ledger: where it counts.
        """
        self._ledger = ledger

    async def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `AsyncLedger`.
        """
        return await self._ledger.post(settles, [replace(one, hold=replace(one.hold, ask_nusd=0)) for one in reserves])

    async def look(self, keys: Sequence[str], now: datetime) -> Looked:
        """
        See `AsyncLedger`.
        """
        return await self._ledger.look(keys, now)

    def __getattr__(self, name: str) -> object:
        """
        Everything else is as it is.
        """
        return getattr(self._ledger, name)


def serve_after_the_fact(words: list[str]) -> None:
    """
    The command with the scheme `after`.
    """
    from savemode_cli.entry import main as savemode

    def connect(url: str, _: object) -> AsyncLedger:
        ledger = connected_ledger(url.removeprefix(f"{AFTER}:"))
        assert ledger is not None
        return AfterTheFact(ledger)  # type: ignore[return-value]

    SCHEMES[AFTER] = Scheme(AFTER, (), lambda url, _: open_ledger(url.removeprefix(f"{AFTER}:")), connect=connect)
    sys.argv = ["savemode", *words]
    savemode()


async def _ask(port: int) -> int:
    """
    The status of one request, when its answer has ended.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nconnection: close\r\n"
    writer.write(head + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])


async def _round(upstream: Gate, ports: Sequence[int], streams: int) -> int:
    """
    How many requests start of all streams of all proxies at once.
    """
    asked = [asyncio.ensure_future(_ask(port)) for port in ports for _ in range(streams)]
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while upstream.waiting + sum(one.done() for one in asked) < len(asked):  # noqa: ASYNC110 - both are waited for
            await asyncio.sleep(0.01)
        begun = upstream.waiting
        upstream.let_go()
        statuses = await asyncio.gather(*asked)
    assert statuses.count(200) == begun, statuses
    return begun


@contextlib.contextmanager
def _proxies(count: int, ledger: str, cap: str, rule: str, upstream_port: int) -> Iterator[list[int]]:
    """
    So many proxies; their ports.
    """
    ports = [free_port() for _ in range(count)]
    start = ["-m", __spec__.name, "--serve"] if rule == "after" else ["-m", "savemode_cli"]
    words = ["serve", "--quiet", "--budget", cap, "--ledger", f"{AFTER}:{ledger}" if rule == "after" else ledger]
    words += ["--upstream", f"http://127.0.0.1:{upstream_port}", *(["--strict"] if rule == "strict" else [])]
    with ExitStack() as stack:
        running = [stack.enter_context(started(python(*start, *words, "--port", str(port)))) for port in ports]
        for port, one in zip(ports, running, strict=True):
            end = time.monotonic() + ANSWER_TIMEOUT_S
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                one.check("savemode")
                assert time.monotonic() < end, one.last_words()
                time.sleep(0.02)
        yield ports


async def overshoot(ledger: str, rule: str, *, proxies: int, streams: int, cap: str) -> Row:
    """
    What happens to a cap.

    Args:
        ledger: the address of a new one.
        rule: default, strict or after.
        proxies: how many.
        streams: of each proxy, at once.
        cap: in dollars.
    """
    async with gate() as upstream:
        with _proxies(proxies, ledger, cap, rule, upstream.port) as ports:
            begun = [await _round(upstream, ports, streams)]
            first_nusd = await asyncio.to_thread(_charged, ledger, begun[0])
            while begun[-1] and len(begun) < MOST_ROUNDS:
                begun.append(await _round(upstream, ports, streams))
                await asyncio.to_thread(_charged, ledger, sum(begun))
        spent = await asyncio.to_thread(_charged, ledger, sum(begun))
    return Row(proxies, streams, round(float(cap) * 1e9), begun[0], first_nusd, sum(begun), spent)


def _charged(url: str, count: int) -> int:
    """
    What is charged, once so many requests are.
    """
    end = time.monotonic() + ANSWER_TIMEOUT_S
    with closing(open_ledger(url)) as ledger:
        while len(charges := ledger.charges()) < count:
            assert time.monotonic() < end, f"{len(charges)} of {count} requests are charged"
            time.sleep(0.02)
        balances = [one for key, one in ledger.balances(datetime.now(UTC)).items() if key.startswith("default/")]
    assert len(charges) == count
    spent = sum(one.nusd for one in charges)
    assert [one.settled_nusd for one in balances if one.settled_nusd] == ([spent] if spent else [])
    return spent


RULES = {"strict": "--strict", "default": "default", "after": "after the fact"}


def main() -> None:
    """
    The table.
    """
    if sys.argv[1:2] == ["--serve"]:
        serve_after_the_fact(sys.argv[2:])
        return
    parser = options(__doc__)
    parser.add_argument("--streams", type=int, default=64, help="of each proxy (default: %(default)s)")
    parser.add_argument("--cap", default="0.05", help="in dollars (default: %(default)s)")
    chosen = parser.parse_args()
    engines: dict[str, Callable[[], str]] = {
        "redis": lambda: shared_redis().url(new_name()),
        "postgresql": lambda: shared_postgres().url(new_name()),
    }
    rows: dict[tuple[str, str], Row] = {}
    with TemporaryDirectory() as folder:
        for rule in ("strict", "default"):
            url = f"sqlite:///{Path(folder, rule)}.db"
            rows[rule, "one proxy"] = asyncio.run(
                overshoot(url, rule, proxies=1, streams=3 * chosen.streams, cap=chosen.cap)
            )
            for engine, new_url in engines.items():
                rows[rule, f"three, {engine}"] = asyncio.run(
                    overshoot(new_url(), rule, proxies=3, streams=chosen.streams, cap=chosen.cap)
                )
    rows["after", "three, redis"] = asyncio.run(
        overshoot(engines["redis"](), "after", proxies=3, streams=chosen.streams, cap=chosen.cap)
    )
    if chosen.json:
        show_json({"rows": [{"rule": rule, "where": where} | _json(row) for (rule, where), row in rows.items()]})
        return
    cells = [
        (
            f"{RULES[rule]}: {where}",
            str(row.first),
            _share(row.first_nusd, row),
            str(row.all),
            _share(row.spent_nusd, row),
        )
        for (rule, where), row in rows.items()
    ]
    title = f"{3 * chosen.streams} requests at once under a cap of {dollars(round(float(chosen.cap) * 1e9))}"
    print(columns(title, ("rule and proxies", "start", "cost", "in the end", "cost"), cells))
    print(note("costs are shares of the cap"))


def _json(row: Row) -> dict[str, int]:
    return {name: getattr(row, name) for name in Row.__slots__}


def _share(nusd: int, row: Row) -> str:
    return f"{100 * nusd / row.cap_nusd:.1f} %"


if __name__ == "__main__":
    main()
