"""
Large bodies are read in a separate process, with the same result.
"""

import asyncio
import functools
import io
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from savemode_cli.core.wire import facts as wire_facts
from savemode_cli.core.wire.facts import Facts
from savemode_cli.proxy import body_reader
from savemode_cli.proxy.body_reader import INLINE_BYTES, BodyReader, answer, facts
from tests.benchmarks.bodies import agent_body, tiny_blocks_body
from tests.conftest import FLAG
from tests.support.upstream import RunningProxy
from tests.support.waiting import until
from tests.support.wire import OK, End, Wire, request


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """
    Run a test in a new event loop.
    """

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        asyncio.run(test(*arguments, **fixtures))

    return run


async def facts_of(body: bytes, bodies: BodyReader) -> Facts:
    """
    The facts alone.
    """
    return (await facts(body, bodies))[0]


LARGE = agent_body(2 * INLINE_BYTES)


@asynccontextmanager
async def reader(**options: Any) -> AsyncIterator[BodyReader]:
    """
    A reader that is closed after the test.
    """
    bodies = BodyReader(**options)
    try:
        yield bodies
    finally:
        bodies.close()


@pytest.mark.parametrize(
    "body",
    [
        LARGE,
        tiny_blocks_body(30_000),
        b'{"messages":[' + b"{}," * 700_000 + b"{}]}",
        b'{"system":[' + b",".join([b'{"cache_control":{"type":"ephemeral","ttl":["1h"]}}'] * 60_000) + b"]}",
        b'{"messages":[{"content":[{"input":{"cache_control":{}}}]}],"x":"' + b"x" * INLINE_BYTES + b'"}',
        b'{"messages":[{"y":{"cache_control":{"ttl":0}}}],"x":"' + b"x" * INLINE_BYTES + b'"}',
        b"\xff" * (INLINE_BYTES + 1),
        b"[" * (INLINE_BYTES + 1),
    ],
    ids=["agent", "tiny", "objects", "markers", "input", "unknown", "no-json", "deep"],
)
@in_loop
async def test_same_facts_elsewhere(body: bytes) -> None:
    """
    The result is the same in every process.
    """
    async with reader() as bodies:
        assert await facts_of(body, bodies) == wire_facts.facts(body)
        assert len(bodies._all) == 1


@in_loop
async def test_small_bodies_are_read_at_once() -> None:
    """
    No process is started for them.
    """
    async with reader() as bodies:
        assert await facts_of(agent_body(INLINE_BYTES), bodies) == wire_facts.facts(agent_body(INLINE_BYTES))
        assert bodies._all == set()


@in_loop
async def test_loop_turns_while_a_large_body_is_read() -> None:
    """
    The event loop is not blocked, whatever the body contains.
    """
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with reader() as bodies:
        await facts_of(LARGE, bodies)
        task = asyncio.create_task(turn())
        await facts_of(b'{"system":[' + b"1," * 900_000 + b"1]}", bodies)
        task.cancel()

    assert turns > 10


@in_loop
async def test_several_at_once() -> None:
    """
    Each gets its own answer, and the processes are used again.
    """
    sizes = [INLINE_BYTES + 1000 * number for number in range(1, 9)]
    async with reader() as bodies:
        known = await asyncio.gather(*(facts_of(agent_body(size), bodies) for size in sizes))

        assert known == [wire_facts.facts(agent_body(size)) for size in sizes]
        assert 1 <= len(bodies._all) <= 2


@in_loop
async def test_process_that_ended_is_replaced() -> None:
    """
    It may end between two bodies, or while it reads one.
    """
    async with reader() as bodies:
        await facts_of(LARGE, bodies)
        (first,) = bodies._all
        first.kill()

        assert await facts_of(LARGE, bodies) == wire_facts.facts(LARGE)
        assert first not in bodies._all


@in_loop
async def test_process_that_ends_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If every process ends during a body, the body counts as unreadable and is forwarded.
    """
    monkeypatch.setattr(body_reader, "_PROGRAM", "import sys; sys.stdin.buffer.read(8)")
    async with reader() as bodies:
        assert (await facts_of(LARGE, bodies)).problem == "the process that read the body ended"


@in_loop
async def test_process_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If no process reads a body in time, the result is the same.
    """
    monkeypatch.setattr(body_reader, "_PROGRAM", "import time; time.sleep(600)")
    monkeypatch.setattr(body_reader, "_ANSWER_S", 0.05)
    async with reader() as bodies:
        assert (await facts_of(LARGE, bodies)).problem == "the process that read the body ended"


@in_loop
async def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Bodies are then read in this process, which is announced once.
    """

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", fail)
    announced: list[tuple[str, str]] = []
    async with reader(announce=lambda *one: announced.append(one)) as bodies:
        for _ in range(2):
            assert await facts_of(LARGE, bodies) == wire_facts.facts(LARGE)

    ((event, text),) = announced
    assert (event, "resource temporarily unavailable" in text) == ("large_bodies", True)


@in_loop
async def test_close_ends_the_processes() -> None:
    """
    No process is left, and closing twice does nothing.
    """
    async with reader() as bodies:
        await facts_of(LARGE, bodies)
        (process,) = bodies._all
        bodies.close()

        assert not process.is_running()


@in_loop
async def test_close_while_a_body_is_read() -> None:
    """
    The read is abandoned.
    """
    async with reader() as bodies:
        reading = asyncio.create_task(facts_of(b'{"system":[' + b"{}," * 900_000 + b"{}]}", bodies))
        await asyncio.to_thread(until, lambda: bodies._all)
        bodies.close()
        (known,) = await asyncio.gather(reading, return_exceptions=True)

        assert isinstance(known, Facts | asyncio.CancelledError)
        assert bodies._all == set()


def written(*bodies: bytes) -> io.BytesIO:
    """
    The bytes that the process gets.
    """
    return io.BytesIO(b"".join(len(body).to_bytes(8, "little") + body for body in bodies))


def test_large_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If its memory has grown too much, its answer says that it is the last, and the process ends.
    """
    source, sink = written(b"{}", b"{}"), io.BytesIO()
    monkeypatch.setattr(body_reader, "_MAX_MEMORY_BYTES", 1)

    answer(source, sink)

    assert sink.getvalue()[8] == 1
    assert len(source.read()) == 8 + 2


def test_process_ends_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It ends when its input ends.
    """
    sink = io.BytesIO()
    monkeypatch.setattr(body_reader, "_MAX_MEMORY_BYTES", 2**60)

    answer(written(b"{}"), sink)

    assert sink.getvalue()[8] == 0


def test_large_body_is_upgraded(wire: Wire, wired: RunningProxy) -> None:
    """
    A body of 2 MB gets the same edits as a small one.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", LARGE, *FLAG.items()))
        upstream = wire.accept()
        sent = upstream.message().body
        upstream.send(OK)
        client.message()

    bare, hour = b'"cache_control":{"type":"ephemeral"}', b'"cache_control":{"type":"ephemeral","ttl":"1h"}'
    assert sent == LARGE.replace(bare, hour) != LARGE


@in_loop
async def test_process_of_a_large_proxy_is_kept() -> None:
    """
    The memory of the proxy does not count as memory of the process that it starts.
    """
    held = bytearray(b"x" * (300 * 2**20))
    async with reader() as bodies:
        for _ in range(2):
            await facts_of(LARGE, bodies)
            assert len(bodies._all) == 1
    assert held
