"""
Sends requests to one upstream, over aiohttp's connections.

Rule of this file: requests and answers pass unchanged: target, headers and bytes, compressed or not.

There are two ways. A request with a complete body is written directly to one of aiohttp's connections, without aiohttp's
session; this needs a quarter of the CPU time. The session sends all others: bodies that arrive while they are sent, large
bodies, and requests through an HTTP proxy.
"""

import io
import re
import ssl
from functools import cached_property
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from savemode_cli.core.errors import UpstreamTimeout, UpstreamUnreachable
from savemode_cli.network import OutboundProxy
from savemode_cli.proxy.connector import ON_CONNECTED, Connector, Destination, SocksConnector
from savemode_cli.proxy.unreachable import reason, refused_by, unreachable
from savemode_cli.proxy.upstream import UpstreamAnswer, UpstreamRequest
from savemode_cli.serving.headers import RawHeaders

_NOTHING_OF_ITS_OWN = ("accept", "accept-encoding", "content-type", "user-agent")
_LONGEST_HEADER_BYTES = 64 * 1024
_FINAL_STATUSES = range(200, 600)
"""The statuses of a final answer (RFC 9110, section 15). 1xx is interim, and the proxy never asks for an upgrade."""

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no header's value contains (RFC 9110, section 5.5). aiohttp accepts most of them."""

_INTERIM_STATUSES = range(100, 200)
_SWITCHING_PROTOCOLS = 101  # final: the bytes after it are not HTTP
_LARGE_BYTES = 2**20
"""
A larger body is written in pieces, so that the event loop can run between them; a transport writes bytes in one system
call and one copy.
"""

_NEED_NO_LENGTH = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that need no content-length if there is no body (RFC 9110, section 8.6)."""

_IDEMPOTENT = _NEED_NO_LENGTH | {"PUT", "DELETE"}
"""Methods whose requests may be sent again if the connection breaks (RFC 9110, section 9.2.2)."""


class AiohttpTransport:
    """
    Sends requests to one upstream; see `Transport`.
    """

    def __init__(
        self,
        upstream: str,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        proxy: OutboundProxy | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """
        No connection is opened before the first request.

        Args:
            upstream: the URL of the upstream. Its path is not used: each request has its own target.
            connect_timeout_s: how long connecting may take, also through a proxy, in seconds.
            read_timeout_s: how long the upstream may send nothing, in seconds.
            proxy: the outbound proxy.
            tls: the trusted certificates for TLS with the upstream or the proxy.
        """
        self._upstream = URL(upstream)
        self._origin = str(self._upstream.origin())
        self._host_line = f"Host: {self._upstream.host_port_subcomponent}".encode("latin-1")
        self._proxy = proxy
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._connector: Connector | None = None
        self._destination: Destination | None = None

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """
        Send a request, and return as soon as the head of the answer has come.
        """
        body = request.body
        try:
            if isinstance(body, bytes) and len(body) <= _LARGE_BYTES and not self._proxy_options:
                answer = await self._send_repeatedly(request, body)
            else:
                answer = await self._send_by_session(request, body)
        except TimeoutError as error:
            raise UpstreamTimeout(f"{self._named} did not answer in time") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise unreachable(error, self._upstream.raw_host, self._proxy) from error
        if answer.status not in _FINAL_STATUSES:
            await answer.pieces.aclose()
            raise UpstreamUnreachable(f"{self._upstream.host} sent an invalid HTTP status: {answer.status:03}")
        if _CONTROL.search(b"".join([value for _, value in answer.headers])):
            await answer.pieces.aclose()
            raise UpstreamUnreachable(f"{self._upstream.host} sent a header with a control character")
        return answer

    async def _send_repeatedly(self, request: UpstreamRequest, body: bytes) -> UpstreamAnswer:
        """
        Send a request. If the connection breaks, send an idempotent request once more, because the upstream may have closed
        an idle connection at that moment. aiohttp's session does the same.
        """
        try:
            return await self._send_whole(request, body)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if request.method not in _IDEMPOTENT:
                raise
            return await self._send_whole(request, body)

    async def _send_whole(self, request: UpstreamRequest, body: bytes) -> UpstreamAnswer:
        """
        Write head and body at once, and read the head of the answer. aiohttp's session does the same with more steps.
        """
        destination = self._destination or self._open()
        assert self._connector is not None  # noqa: S101 - opened with the destination
        connection = await self._connector.connect(destination, [], self._timeout)
        try:
            request.on_connected()
            protocol = connection.protocol
            assert protocol is not None and protocol.transport is not None  # noqa: S101, PT018 - connected
            protocol.set_response_params(
                skip_payload=request.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=self._timeout.sock_read,
                max_line_size=_LONGEST_HEADER_BYTES,
                max_field_size=_LONGEST_HEADER_BYTES,
            )
            protocol.transport.writelines([self._head(request, len(body)), body])
            protocol.start_timeout()
            message, payload = await protocol.read()
            while message.code in _INTERIM_STATUSES and message.code != _SWITCHING_PROTOCOLS:
                message, payload = await protocol.read()
        except BaseException:
            connection.close()
            raise
        payload.on_eof(connection.release)
        return UpstreamAnswer(message.code, list(message.raw_headers), _Body(payload, connection))

    def _head(self, request: UpstreamRequest, length: int) -> bytes:
        """
        The head of a request with a complete body.

        Raises:
            ValueError: a header contains a line end, so that the rest of it would be another header.
        """
        lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.target), self._host_line]
        lines += [b"%b: %b" % header for header in request.headers]
        if length or request.method not in _NEED_NO_LENGTH:
            lines.append(b"Content-Length: %d" % length)
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
            raise ValueError("a header contains a line end")
        return head + b"\r\n\r\n"

    async def _send_by_session(self, request: UpstreamRequest, body: Any) -> UpstreamAnswer:
        if self._destination is None:
            self._open()
        session = self._session or self._open_session()
        ON_CONNECTED.set(request.on_connected)
        response = await session.request(
            request.method,
            URL(f"{self._origin}{request.target.decode('latin-1')}", encoded=True),
            headers=self._headers(request.headers),
            data=_in_pieces(body) or None,
            allow_redirects=False,
            **self._proxy_options,
        )
        self._check_status(response)
        return UpstreamAnswer(response.status, list(response.raw_headers), _Body(response.content, response))

    async def aclose(self) -> None:
        """
        Close the connections; running requests end with an error.
        """
        if self._session is not None:
            await self._session.close()
        if self._connector is not None:
            await self._connector.close()
        self._session = self._connector = self._destination = None

    @cached_property
    def _named(self) -> str:
        """
        The upstream in an error message, with the outbound proxy.
        """
        return f"{self._upstream.host}" + (f" through the proxy {self._proxy}" if self._proxy is not None else "")

    @cached_property
    def _proxy_options(self) -> dict[str, Any]:
        """
        The options of aiohttp for an HTTP proxy.
        """
        proxy = self._proxy
        if proxy is None or proxy.is_socks:
            return {}
        tunnel = {"Proxy-Authorization": proxy.credentials} if proxy.credentials else None
        return {"proxy": URL(proxy.address), "proxy_headers": tunnel}

    @cached_property
    def _forwarder(self) -> OutboundProxy | None:
        """
        The outbound proxy if it forwards the requests themselves: an HTTP proxy to an upstream without TLS.
        """
        proxy = self._proxy
        return proxy if proxy and not proxy.is_socks and self._upstream.scheme == "http" else None

    def _headers(self, raw: RawHeaders) -> CIMultiDict[str]:
        headers = _text_headers(raw)
        if self._forwarder is not None and self._forwarder.credentials:
            headers.add("Proxy-Authorization", self._forwarder.credentials)
        return headers

    def _check_status(self, response: aiohttp.ClientResponse) -> None:
        """
        Raise for an answer that the outbound proxy made itself.
        """
        forwarder, status = self._forwarder, response.status
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and forwarder is not None:
            response.close()
            error = refused_by(forwarder, self._upstream.raw_host, status)
            error.served = False
            raise error

    def _open(self) -> Destination:
        options: dict[str, Any] = {"limit": 0, "ssl": self._tls or True}
        proxy = self._proxy
        self._connector = SocksConnector(proxy, **options) if proxy and proxy.is_socks else Connector(**options)
        self._destination = Destination("GET", URL(self._origin))
        return self._destination

    def _open_session(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOTHING_OF_ITS_OWN,
            max_line_size=_LONGEST_HEADER_BYTES,
            max_field_size=_LONGEST_HEADER_BYTES,
        )
        return self._session


class _Body:
    """
    The bytes of the answer, in the pieces in which they arrive.
    """

    def __init__(self, content: StreamReader, closed: Connection | aiohttp.ClientResponse) -> None:
        self._content = content
        self._closed = closed

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._content.readany()
        except TimeoutError as error:
            raise UpstreamTimeout("the upstream stopped sending in the middle of its answer") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachable(f"the upstream's answer ended early: {reason(error)}") from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        # After a complete answer, the connection is already back in the pool. Otherwise it is closed, and so the upstream
        # notices that the client has left.
        self._closed.close()


def _in_pieces(body: Any) -> Any:
    return io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE_BYTES else body


def _text_headers(raw: RawHeaders) -> CIMultiDict[str]:
    """
    Headers in aiohttp's format. aiohttp encodes them as UTF-8, so valid UTF-8 is sent unchanged.
    """
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in raw:
        try:
            headers.add(name.decode("ascii"), value.decode())
        except UnicodeDecodeError:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
    return headers
