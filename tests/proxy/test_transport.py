"""
The transport alone: requests and answers pass unchanged.
"""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from savemode_cli.core.errors import UpstreamTimeout, UpstreamUnreachable
from savemode_cli.proxy.transport import AiohttpTransport
from savemode_cli.proxy.upstream import UpstreamAnswer, UpstreamRequest
from tests.support.waiting import LONG_S
from tests.support.wire import CHUNKED, LAST_CHUNK, OK, Wire, chunk

Headers = list[tuple[bytes, bytes]]
Use = Callable[[AiohttpTransport], Awaitable[Any]]


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """
    A thread for the transport's event loop; the test has the upstream's side.
    """
    with ThreadPoolExecutor(1) as pool:
        yield pool


def using(
    aside: ThreadPoolExecutor, url: str, use: Use, *, read_timeout_s: float = 10.0, **options: Any
) -> "Future[Any]":
    """
    Run `use` with a transport in an event loop of its own.
    """

    async def main() -> Any:
        transport = AiohttpTransport(url, connect_timeout_s=10.0, read_timeout_s=read_timeout_s, **options)
        try:
            return await use(transport)
        finally:
            await transport.aclose()

    return aside.submit(asyncio.run, main())


def outgoing(
    method: str = "POST",
    target: bytes = b"/v1/messages",
    headers: Headers | None = None,
    body: bytes | AsyncIterable[bytes] = b"",
) -> UpstreamRequest:
    """
    A request as the relay makes it.
    """
    return UpstreamRequest(method, target, headers or [], body)


async def collected(answer: UpstreamAnswer) -> bytes:
    """
    The bytes of the answer; the answer is closed as the relay closes it.
    """
    try:
        return b"".join([piece async for piece in answer.pieces])
    finally:
        await answer.pieces.aclose()


def sending(request: UpstreamRequest) -> Use:
    """
    Send one request; returns the answer's status, headers and bytes.
    """

    async def use(transport: AiohttpTransport) -> tuple[int, Headers, bytes]:
        answer = await transport.send(request)
        return answer.status, answer.headers, await collected(answer)

    return use


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/messages?beta=true",
        b"//v1//models",
        b"/v1/../x/./y/..",
        b"/a;p=1/b|c",
        b"/a%2Fb%2f%20c%zz%",
        b"/?q=a+b%20c&&=|{}\"'&q=a?b/../",
        b"/user:pass@host:1/",
    ],
)
def test_target_is_on_the_request_line(wire: Wire, aside: ThreadPoolExecutor, target: bytes) -> None:
    """
    It is not decoded, quoted or normalized.
    """
    running = using(aside, wire.url, sending(outgoing("GET", target)))
    upstream = wire.accept()

    assert upstream.head().first == b"GET " + target + b" HTTP/1.1"

    upstream.send(OK)
    running.result(10)


def test_nothing_is_added(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    The transport adds only `host`, and the length of a body.
    """
    running = using(aside, wire.url, sending(outgoing(body=b"{}")))
    upstream = wire.accept()

    assert upstream.message().names == [b"host", b"content-length"]

    upstream.send(OK)
    running.result(10)


@pytest.mark.parametrize("length", [0, 1, 2**16, 2**20, 2**20 + 1])
def test_a_body_arrives_whole(wire: Wire, aside: ThreadPoolExecutor, length: int) -> None:
    """
    Whatever its length, which decides how it is written.
    """
    body = b"x" * length
    running = using(aside, wire.url, sending(outgoing(body=body)))
    upstream = wire.accept()
    message = upstream.message()

    assert (message.names, message.body) == ([b"host", b"content-length"], body)

    upstream.send(OK)
    running.result(10)


@pytest.mark.parametrize("header", [(b"a", b"1\r\nb: 2"), (b"a", b"1\nb: 2"), (b"a: 1\rb", b"2")])
def test_a_line_end_in_a_header_is_refused(wire: Wire, aside: ThreadPoolExecutor, header: tuple[bytes, bytes]) -> None:
    """
    The upstream would read another header behind it, or another request.
    """
    with pytest.raises(ValueError, match="line end"):
        using(aside, wire.url, sending(outgoing(headers=[header], body=b"{}"))).result(10)


def test_the_length_of_a_body_is_sent_once(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    A request whose method has no body is sent without a length. If its method could have a body, the length 0 is sent.
    """

    async def use(transport: AiohttpTransport) -> None:
        for method in ("GET", "DELETE"):
            await collected(await transport.send(outgoing(method)))

    running = using(aside, wire.url, use)
    upstream = wire.accept()
    for names in ([b"host"], [b"host", b"content-length"]):
        assert upstream.message().names == names
        upstream.send(OK)
    running.result(10)


def test_headers_keep_order_and_repetition(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    Repeated, empty and UTF-8 values keep their places.
    """
    headers = [(b"b", b"1"), (b"a", b""), (b"b", b"caf\xc3\xa9"), (b"cookie", b"x=1"), (b"cookie", b"y=2")]
    running = using(aside, wire.url, sending(outgoing("GET", headers=headers)))
    upstream = wire.accept()

    assert upstream.head().headers[1:] == headers

    upstream.send(OK)
    running.result(10)


@pytest.mark.parametrize("status", [201, 307, 401, 418, 529])
def test_status_is_handed_on(wire: Wire, aside: ThreadPoolExecutor, status: int) -> None:
    """
    Any status is an answer: redirects are not followed, and errors are not raised.
    """
    running = using(aside, wire.url, sending(outgoing("GET")))
    upstream = wire.accept()
    upstream.head()
    upstream.send(b"HTTP/1.1 %d\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n" % status)

    assert running.result(10)[0] == status


def test_answer_is_not_decoded(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    Compressed bytes stay compressed, and their headers stay, in their spelling.
    """
    body = gzip.compress(b'{"type":"message"}')
    running = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    head = b"Content-Encoding: gzip\r\nSet-Cookie: a=1\r\nset-cookie: b=\xe9\r\n"
    upstream.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))

    assert running.result(10) == (
        200,
        [
            (b"Content-Encoding", b"gzip"),
            (b"Set-Cookie", b"a=1"),
            (b"set-cookie", b"b=\xe9"),
            (b"Content-Length", str(len(body)).encode()),
        ],
        body,
    )


def test_interim_answers_are_not_the_answer(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    103 Early Hints comes before the answer.
    """
    running = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    upstream.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK)

    assert running.result(10)[0] == 200


def test_head_is_returned_before_the_body(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    The head is returned before the body has begun.
    """
    got_head = threading.Event()

    async def use(transport: AiohttpTransport) -> bytes:
        response = await transport.send(outgoing())
        got_head.set()
        return await collected(response)

    running = using(aside, wire.url, use)
    upstream = wire.accept()
    upstream.message()
    upstream.send(CHUNKED)

    assert got_head.wait(10)

    upstream.send(chunk(b"late") + LAST_CHUNK)
    assert running.result(10) == b"late"


def test_connection_is_used_again(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    A second request uses the first one's connection.
    """

    async def use(transport: AiohttpTransport) -> None:
        for _ in range(2):
            await collected(await transport.send(outgoing()))

    running = using(aside, wire.url, use)
    upstream = wire.accept()
    for _ in range(2):
        upstream.message()
        upstream.send(OK)
    running.result(10)

    assert not wire.waiting()


def test_connection_that_ended_while_idle_is_not_used(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    If the upstream has closed an idle connection, the next request opens another one.
    """
    closed = threading.Event()

    async def use(transport: AiohttpTransport) -> int:
        await collected(await transport.send(outgoing()))
        await asyncio.to_thread(closed.wait, 10)
        response = await transport.send(outgoing())
        await collected(response)
        return response.status

    running = using(aside, wire.url, use)
    first = wire.accept()
    first.message()
    first.send(OK)
    first.close()
    closed.set()
    second = wire.accept()
    second.message()
    second.send(OK)

    assert running.result(10) == 200


@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("HEAD", True), ("POST", False)])
def test_connection_that_ends_under_a_request(
    wire: Wire, aside: ThreadPoolExecutor, method: str, repeated: bool
) -> None:
    """
    If the upstream closes an idle connection while the next request is on its way, a request that does no harm twice is
    sent once more. A call that may be billed is not.
    """

    async def use(transport: AiohttpTransport) -> int:
        await collected(await transport.send(outgoing()))
        answer = await transport.send(outgoing(method))
        await collected(answer)
        return answer.status

    running = using(aside, wire.url, use)
    first = wire.accept()
    first.message()
    first.send(OK)
    first.message()
    first.close()
    if repeated:
        second = wire.accept()
        second.message()
        second.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert running.result(10) == 204
    else:
        with pytest.raises(UpstreamUnreachable):
            running.result(10)
        assert not wire.waiting()


@pytest.mark.parametrize("value", [b"a\x01b", b"\x7f"])
def test_header_with_a_control_character(wire: Wire, aside: ThreadPoolExecutor, value: bytes) -> None:
    """
    Such an answer cannot be passed on, and is an error of the upstream.
    """
    running = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    upstream.send(b"HTTP/1.1 200 OK\r\nx-a: " + value + b"\r\ncontent-length: 2\r\n\r\n{}")

    with pytest.raises(UpstreamUnreachable, match="control character"):
        running.result(10)


def test_closing_an_unread_answer_ends_its_connection(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    The upstream notices that the client has left.
    """

    async def use(transport: AiohttpTransport) -> None:
        response = await transport.send(outgoing())
        await response.pieces.aclose()
        await asyncio.to_thread(done.wait, 10)

    done = threading.Event()
    running = using(aside, wire.url, use)
    upstream = wire.accept()
    upstream.message()
    upstream.send(CHUNKED + chunk(b"x"))

    assert upstream.rest() == b""
    done.set()
    running.result(10)


def test_refused_connection(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    The port is closed: the error names the host and neither path nor query.
    """
    wire.close()
    with pytest.raises(UpstreamUnreachable, match=r"^cannot reach 127\.0\.0\.1: ") as caught:
        using(aside, wire.url, sending(outgoing(target=b"/v1/x?key=sk-ant-secret"))).result(10)

    assert "secret" not in caught.value.message


def test_no_such_host(aside: ThreadPoolExecutor) -> None:
    """
    The error says that the name cannot be resolved.
    """
    with pytest.raises(UpstreamUnreachable, match=r"nowhere\.invalid: no such host"):
        using(aside, "http://nowhere.invalid", sending(outgoing())).result(10)


@pytest.mark.parametrize("answer", [b"", b"not HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"])
def test_no_answer(wire: Wire, aside: ThreadPoolExecutor, answer: bytes) -> None:
    """
    A connection that ends without an answer, or that sends anything but HTTP, is an error.
    """
    running = using(aside, wire.url, sending(outgoing(target=b"/v1/messages?key=secret")))
    upstream = wire.accept()
    upstream.message()
    upstream.send(answer)
    upstream.close()

    with pytest.raises(UpstreamUnreachable) as caught:
        running.result(10)
    assert not isinstance(caught.value, UpstreamTimeout)
    assert "secret" not in caught.value.message


def test_silence_before_the_head(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    No byte for `read_timeout_s` is a timeout.
    """
    running = using(aside, wire.url, sending(outgoing()), read_timeout_s=0.2)
    wire.accept().message()

    with pytest.raises(UpstreamTimeout):
        running.result(10)


def test_silence_in_the_body(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    The same in the middle of an answer.
    """
    running = using(aside, wire.url, sending(outgoing()), read_timeout_s=0.2)
    upstream = wire.accept()
    upstream.message()
    upstream.send(CHUNKED + chunk(b"x"))

    with pytest.raises(UpstreamTimeout):
        running.result(10)


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + chunk(b"x"),
        CHUNKED + b"5\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
    ],
)
def test_broken_body(wire: Wire, aside: ThreadPoolExecutor, answer: bytes) -> None:
    """
    An incomplete answer is an error, never a shorter answer.
    """
    running = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    upstream.send(answer)
    upstream.close()

    with pytest.raises(UpstreamUnreachable, match="ended early"):
        running.result(10)


class Endless:
    """
    A body that gives its first piece and then waits.
    """

    async def __aiter__(self) -> Any:
        """
        One piece, then nothing.
        """
        yield b"first"
        await asyncio.Event().wait()


def test_answer_may_come_before_the_body_was_sent(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    If the upstream refuses an upload at its first byte, the refusal is returned.
    """
    running = using(aside, wire.url, sending(outgoing(body=Endless())))
    upstream = wire.accept()
    upstream.head()
    assert upstream.chunk() == b"first"
    upstream.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")

    assert running.result(10)[0] == 413


# Limits on what an upstream can send.

STATUS = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (STATUS, b"x-a: " + b"a" * 1000 + b"\r\n"),
        (STATUS + b"x-a: ", b"a" * 1000),
        (STATUS + b"x-a: b\r\n", b" " + b"a" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 ", b"O" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 30),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" * 30),
        (b"", b"\r\n" * 500),
        (CHUNKED + chunk(b"x") + b"0\r\n", b"x-a: " + b"a" * 1000 + b"\r\n"),
        (CHUNKED + chunk(b"x") + b"0\r\nx-a: ", b"a" * 1000),
        (CHUNKED + chunk(b"x") + b"1;", b"a" * 1000),
        (CHUNKED + chunk(b"x"), b"0" * 1000),
    ],
    ids=[
        *("headers", "header", "folded", "reason", "continue", "hints", "empty-lines", "trailers", "trailer"),
        *("extension", "chunk-size"),
    ],
)
def test_everything_has_an_end(aside: ThreadPoolExecutor, wire: Wire, begin: bytes, piece: bytes) -> None:
    """
    An endless part of an answer fails long before 50 MB, although the next byte always arrives in time.
    """
    answered = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    sent = 0
    with suppress(ConnectionError):
        upstream.send(begin)
        while sent < 50_000_000:
            upstream.send(piece * 50)
            sent += 50 * len(piece)
    upstream.close()

    assert sent < 50_000_000
    with pytest.raises(UpstreamUnreachable, match=r"is not HTTP|ended early"):
        answered.result(LONG_S)


def test_small_pieces_are_a_body(aside: ThreadPoolExecutor, wire: Wire) -> None:
    """
    The framing between two parts of a body is limited, but the sum of all framing is not.
    """
    answered = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    upstream.send(CHUNKED + b"1;comment\r\nx\r\n" * 100_000 + LAST_CHUNK)

    assert answered.result(LONG_S)[2] == b"x" * 100_000


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_many_answers_without_a_body(aside: ThreadPoolExecutor, wire: Wire, method: str) -> None:
    """
    The heads of one connection are not added up.
    """

    async def use(transport: AiohttpTransport) -> list[int]:
        statuses = []
        for _ in range(20):
            response = await transport.send(outgoing(method))
            await collected(response)
            statuses.append(response.status)
        return statuses

    answered = using(aside, wire.url, use)
    upstream = wire.accept()
    for _ in range(20):
        upstream.message()
        upstream.send(b"HTTP/1.1 204 No Content\r\n" + b"x-a: %b\r\n" % (b"a" * 1000) * 20 + b"\r\n")

    assert answered.result(LONG_S) == [204] * 20
