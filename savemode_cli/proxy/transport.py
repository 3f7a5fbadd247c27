"""
The network side: an httpx transport over aiohttp.

Rule of this file: what it is given goes out as it is, and what comes back is handed on as it is: target, headers and
bytes, compressed or not. httpx's own transport costs three times the CPU (tests/benchmarks/proxy.py).
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from savemode_cli.core.errors import UpstreamTimeout, UpstreamUnreachable

_NOTHING_OF_ITS_OWN = ("accept", "accept-encoding", "content-type", "user-agent")
_LONGEST_HEADER_BYTES = 64 * 1024
_HIGHEST_STATUS = 599  # RFC 9110, 15: a status is three digits, and its class one of five


class AiohttpTransport(httpx.AsyncBaseTransport):
    """
    Sends to one upstream. The request's `target` extension (path and query as bytes) goes onto the request line as it is.

    Raises, from `handle_async_request` and while the body is read:
        UpstreamTimeout: no connection within `connect_timeout_s`, or no byte for `read_timeout_s`.
        UpstreamUnreachable: anything else that kept the answer from arriving whole.
    """

    def __init__(
        self, upstream: str, *, connect_timeout_s: float, read_timeout_s: float, proxy: str | None = None
    ) -> None:
        """
        Nothing is opened before the first request.
        """
        self._upstream = URL(upstream)
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Send, and return as soon as the answer's head is there.
        """
        session = self._session or self._open()
        target = request.extensions["target"].decode("latin-1")
        content = request.stream
        body = b"".join(content) if isinstance(content, httpx.ByteStream) else content
        try:
            response = await session.request(
                request.method,
                URL(f"{self._upstream.scheme}://{self._upstream.authority}{target}", encoded=True),
                headers=_text_headers(request.headers.raw),
                data=body or None,
                allow_redirects=False,
                proxy=self._proxy,
            )
        except TimeoutError as error:
            raise UpstreamTimeout(f"{self._upstream.host} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachable(f"cannot reach {self._upstream.host}: {_reason(error)}") from error
        if response.status > _HIGHEST_STATUS:
            response.close()
            raise UpstreamUnreachable(f"{self._upstream.host} answered with status {response.status}, which is none")
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def aclose(self) -> None:
        """
        Close the connections; running requests end with an error.
        """
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        tls = httpx.create_ssl_context() if self._upstream.scheme == "https" else False
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0, ssl=tls),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOTHING_OF_ITS_OWN,
            max_line_size=_LONGEST_HEADER_BYTES,
            max_field_size=_LONGEST_HEADER_BYTES,
        )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """
    One whose connections are `_Connection`s.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Connection, loop=self._loop)  # type: ignore[assignment]  # a subclass, and invariant


class _Connection(ResponseHandler):
    """
    aiohttp's side of a connection, where an upstream that does not keep to HTTP would hang or mislead it.
    """

    def is_connected(self) -> bool:
        """
        Whether it may be used. What came on it while it idled is no answer to what is asked next.
        """
        return super().is_connected() and not (self._buffer or self._exception is not None)

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """
        The next head. aiohttp stops its clock at each, also at an interim one, behind which there may be silence.
        """
        message, payload = await super().read()
        if message.code < 200 and not self._buffer:
            self.start_timeout()
        return message, payload

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """
        The connection has failed. Where what came is not HTTP, aiohttp tells who waits for a head, and not who waits for
        the rest of a body.
        """
        super().set_exception(exc, exc if exc_cause is None else exc_cause)
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError("what followed is not HTTP"), exc)


class _Body(httpx.AsyncByteStream):
    """
    The answer's bytes, in the pieces in which they arrive: nothing waits for more.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream fell silent in mid-answer") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachable(f"the upstream's answer ended early: {_reason(error)}") from error

    async def aclose(self) -> None:
        # A connection whose answer was read to its end has gone back to the pool by itself; one with more to come is
        # closed, which is how the upstream learns that nobody listens any more.
        self._response.close()


def _text_headers(raw: list[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """
    Headers as aiohttp takes them; it writes UTF-8, so bytes that are UTF-8 come out as they went in.
    """
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in raw:
        try:
            headers.add(name.decode("ascii"), value.decode())
        except UnicodeDecodeError:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
    return headers


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "no such host"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ClientSSLError, "TLS failed"),
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "connection lost"),
)


def _reason(error: Exception) -> str:
    """
    What happened, in a few words and without the URL, whose query may hold a key.
    """
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
