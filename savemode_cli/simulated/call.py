"""
One HTTP request to the simulated upstream, and the ways to answer it.

Rule of this file: it reads and writes bytes; other modules decide which answer to send.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import parse_qs

from savemode_cli.core.wire.encodings import decoder
from savemode_cli.core.wire.messages import MAX_BODY_BYTES, error_body
from savemode_cli.serving.protocol import TRANSPORT

Scope = dict[str, Any]
RawHeaders = list[tuple[bytes, bytes]]

SIMULATED_HEADER = (b"x-savemode-simulated", b"tokens-estimated")
"""A header of every answer: no model produced the answer, and no tokenizer counted the tokens."""

ORGANIZATION = (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000")

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"


class ClientGone(Exception):
    """
    The client has disconnected, or a fault has broken the connection.
    """


class Call:
    """
    A request and its answer.

    Attributes:
        status: the HTTP status of the answer; None until the head is sent.
        note: what the log of requests says about this request.
    """

    def __init__(
        self, scope: Scope, receive: Callable[[], Any], send: Callable[[Any], Any], request_id: str, *, may_gzip: bool
    ) -> None:
        """
        Args:
            scope: the ASGI scope.
            receive: the ASGI receive function.
            send: the ASGI send function.
            request_id: the ID in the answer's `request-id` header.
            may_gzip: whether the answer may be compressed, if the client accepts that.
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
        The value of the last header with this name; empty if there is none.
        """
        return self._headers.get(name, b"").decode("latin-1")

    def values(self, name: bytes) -> frozenset[str]:
        """
        The items of all headers with this name, which contain comma-separated lists.
        """
        lines = (value.decode("latin-1") for key, value in self._scope["headers"] if key == name)
        return frozenset(item.strip() for line in lines for item in line.split(","))

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
            OverflowError: the body is larger than the API accepts.
            Undecodable: the content encoding is unknown, or the data is damaged.
            ClientGone: the client disconnected before the end of the body.
        """
        pieces = []
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
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
            ClientGone: the client disconnected during the pause.
        """
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
            raise ClientGone

    async def answer(self, status: int, body: bytes, headers: RawHeaders, *, cut: bool = False) -> None:
        """
        Send a whole answer.

        Args:
            status: the HTTP status.
            body: the body, as JSON.
            headers: headers in addition to the common ones.
            cut: send only the head and the first half of the body that the head announces.
        """
        if self._compresses():
            body = zlib.compress(body, wbits=zlib.MAX_WBITS | 16)
            headers = [*headers, (b"content-encoding", b"gzip")]
        await self._head(status, [(b"content-type", JSON), (b"content-length", b"%d" % len(body)), *headers])
        await self._send(
            {"type": "http.response.body", "body": body[: len(body) // 2] if cut else body, "more_body": cut}
        )

    async def refuse(self, status: int, api_type: str, text: str, headers: RawHeaders | None = None) -> None:
        """
        Send an error in the API's error format.
        """
        await self.answer(status, error_body(api_type, text, self.request_id), headers or [])

    async def begin_stream(self, headers: RawHeaders) -> None:
        """
        Send the head of a stream of events.
        """
        if self._compresses():
            self._gzip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
            headers = [*headers, (b"content-encoding", b"gzip")]
        await self._head(200, [(b"content-type", EVENTS), (b"cache-control", b"no-cache"), *headers])

    async def write(self, data: bytes) -> None:
        """
        Send a piece of a stream.
        """
        if self._gzip is not None:
            # Flush each event; otherwise the client would not see it until later events fill the compressor's buffer.
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self) -> None:
        """
        Send the end of a stream.
        """
        rest = b"" if self._gzip is None else self._gzip.flush()
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def reset(self) -> NoReturn:
        """
        Reset the connection at once, like a host that crashes.

        Raises:
            ClientGone: always.
        """
        transport = self._scope.get("extensions", {}).get(TRANSPORT)
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                # With a linger time of zero, the kernel sends a reset (RST) instead of a normal end (FIN).
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            await asyncio.sleep(0)  # let the server notice the abort, so that it sends no answer of its own
        raise ClientGone

    def _compresses(self) -> bool:
        return self._may_gzip and "gzip" in self.header(b"accept-encoding")

    async def _head(self, status: int, headers: RawHeaders) -> None:
        self.status = status
        common = [(b"request-id", self.request_id.encode()), ORGANIZATION, SIMULATED_HEADER]
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *common]})
