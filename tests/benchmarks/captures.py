"""
What captures cost: `python -m tests.benchmarks.captures` prints a table. Nothing is asserted.

A conversation of 200 turns grows to 1 MB, the markers move with it, each answer is a stream. Appends are timed one by
one, in the thread that writes; what a request sees of it is the second table: the time that `keep` takes.
"""

import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from savemode_cli.captures.sink import CaptureSink
from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.capture import capture_of
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.observed import Content, Observed
from savemode_cli.core.upgrade.gate import GateState
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.answer import Answer
from savemode_cli.core.wire.call import Call
from tests.benchmarks.bodies import MB, agent_body

TURNS = 200
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEADERS = ((b"content-type", b"application/json"), (b"anthropic-beta", b"interleaved-thinking-2025-05-14"))


def conversation(turns: int = TURNS, size_bytes: int = MB) -> list[bytes]:
    """
    The bodies of a conversation: each holds the messages of the one before and some more, markers at its end.
    """
    whole = json.loads(agent_body(size_bytes, markers=False))
    messages = whole["messages"]
    bodies = []
    for turn in range(1, turns + 1):
        last = max(1, round(len(messages) * turn / turns))
        marked = [_marked(one) if index in (last - 1, last - 3) else one for index, one in enumerate(messages[:last])]
        system = [*whole["system"][:-1], whole["system"][-1] | {"cache_control": {"type": "ephemeral"}}]
        body = whole | {"system": system, "messages": marked}
        bodies.append(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
    return bodies


def _marked(message: dict[str, Any]) -> dict[str, Any]:
    *blocks, last = message["content"]
    return message | {"content": [*blocks, last | {"cache_control": {"type": "ephemeral"}}]}


def answer(number: int, words: int = 400) -> bytes:
    """
    A stream of some deltas, different in each turn.
    """
    deltas = (f"{number * 7919 + word * 104_729 % 65_537:x} " for word in range(words))
    lines = (
        f"event: content_block_delta\ndata: {json.dumps({'type': 'content_block_delta', 'index': 0, 'delta': text})}\n\n"
        for text in deltas
    )
    return "".join(lines).encode()


def record(number: int, body: bytes, answered: bytes) -> Observed:
    """
    One turn as a sink is told of it.
    """
    exchange = Exchange(
        f"req_sm_{number:020}",
        NOON + timedelta(seconds=20 * number),
        Call(
            "POST",
            "/v1/messages",
            "posthog_code",
            "claude-opus-5-5",
            request_bytes=len(body),
            session="0123456789abcdef",
        ),
        Upgrade(GateState(on=True, why="flag llm-gateway-cost-controls is true")),
        Bill(),
        Answer(status=200, duration_ms=12_345.678, first_byte_ms=678.9, response_bytes=len(answered)),
    )
    return Observed(exchange, exchange.started_at, content=Content(HEADERS, body, (), answered))


def timed(step: Callable[[], object]) -> float:
    """
    Milliseconds that it took.
    """
    begun = time.perf_counter()
    step()
    return (time.perf_counter() - begun) * 1000


def row(name: str, timings: list[float]) -> str:
    """
    One line of a table of milliseconds: p50 and p99.
    """
    ordered = sorted(timings)
    return f"{name:<58}{ordered[len(ordered) // 2]:>10.3f}{ordered[len(ordered) * 99 // 100]:>10.3f}"


def main() -> None:
    """
    Measure, and print the tables.
    """
    bodies = conversation()
    records = [record(number, body, answer(number)) for number, body in enumerate(bodies)]
    raw = sum(
        len(one.content.request_body or b"") + len(one.content.response_body or b"") for one in records if one.content
    )
    print(f"{platform.python_implementation()} {platform.python_version()}, {sys.platform}")
    print(f"\n{'milliseconds':<58}{'p50':>10}{'p99':>10}")
    with tempfile.TemporaryDirectory() as folder:
        store = CaptureStore.make(Path(folder) / "one")

        def append(one: Observed) -> None:
            store.append(capture_of(one))

        print(
            row(
                f"append, a conversation of {TURNS} turns up to 1 MB",
                [timed(partial(append, one)) for one in records],
            )
        )
        again = [timed(partial(append, one)) for one in [record(0, bodies[-1], b"")] * 50]
        print(row("append, the same 1 MB again", again))
        store.close()
        restarted = []
        for _ in range(20):
            opened = CaptureStore.open(Path(folder) / "one")
            restarted.append(timed(lambda: opened.append(capture_of(records[-1]))))  # noqa: B023
            opened.close()
        print(row("append, the same 1 MB after a restart", restarted))
        fresh = CaptureStore.make(Path(folder) / "fresh")
        others = [record(number, agent_body(MB - number), b"") for number in range(20)]
        unknown = [timed(lambda one=one: fresh.append(capture_of(one))) for one in others]  # type: ignore[misc]
        print(row("append, 1 MB of which nothing is known", unknown))
        fresh.close()
        sink = CaptureSink(Path(folder) / "two", print)
        kept = []
        for one in records:
            kept.append(timed(lambda one=one: sink.keep(one)))  # type: ignore[misc]
            time.sleep(0.01)
        sink.close()
        print(row("what a request sees of it", kept))
        size = CaptureStore.open(Path(folder) / "two").stats()
        print(f"\n{raw / 1e6:.1f} MB of bodies, {size.file_bytes / 1e6:.2f} MB on disk: {size.file_bytes / raw:.2%}")
        reader = CaptureStore.open(Path(folder) / "two")
        seconds = timed(lambda: [None for _ in reader.captures()]) / 1000
        print(f"read back at {raw / 1e6 / seconds:.0f} MB/s")


if __name__ == "__main__":
    main()
