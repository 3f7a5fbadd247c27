"""
As little HTTP/1.1 as two fast ends on loopback need: where a message's head and body end, whatever the pieces.

Rule of this file: it trusts its peer. It is for measuring proxies and never faces anybody else.
"""

import re

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)


class Message:
    """
    One message, request or response, fed piece by piece. `head` is empty until it is complete.
    """

    __slots__ = ("_buffer", "_chunked", "_missing", "done", "head")

    def __init__(self) -> None:
        """
        Nothing has been read.
        """
        self.head = b""
        self.done = False
        self._buffer = b""
        self._missing = 0
        self._chunked = False

    def feed(self, data: bytes) -> bytes:
        """
        The bytes of the body in *data*, without the framing; `done` is true after the last.
        """
        if not self.head:
            data = self._buffer + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return b""
            self.head, data, self._buffer = data[: end + 2], data[end + 4 :], b""
            self._chunked = _CHUNKED.search(self.head) is not None
            length = _LENGTH.search(self.head)
            self._missing = int(length[1]) if length and not self._chunked else 0
        if self._chunked:
            return self._unchunked(data)
        self._missing -= len(data)
        self.done = self._missing <= 0
        return data

    def _unchunked(self, data: bytes) -> bytes:
        """
        `_missing` counts the rest of the chunk and the line end behind it.
        """
        out = []
        data = self._buffer + data
        self._buffer = b""
        while data and not self.done:
            if self._missing:
                piece = data[: self._missing]
                out.append(piece[: max(0, self._missing - 2)])
                self._missing -= len(piece)
                data = data[len(piece) :]
                continue
            line, end, rest = data.partition(b"\r\n")
            if not end:
                self._buffer = data
                break
            size = int(line.split(b";")[0], 16)
            if size == 0 and not rest.startswith(b"\r\n"):
                self._buffer = data
                break
            self.done = size == 0
            self._missing, data = size + 2, rest
        return b"".join(out)
