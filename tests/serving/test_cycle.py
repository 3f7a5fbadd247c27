"""
The framing of one answer, and the body of its request, without a network.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from savemode_cli.serving.cycle import Cycle, cycle_of

T = TypeVar("T")


class Sent:
    """
    A transport that keeps what is written.
    """

    def __init__(self) -> None:
        self.data = b""
        self.closed = self.paused = False

    def write(self, data: bytes) -> None:
        self.data += data

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.data += b"".join(parts)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def a_cycle(sent: Sent, *, method: str = "POST", version: str = "1.1", asks: bool = False) -> Cycle:
    """
    A cycle on a connection that writes to `sent`.
    """
    transport = cast("asyncio.Transport", sent)
    return Cycle(
        scope={"method": method, "http_version": version},
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=asks,
        keep_alive=version == "1.1",
        on_response=lambda: None,
    )


def run(test: Callable[[Sent], Awaitable[T]]) -> tuple[T, Sent]:
    """
    The result of a test in an event loop, and what was sent in it.
    """
    sent = Sent()
    return asyncio.run(cast("Any", test(sent))), sent


@pytest.mark.parametrize(
    ("options", "headers", "body", "wire", "closed"),
    [
        ({}, [(b"A", b"1"), (b"Content-Length", b"2")], [b"a", b"b"], b"a: 1\r\ncontent-length: 2\r\n\r\nab", False),
        (
            {},
            [],
            [b"ab", b"", b"c"],
            b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            False,
        ),
        (
            {},
            [(b"transfer-encoding", b"chunked")],
            [b"a"],
            b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            False,
        ),
        ({"version": "1.0"}, [], [b"a", b"b"], b"connection: close\r\n\r\nab", True),
        ({"method": "HEAD"}, [(b"content-length", b"9")], [], b"content-length: 9\r\n\r\n", False),
        ({"method": "HEAD"}, [], [], b"\r\n", False),
        (
            {},
            [(b"connection", b"Close"), (b"content-length", b"0")],
            [],
            b"connection: Close\r\ncontent-length: 0\r\n\r\n",
            True,
        ),
    ],
    ids=["length", "chunked", "coded", "http-1.0", "head", "head-without-length", "close"],
)
def test_framing(
    options: dict[str, str], headers: list[tuple[bytes, bytes]], body: list[bytes], wire: bytes, closed: bool
) -> None:
    """
    An answer has the length that its head states, chunks, or the end of the connection.
    """

    async def answered(sent: Sent) -> None:
        cycle = a_cycle(sent, **cast("Any", options))
        cycle.start(200, headers)
        for piece in body:
            cycle.write(piece)
        cycle.finish()

    _, sent = run(answered)

    assert sent.data == b"HTTP/1.1 200 OK\r\n" + wire
    assert sent.closed == closed


@pytest.mark.parametrize(
    "header",
    [
        *((b"a", value) for value in (b"1\r\nb: 2", b"1\nb: 2", b"\x00", b"\x7f")),
        *((name, b"1") for name in (b"a b", b"", b"x" * 99 + b":")),
    ],
)
def test_head_that_would_forge_another_header(header: tuple[bytes, bytes]) -> None:
    """
    Nothing is written of a head that has a line end, a control character or an impossible name in it, and an error can
    still be answered in its place.
    """

    async def started(sent: Sent) -> None:
        cycle = a_cycle(sent)
        with pytest.raises(RuntimeError, match="invalid HTTP header"):
            cycle.start(200, [header])
        assert sent.data == b""
        cycle.start(500, [(b"content-length", b"0")])

    assert run(started)[1].data == b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


def test_answer_that_does_not_keep_to_its_length() -> None:
    """
    A longer or a shorter body than the head states is an error, and so is a body without a head or after its end.
    """

    async def broken(sent: Sent) -> None:
        cycle = a_cycle(sent)
        with pytest.raises(RuntimeError, match="without a head"):
            cycle.write(b"a")
        with pytest.raises(RuntimeError, match="without a head"):
            cycle.finish()
        cycle.start(200, [(b"content-length", b"1")])
        with pytest.raises(RuntimeError, match="already"):
            cycle.start(200, [])
        with pytest.raises(RuntimeError, match="shorter"):
            cycle.finish()
        cycle.write(b"a")
        with pytest.raises(RuntimeError, match="longer"):
            cycle.write(b"b")

    run(broken)


@pytest.mark.parametrize(
    ("pieces", "limit", "body", "more"),
    [
        ([b"ab"], 9, b"ab", False),
        ([b"ab", b"cd"], 4, b"abcd", False),
        ([b"ab", b"cd"], 1, b"ab", True),
        ([], 0, b"", False),
    ],
)
def test_body(pieces: list[bytes], limit: int, body: bytes, more: bool) -> None:
    """
    A body is read whole, or up to the piece with which it becomes too long; the rest comes as messages.
    """

    async def read(sent: Sent) -> tuple[bytes | None, bool, bytes]:
        cycle = a_cycle(sent, asks=True)

        async def upload() -> None:
            for piece in pieces:
                cycle.add(piece)
                await asyncio.sleep(0)
            cycle.more_body = False
            cycle.message_event.set()

        uploading = asyncio.create_task(upload())
        begin = await cycle.read(limit)
        unfinished, rest = cycle.more_body, b""
        while unfinished and (message := await cycle.receive())["more_body"]:
            rest += message["body"]
        await uploading
        return begin, unfinished, rest + (message["body"] if unfinished else b"")

    (begin, unfinished, rest), sent = run(read)

    assert (begin, unfinished) == (body, more)
    assert (begin or b"") + rest == b"".join(pieces)
    assert sent.data == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_body_of_many_pieces_is_one_buffer() -> None:
    """
    A piece of one byte would otherwise take 40.
    """

    async def pieces(sent: Sent) -> tuple[int, bytes | None]:
        cycle = a_cycle(sent)
        sizes: list[int] = []
        cycle.on_piece = sizes.append
        for number in range(1000):
            cycle.add(bytes([number % 256]))
        cycle.more_body = False
        assert sizes == [1] * 1000
        assert cycle.waiting_bytes == 1000
        return sys.getsizeof(cycle._whole), await cycle.read(1000)

    (kept, body), _ = run(pieces)

    assert kept < 3000
    assert body == bytes(number % 256 for number in range(1000))


def test_hang_up() -> None:
    """
    Whoever waits for the body or for the answer's end learns that the client has left, and nothing more is written.
    """

    async def left(sent: Sent) -> tuple[bytes | None, str]:
        cycle = a_cycle(sent)
        told: list[str] = []
        cycle.on_hang_up = lambda: told.append("gone")
        reading = asyncio.create_task(cycle.read(9))
        await asyncio.sleep(0)
        cycle.hang_up()
        cycle.start(200, [])
        cycle.write(b"a")
        cycle.finish()
        assert told == ["gone"]
        return await reading, (await cycle.receive())["type"]

    result, sent = run(left)

    assert (result, sent.data) == ((None, "http.disconnect"), b"")


def test_client_that_sends_too_much_waits() -> None:
    """
    The connection is not read further while more is waiting than anybody has asked for.
    """

    async def much(sent: Sent) -> list[bool]:
        cycle = a_cycle(sent)
        paused = []
        for _ in range(2):
            cycle.add(bytes(40_000))
            paused.append(sent.paused)
        await cycle.receive()
        return paused

    assert run(much)[0] == [False, True]


@pytest.mark.parametrize("pieces", [1, 2])
def test_client_is_read_on_once_its_body_is_taken(pieces: int) -> None:
    """
    A hang-up behind a body is noticed only on a connection that is read, so reading goes on even if the last piece of the
    body was more than may wait.
    """

    async def taken(sent: Sent) -> tuple[bool, bool]:
        cycle = a_cycle(sent)
        if pieces > 1:
            cycle.add(b"a")
            await cycle.read(0)
        cycle.add(bytes(100_000))
        cycle.more_body = False
        paused = sent.paused
        await (cycle.receive() if pieces > 1 else cycle.read(10**6))
        return paused, sent.paused

    assert run(taken)[0] == (True, False)


def test_other_servers_are_refused() -> None:
    """
    The application needs this server, and says so.
    """
    with pytest.raises(TypeError, match="on the server of savemode only"):
        cycle_of(print)
