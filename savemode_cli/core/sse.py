"""
Server-sent events, from bytes in any chunking.

Rule of this file: lines end with LF, CR or both and with nothing else; `str.splitlines` would also end them inside a
text that holds U+2028. What is kept between two chunks is bounded.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (checked 2026-11-24).
"""


class EventData:
    """
    The `data` of each event. Other fields are skipped: the API repeats an event's name in its data.

    `overflowed` is true once an event was longer than allowed; nothing comes out any more.
    """

    __slots__ = ("_after_cr", "_data", "_data_bytes", "_held_bytes", "_max_bytes", "_pieces", "overflowed")

    def __init__(self, max_bytes: int) -> None:
        """
        No event may be longer than `max_bytes`.
        """
        self.overflowed = False
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """
        The data of the events that end in `piece`, each maybe with a space before it.
        """
        if self.overflowed:
            return []
        if self._after_cr or b"\r" in piece:
            piece = self._with_newlines(piece)
        if b"\n" in piece:
            return self._complete(piece)
        if piece:
            self._pieces.append(piece)
            self._hold(self._held_bytes + len(piece))
        return []

    def rest(self) -> bytes:
        """
        The data of an event that was not ended before the stream was.
        """
        last = b"".join(self._pieces)
        return b"\n".join([*self._data, last[5:]] if last.startswith(b"data:") else self._data)

    def _with_newlines(self, piece: bytes) -> bytes:
        """
        CR and CRLF to LF; the two bytes of a CRLF may come in different pieces.
        """
        if not piece:
            return piece
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _complete(self, piece: bytes) -> list[bytes]:
        if self._pieces:
            self._pieces.append(piece)
            piece = b"".join(self._pieces)
        lines = piece.split(b"\n")
        last = lines.pop()
        events = []
        data, data_bytes = self._data, self._data_bytes
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:])
                data_bytes += len(line)
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
                data_bytes = 0
        self._pieces = [last] if last else []
        self._data_bytes = data_bytes
        self._hold(data_bytes + len(last))
        return events

    def _hold(self, held_bytes: int) -> None:
        self._held_bytes = held_bytes
        if held_bytes > self._max_bytes:
            self.overflowed = True
            self._pieces.clear()
            self._data.clear()
