"""
One request on a connection, and its answer.

Rule of this file: it frames one answer (RFC 9112, section 6). An application reads and writes through these methods, or
through the messages of ASGI, which call the same methods.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from io import BytesIO
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters that no header contains. Line ends are counted."""

_NO_BODY = frozenset({204, 304})
_REMEMBERED_NAMES = 512
_LONGEST_REMEMBERED = 64


class Cycle(RequestResponseCycle):
    """
    A request, whose body arrives in pieces, and the answer.

    Attributes:
        on_hang_up: called when the client leaves before the answer is complete; None if nobody wants to know.
        on_piece: called with the size of each piece of the body that comes; None if nobody wants to know.
        refuse: refuses the request while its body is not complete, for the reason given. The connection ends.
    """

    on_hang_up: Callable[[], None] | None = None
    on_piece: Callable[[int], None] | None = None
    refuse: Callable[[str], None]

    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: the arguments of the parent class.
        """
        super().__init__(**options)
        self._first = b""
        self._whole: BytesIO | None = None
        self._size = 0
        self._most_bytes = HIGH_WATER_LIMIT
        self._length: int | None = 0

    # The request.

    def add(self, piece: bytes) -> None:
        """
        A piece of the body has come. The client is not read further while enough is waiting.
        """
        if not self._size:
            self._first = piece
        elif self._whole is None:
            # One buffer: a list of pieces takes 40 times the size of a body that comes byte by byte, and joining it copies.
            self._whole = BytesIO()
            self._whole.writelines((self._first, piece))
        else:
            self._whole.write(piece)
        self._size += len(piece)
        if self.on_piece is not None:
            self.on_piece(len(piece))
        if self._size > self._most_bytes:
            self.flow.pause_reading()
        self.message_event.set()

    async def read(self, limit: int) -> bytes | None:
        """
        The body, or the beginning of a longer one: then `more_body` is true, and the rest comes from `receive`.

        Args:
            limit: how many bytes a complete body may have.

        Returns:
            The bytes; None if the client has left.
        """
        self._most_bytes = max(limit, HIGH_WATER_LIMIT)
        self._continue()
        while self.more_body and self._size <= limit and not self.disconnected:
            self.flow.resume_reading()
            self.message_event.clear()
            await self.message_event.wait()
        self._most_bytes = HIGH_WATER_LIMIT
        if self.more_body:
            self.message_event.clear()  # nothing is waiting for `receive`
        return None if self.disconnected else self._taken()

    async def receive(self) -> Any:
        """
        The next message of ASGI.
        """
        self._continue()
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._taken(), "more_body": self.more_body}

    def _continue(self) -> None:
        """
        Let a client send its body that has asked whether it may.
        """
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False

    @property
    def waiting_bytes(self) -> int:
        """
        How many bytes of the body have come that nobody has taken.
        """
        return self._size

    def _taken(self) -> bytes:
        body = self._first if self._whole is None else self._whole.getvalue()
        self._first, self._whole, self._size = b"", None, 0
        if not self.more_body:
            self.flow.resume_reading()  # a client that leaves is noticed only while its connection is read
        return body

    def hang_up(self) -> None:
        """
        The client has left. What is written from now on is dropped.
        """
        self.disconnected = True
        self.message_event.set()
        if self.on_hang_up is not None:
            self.on_hang_up()

    # The answer.

    async def drained(self) -> None:
        """
        Wait until the client has taken enough of what was written.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """
        Write the head. Without a content-length the body is chunked; for HTTP/1.0, which has no chunks, it ends with the
        connection.

        Raises:
            RuntimeError: a header is not one, or the answer has already started.
        """
        if self.disconnected:
            return
        if self.response_started:
            raise RuntimeError("the answer has already started")
        lines, closes = [], False
        self._length = None
        for name, value in headers:
            name = (_checked_name if len(name) <= _LONGEST_REMEMBERED else _in_lower_case)(name)  # noqa: PLW2901
            if name == b"content-length":
                self._length = int(value)
            elif name == b"transfer-encoding":
                continue  # what is unknown is framed below
            elif name == b"connection" and b"close" in value.lower():
                closes = True
            lines.append(b"%b: %b\r\n" % (name, value))
        if self._length is None:
            self._frame_unknown_length(status, lines)
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"%b%b\r\n" % (STATUS_LINE[status], _checked_lines(lines))
        self.response_started, self.waiting_for_100_continue = True, False
        self.transport.write(head)

    def _frame_unknown_length(self, status: int, lines: list[bytes]) -> None:
        if self.scope["method"] == "HEAD" or status in _NO_BODY:
            self._length = 0
        elif self.scope["http_version"] == "1.1":
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            self.keep_alive = False

    def write(self, body: bytes) -> None:
        """
        Write a part of the body.

        Raises:
            RuntimeError: the head is missing, or the body is longer than its content-length.
        """
        if self.disconnected or not body:
            return
        if not self.response_started or self.response_complete:
            raise RuntimeError("a body without a head, or behind its end")
        if self.scope["method"] == "HEAD":
            return
        if self.chunked_encoding:
            self.transport.writelines((b"%x\r\n" % len(body), body, b"\r\n"))
            return
        if self._length is not None:
            self._length -= len(body)
            if self._length < 0:
                raise RuntimeError("the answer is longer than its content-length")
        self.transport.write(body)

    def finish(self) -> None:
        """
        The answer is complete.

        Raises:
            RuntimeError: the head is missing, or the body is shorter than its content-length.
        """
        if self.disconnected:
            return
        if not self.response_started or self.response_complete:
            raise RuntimeError("the end of an answer without a head, or for the second time")
        if self.chunked_encoding:
            self.transport.write(b"0\r\n\r\n")
        elif self._length and self.scope["method"] != "HEAD":
            raise RuntimeError("the answer is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    async def send(self, message: Any) -> None:
        """
        Send a message of ASGI.
        """
        await self.drained()
        if message["type"] == "http.response.start":
            self.start(message["status"], message.get("headers", ()))
        else:
            self.write(message.get("body", b""))
            if not message.get("more_body", False):
                self.finish()


def cycle_of(receive: Any) -> Cycle:
    """
    The cycle whose messages an application of ASGI receives.

    Raises:
        TypeError: the application does not run on a server of savemode.
    """
    cycle = getattr(receive, "__self__", None)
    if not isinstance(cycle, Cycle):
        raise TypeError("this application runs on the server of savemode only")
    return cycle


def _checked_lines(lines: list[bytes]) -> bytes:
    """
    The lines of a head together.

    Raises:
        RuntimeError: a header contains a line end, so that the rest of it would be another one, or a control character.
    """
    head = b"".join(lines)
    if head.count(b"\r") != len(lines) or head.count(b"\n") != len(lines) or _FORBIDDEN.search(head):
        raise RuntimeError("invalid HTTP header value")
    return head


def _in_lower_case(name: bytes) -> bytes:
    """
    The name of a header in lower case.

    Raises:
        RuntimeError: it has characters that no name has.
    """
    if not name or HEADER_RE.search(name):
        raise RuntimeError("invalid HTTP header name")
    return name.lower()


_checked_name = lru_cache(_REMEMBERED_NAMES)(_in_lower_case)
