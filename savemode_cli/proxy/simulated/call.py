"""
One HTTP request to the simulated upstream, and the ways to answer it.

Rule of this file: bytes in, bytes out; which answer it is was decided elsewhere.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import parse_qs

from savemode_cli.core.encodings import decoder
from savemode_cli.core.messages import MAX_BODY_BYTES, error_body
from savemode_cli.proxy.server import TRANSPORT

Scope = dict[str, Any]
RawHeaders = list[tuple[bytes, bytes]]

MARK = (b"x-savemode-simulated", b"tokens-estimated")
"""On every answer: no model has spoken, and no tokenizer has counted."""

ORGANIZATION = (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000")

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"


class Gone(Exception):
    """
    The client has hung up, or the connection was broken on request.
    """


class Call:
    """
    A request as far as it was read. `status` is that of the answer's head, once it has gone out.
    """

    def __init__(
        self, scope: Scope, receive: Callable[[], Any], send: Callable[[Any], Any], request_id: str, *, may_gzip: bool
    ) -> None:
        """
        Nothing is read yet.
        """
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.request_id = request_id
        self.status: int | None = None
        self.note = ""
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._may_gzip = may_gzip
        self._gzip: Any = None

    def header(self, name: bytes) -> str:
        """
        The value of a header, the last if there are several; empty if there is none.
        """
        return self._headers.get(name, b"").decode("latin-1")

    def values(self, name: bytes) -> frozenset[str]:
        """
        The items of a header that is a list and may be repeated.
        """
        lines = (value.decode("latin-1") for key, value in self._scope["headers"] if key == name)
        return frozenset(one.strip() for line in lines for one in line.split(","))

    def query(self, name: str) -> str:
        """
        A parameter of the query; empty if there is none.
        """
        query: bytes = self._scope["query_string"]
        return parse_qs(query.decode("latin-1")).get(name, [""])[0]

    async def body(self) -> bytes:
        """
        The whole body, decompressed.

        Raises:
            OverflowError: larger than the API takes.
            Undecodable: compressed in a way that cannot be undone.
            Gone: the client left before its end.
        """
        pieces = []
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            size += len(piece)
            if size > MAX_BODY_BYTES:
                raise OverflowError
            pieces.append(piece)
            more = message.get("more_body", False)
        body = b"".join(pieces)
        decode = decoder(self.header(b"content-encoding"), MAX_BODY_BYTES)
        return body if decode is None else b"".join(decode(body))

    async def pause(self, seconds: float) -> None:
        """
        Wait.

        Raises:
            Gone: the client hung up meanwhile.
        """
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
            raise Gone

    async def answer(self, status: int, body: bytes, headers: RawHeaders, *, cut: bool = False) -> None:
        """
        A whole answer; or, `cut`, its head and the first half of what the head announces.
        """
        if self._compresses():
            body = zlib.compress(body, wbits=zlib.MAX_WBITS | 16)
            headers = [*headers, (b"content-encoding", b"gzip")]
        await self._head(status, [(b"content-type", JSON), (b"content-length", b"%d" % len(body)), *headers])
        await self._send(
            {"type": "http.response.body", "body": body[: len(body) // 2] if cut else body, "more_body": cut}
        )

    async def refuse(self, status: int, api_type: str, said: str, headers: RawHeaders | None = None) -> None:
        """
        An error in the API's envelope.
        """
        await self.answer(status, error_body(api_type, said, self.request_id), headers or [])

    async def begin_stream(self, headers: RawHeaders) -> None:
        """
        The head of a stream of events.
        """
        if self._compresses():
            self._gzip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
            headers = [*headers, (b"content-encoding", b"gzip")]
        await self._head(200, [(b"content-type", EVENTS), (b"cache-control", b"no-cache"), *headers])

    async def write(self, data: bytes) -> None:
        """
        A piece of a stream.
        """
        if self._gzip is not None:
            # Flushed, or the client would see nothing of an event before some later one filled the window.
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self) -> None:
        """
        The end of a stream.
        """
        rest = b"" if self._gzip is None else self._gzip.flush()
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def reset(self) -> NoReturn:
        """
        Break the connection at once, as a crashed host does.

        Raises:
            Gone: always.
        """
        transport = self._scope.get("extensions", {}).get(TRANSPORT)
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                # No goodbye: with a linger of zero the kernel sends a reset instead of an end.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            await asyncio.sleep(0)  # or the server would answer in our place, not knowing yet that nobody is there
        raise Gone

    def _compresses(self) -> bool:
        return self._may_gzip and "gzip" in self.header(b"accept-encoding")

    async def _head(self, status: int, headers: RawHeaders) -> None:
        self.status = status
        own = [(b"request-id", self.request_id.encode()), ORGANIZATION, MARK]
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *own]})
