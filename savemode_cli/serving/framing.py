"""
Message framing in the places where uvicorn and httptools do not follow the HTTP specification.

Rule of this file: each class changes one behavior of the class that it wraps or extends, and names the section of the
specification that requires it.
"""

import asyncio
import sys
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self._protocol)
        # uvicorn sets this too: bytes after a request with `connection: close` do not make that request invalid.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser


class CloseDelimitedCycle(RequestResponseCycle):
    """
    The answer to an HTTP/1.0 client. HTTP/1.0 has no chunked encoding, so a body of unknown length ends when the
    connection closes (RFC 9112, section 6.3).
    """

    _ends_with_connection = False

    async def send(self, message: Any) -> None:
        """
        Send a part of the answer.
        """
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            has_body = self.scope["method"] != "HEAD" and message["status"] not in (204, 304)
            self._ends_with_connection = has_body and b"content-length" not in names
            if self._ends_with_connection:
                self.chunked_encoding = False
        elif self._ends_with_connection:
            # The parent class compares the number of bytes sent with this length.
            body = message.get("body", b"")
            self.expected_content_length = sys.maxsize if message.get("more_body", False) else len(body)
        await super().send(message)


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
