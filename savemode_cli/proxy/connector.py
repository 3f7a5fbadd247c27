"""
Connections to the upstream: aiohttp's connections with more checks for invalid HTTP, and connections through a SOCKS
proxy.

Rule of this file: it opens and checks connections; `transport` decides what is sent on them.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property, partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

from savemode_cli.network import OutboundProxy

ON_CONNECTED: ContextVar[Callable[[], None] | None] = ContextVar("on_connected", default=None)
"""Called when the current task has a connection for its request."""

_MAX_UNFRAMED_BYTES = 256 * 1024
"""The most bytes without a complete head of a final answer and without a byte of its body."""

_UNBOUNDED_S = 86_400.0  # the limit for the whole connection is shorter, and it applies to all steps together


class Destination(aiohttp.ClientRequest):
    """
    What aiohttp asks for a connection: a request that is never sent.
    """

    @cached_property
    def connection_key(self) -> Any:  # a property there, built anew each time
        """
        Which connections lead there.
        """
        return super().connection_key


class Connector(aiohttp.TCPConnector):
    """
    A TCP connector whose connections are `_Connection`s.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Connection, loop=self._loop)  # type: ignore[assignment]  # a subclass, and invariant

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature of the parent
    ) -> Connection:
        """
        A connection, after the proxy's tunnel and TLS if there are any.
        """
        connection = await super().connect(req, traces, timeout)
        on_connected = ON_CONNECTED.get()
        if on_connected is not None:
            on_connected()
        return connection


class SocksConnector(Connector):
    """
    A connector whose connections go through a SOCKS proxy.
    """

    def __init__(self, proxy: OutboundProxy, **options: Any) -> None:
        if proxy.resolves_names:
            options["resolver"] = _Unresolved()
        elif proxy.scheme == "socks4":
            options["family"] = socket.AF_INET  # SOCKS4 has no IPv6 addresses
        super().__init__(**options)
        self._proxy = proxy

    async def _wrap_create_connection(self, *args: Any, addr_infos: list[Any], req: Any, **options: Any) -> Any:
        """
        Connect in place of aiohttp, which calls this once for each address of the host.
        """
        del options["client_error"]
        limit_s = options.pop("timeout").sock_connect
        host, port, *_ = addr_infos[0][4]
        try:
            async with asyncio.timeout(limit_s):
                connected = await self._connected(host, port, req)
                return await self._loop.create_connection(*args, sock=connected, **options)
        except ssl.CertificateError as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ssl.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error

    async def _connected(self, host: str, port: int, req: Any) -> socket.socket:
        """
        A socket that the proxy has connected to the host.
        """
        from python_socks import ProxyConnectionError, ProxyError, ProxyType  # noqa: PLC0415 - few users need it
        from python_socks.async_.asyncio import Proxy as SocksProxy  # noqa: PLC0415

        own = self._proxy
        kind = ProxyType.SOCKS4 if own.scheme.startswith("socks4") else ProxyType.SOCKS5
        by_proxy = own.resolves_names
        socks = SocksProxy(kind, own.host, own.port, own.username or None, own.password or None, rdns=by_proxy)
        try:
            return await socks.connect(host, port, timeout=_UNBOUNDED_S)
        except ProxyConnectionError as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise aiohttp.ClientProxyConnectionError(req.connection_key, cause) from error
        except ProxyError as error:
            raise SocksRefusal(req.connection_key, OSError(0, str(error))) from error


class SocksRefusal(aiohttp.ClientProxyConnectionError):
    """
    A SOCKS proxy has refused the connection, or its answer is invalid.
    """


class _Unresolved(AbstractResolver):
    """
    Does not resolve names: the proxy does that.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """
        The name in place of its address.
        """
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """
        Do nothing: there is nothing to close.
        """


class _Connection(ResponseHandler):
    """
    aiohttp's protocol of a connection. It adds checks for upstreams that do not follow HTTP, where aiohttp would wait
    forever or misread the answer.
    """

    _unframed_bytes = 0
    _progress: tuple[int, int] | None = None

    def data_received(self, data: bytes) -> None:
        """
        The upstream has sent data. aiohttp limits heads and trailers, but not bytes without meaning: interim answers,
        empty lines, chunk extensions, zeros before a chunk size.
        """
        super().data_received(data)
        body = self._payload
        progress = None if body is None else (id(body), body.total_bytes)
        if progress != self._progress:
            self._progress, self._unframed_bytes = progress, 0
            return
        self._unframed_bytes += len(data)
        if self._unframed_bytes > _MAX_UNFRAMED_BYTES and self.transport is not None:
            self.transport.close()
            self.set_exception(HttpProcessingError(code=400, message="the head or the framing of the body is endless"))

    def is_connected(self) -> bool:
        """
        Whether the connection can be used. Data that came while it was idle cannot be the answer to the next request, so
        such a connection is not used.
        """
        return super().is_connected() and not (self._buffer or self._exception is not None)

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """
        The next head. aiohttp stops its read timeout at each head, even at an interim one, so the timeout is started
        again here.
        """
        message, payload = await super().read()
        if message.code >= 200:
            self._unframed_bytes = 0  # an answer without a body makes no other progress
        elif not self._buffer:
            self.start_timeout()
        return message, payload

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """
        The connection has failed. If the data is not HTTP, aiohttp only informs a reader that waits for a head, so this
        also informs a reader that waits for the rest of a body.
        """
        super().set_exception(exc, exc if exc_cause is None else exc_cause)
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError("the rest of the answer is not HTTP"), exc)
