"""
The network side alone: what it is given goes out as it is, what comes back is handed on as it is.
"""

import asyncio
import gzip
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from savemode_cli.core.errors import UpstreamTimeout, UpstreamUnreachable
from savemode_cli.proxy.transport import AiohttpTransport
from tests.proxy.wire import CHUNKED, LAST_CHUNK, OK, Wire, chunk

Headers = list[tuple[bytes, bytes]]
Use = Callable[[AiohttpTransport], Awaitable[Any]]


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """
    A thread for the transport's event loop; the test keeps the upstream's side.
    """
    with ThreadPoolExecutor(1) as pool:
        yield pool


def using(aside: ThreadPoolExecutor, url: str, use: Use, *, read_timeout_s: float = 10.0) -> "Future[Any]":
    """
    Let `use` have a transport in a loop of its own.
    """

    async def main() -> Any:
        transport = AiohttpTransport(url, connect_timeout_s=10.0, read_timeout_s=read_timeout_s)
        try:
            return await use(transport)
        finally:
            await transport.aclose()

    return aside.submit(asyncio.run, main())


def outgoing(
    method: str = "POST",
    target: bytes = b"/v1/messages",
    headers: Headers | None = None,
    stream: httpx.AsyncByteStream | None = None,
) -> httpx.Request:
    """
    A request as the relay makes it.
    """
    stream = httpx.ByteStream(b"") if stream is None else stream
    return httpx.Request(method, "http://upstream", headers=headers, stream=stream, extensions={"target": target})


async def collected(response: httpx.Response) -> bytes:
    """
    The answer's bytes, as they came; the response is closed as the relay closes it.
    """
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        return b"".join([piece async for piece in response.stream])
    finally:
        await response.stream.aclose()


def sending(request: httpx.Request) -> Use:
    """
    Send one request; gives the answer's status, headers and bytes.
    """

    async def use(transport: AiohttpTransport) -> tuple[int, Headers, bytes]:
        response = await transport.handle_async_request(request)
        return response.status_code, response.headers.raw, await collected(response)

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
    Nothing is decoded, quoted or normalised on the way.
    """
    running = using(aside, wire.url, sending(outgoing("GET", target)))
    upstream = wire.accept()

    assert upstream.head().first == b"GET " + target + b" HTTP/1.1"

    upstream.send(OK)
    running.result(10)


def test_nothing_is_added(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    No header but `host` (and the length of a body) is the transport's own.
    """
    running = using(aside, wire.url, sending(outgoing(stream=httpx.ByteStream(b"{}"))))
    upstream = wire.accept()

    assert upstream.message().names == [b"host", b"content-length"]

    upstream.send(OK)
    running.result(10)


def test_headers_keep_order_and_repetition(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    Repeated, empty and UTF-8 values stand where they stood.
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
    Any status is an answer: a redirect is not followed, an error is not raised.
    """
    running = using(aside, wire.url, sending(outgoing("GET")))
    upstream = wire.accept()
    upstream.head()
    upstream.send(b"HTTP/1.1 %d\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n" % status)

    assert running.result(10)[0] == status


def test_answer_is_not_decoded(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    Compressed bytes stay compressed, and the headers that say so stay with them, spelled as they were.
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
    103 Early Hints comes before the answer and is not it.
    """
    running = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    upstream.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK)

    assert running.result(10)[0] == 200


def test_head_is_returned_before_the_body(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    The answer's head is there while its body has not begun.
    """
    got_head = threading.Event()

    async def use(transport: AiohttpTransport) -> bytes:
        response = await transport.handle_async_request(outgoing())
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
    A second request goes over the first one's connection.
    """

    async def use(transport: AiohttpTransport) -> None:
        for _ in range(2):
            await collected(await transport.handle_async_request(outgoing()))

    running = using(aside, wire.url, use)
    upstream = wire.accept()
    for _ in range(2):
        upstream.message()
        upstream.send(OK)
    running.result(10)

    assert not wire.waiting()


def test_connection_that_ended_while_idle_is_not_used(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    Where the upstream has closed an idle connection, the next request opens another one.
    """
    closed = threading.Event()

    async def use(transport: AiohttpTransport) -> int:
        await collected(await transport.handle_async_request(outgoing()))
        await asyncio.to_thread(closed.wait, 10)
        response = await transport.handle_async_request(outgoing())
        await collected(response)
        return response.status_code

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


def test_closing_an_unread_answer_ends_its_connection(wire: Wire, aside: ThreadPoolExecutor) -> None:
    """
    The upstream learns that nobody listens any more.
    """

    async def use(transport: AiohttpTransport) -> None:
        response = await transport.handle_async_request(outgoing())
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await response.stream.aclose()
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
    Nobody listens: unreachable, naming the host and neither path nor query.
    """
    wire.close()
    with pytest.raises(UpstreamUnreachable, match=r"^cannot reach 127\.0\.0\.1: ") as caught:
        using(aside, wire.url, sending(outgoing(target=b"/v1/x?key=sk-ant-secret"))).result(10)

    assert "secret" not in caught.value.message


def test_no_such_host(aside: ThreadPoolExecutor) -> None:
    """
    A name that resolves to nothing is said as such.
    """
    with pytest.raises(UpstreamUnreachable, match=r"nowhere\.invalid: no such host"):
        using(aside, "http://nowhere.invalid", sending(outgoing())).result(10)


@pytest.mark.parametrize("answer", [b"", b"not HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"])
def test_no_answer(wire: Wire, aside: ThreadPoolExecutor, answer: bytes) -> None:
    """
    A connection that ends without an answer, or with something else than HTTP, is no answer.
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
    So it is in mid-answer.
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
    An answer that ends before its end is an error, never a shorter answer.
    """
    running = using(aside, wire.url, sending(outgoing()))
    upstream = wire.accept()
    upstream.message()
    upstream.send(answer)
    upstream.close()

    with pytest.raises(UpstreamUnreachable, match="ended early"):
        running.result(10)


class Endless(httpx.AsyncByteStream):
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
    An upstream that refuses an upload at its first byte is heard.
    """
    running = using(aside, wire.url, sending(outgoing(stream=Endless())))
    upstream = wire.accept()
    upstream.head()
    assert upstream.chunk() == b"first"
    upstream.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")

    assert running.result(10)[0] == 413
