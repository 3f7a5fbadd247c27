"""
Message framing in the places where uvicorn and httptools do not follow the HTTP specification.

Rule of this file: each class changes one behavior of the class that it wraps or extends, and names the section of the
specification that requires it.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import httptools


class ParserCallbacks(Protocol):
    """
    The protocol object that the parser of requests calls.
    """

    def take_head_without_upgrade(self) -> bytes | None:
        """
        Returns:
            The head of a request that offers a protocol upgrade, without the offer. Each head is returned once; None if
            there is none.
        """


class RequestParser:
    """
    The request parser of httptools, except that it ignores an offered protocol upgrade (RFC 9110, section 7.8).

    httptools treats the bytes after such a head as bytes of the other protocol, so the request's body would be lost. This
    class parses the head again without the offer. Java's HTTP client offers `h2c` with every request to an `http://` URL.
    """

    def __init__(self, protocol: ParserCallbacks) -> None:
        """
        Args:
            protocol: receives the parts of each request.
        """
        self.should_upgrade: Callable[[], bool]
        self.should_keep_alive: Callable[[], bool]
        self.get_method: Callable[[], bytes]
        self.get_http_version: Callable[[], str]
        self._protocol = protocol
        self._parser = self._new_parser()

    def feed_data(self, data: bytes) -> None:
        """
        Parse the next bytes.

        Raises:
            httptools.HttpParserError: the bytes are not HTTP.
            httptools.HttpParserUpgrade: the request asks for a tunnel (CONNECT).
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                head = self._protocol.take_head_without_upgrade()
                if head is None:
                    raise
                self._parser = self._new_parser()
                data = head + data[upgrade.args[0] :]
            else:
                return

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self._protocol)
        # uvicorn sets this too: bytes after a request with `connection: close` do not make that request invalid.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.should_upgrade, self.should_keep_alive = parser.should_upgrade, parser.should_keep_alive
        self.get_method, self.get_http_version = parser.get_method, parser.get_http_version
        return parser


class OneWriteTransport:
    """
    A transport that joins the writes of one iteration of the event loop into one system call.

    The server writes the head and the body of an answer separately, and a system call is a third of the cost of a short
    request in this process. The transport does not delay data: it writes at the end of the iteration.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        """
        Args:
            transport: receives the joined data.
        """
        self._transport = transport
        self.writes = 0
        self._buffers: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        """
        Write at the end of this iteration of the event loop.
        """
        if not self._buffers:
            self._call_soon(self.flush)
        self.writes += 1
        self._buffers.append(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """
        The same for several parts, which belong together.
        """
        if not self._buffers:
            self._call_soon(self.flush)
        self.writes += 1
        self._buffers.extend(parts)

    def close(self) -> None:
        """
        Write the remaining data, then close.
        """
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """
        Write the remaining data now.
        """
        if self._buffers:
            buffers, self._buffers = self._buffers, []
            self._transport.write(b"".join(buffers))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
