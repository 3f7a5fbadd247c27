"""
Server-sent events, from bytes in any chunking.

Rule of this file: only LF, CR or both end a line. (`str.splitlines` would also split a text at U+2028.) What is kept
between two chunks is bounded. An event that is longer than the bound is skipped, and the events after it are read.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (checked 2026-11-30).
"""

BOM = b"\xef\xbb\xbf"
"""U+FEFF in UTF-8. At the beginning of a stream it is not part of the first line."""

_OTHER_FIELDS = (b"event:", b":", b"id:", b"retry:")
_BARE_FIELDS = frozenset({b"data", b"event", b"id", b"retry"})


class EventData:
    """
    Reads the `data` of each event. Other fields are skipped: the API repeats an event's name in its data.

    Attributes:
        skipped: How many events were longer than allowed.
        checks_fields: Whether lines are looked at for `only_fields`. Whoever knows enough sets it to False, which is faster.
    """

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_data",
        "_data_bytes",
        "_foreign",
        "_held_bytes",
        "_max_bytes",
        "_pieces",
        "_skipped_newline",
        "checks_fields",
        "skipped",
    )

    def __init__(self, max_bytes: int) -> None:
        """
        Create a reader.

        Args:
            max_bytes: the length of the longest event that is read.
        """
        self.skipped = 0
        self.checks_fields = True
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._at_start = True
        self._foreign = False
        self._skipped_newline: bool | None = None
        """While an event is skipped: whether its last byte ended a line. None otherwise."""

    @property
    def only_fields(self) -> bool:
        """
        Whether all lines so far are fields, comments or empty, as in a stream of events.
        """
        return not self._foreign and not self.skipped and not _is_foreign(b"".join(self._pieces))

    def feed(self, piece: bytes) -> list[bytes]:
        """
        Read the next bytes.

        Returns:
            The data of the events that end in them. Each may begin with a space.
        """
        if self._at_start:
            piece = self._without_bom(piece)
        if self._after_cr or b"\r" in piece:
            piece = self._with_newlines(piece)
        if self._skipped_newline is not None:
            piece = self._skip(piece, after_newline=self._skipped_newline)
        if b"\n" in piece:
            return self._complete(piece)
        if piece:
            self._pieces.append(piece)
            self._hold(self._held_bytes + len(piece))
        return []

    def rest(self) -> bytes:
        """
        The data of an event that the stream did not end.
        """
        last = b"".join(self._pieces)
        return b"\n".join([*self._data, last[5:]] if last.startswith(b"data:") else self._data)

    def _without_bom(self, piece: bytes) -> bytes:
        """
        The bytes after a byte order mark; empty while the bytes may still become one.
        """
        head = b"".join([*self._pieces, piece])
        if len(head) < len(BOM) and BOM.startswith(head):
            self._pieces = [head] if head else []
            return b""
        self._at_start = False
        self._pieces = []
        return head.removeprefix(BOM)

    def _with_newlines(self, piece: bytes) -> bytes:
        """
        Replace CR and CRLF by LF. The two bytes of a CRLF may come in different chunks.
        """
        if not piece:
            return piece
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _skip(self, piece: bytes, *, after_newline: bool) -> bytes:
        """
        What follows the event that is being skipped. It ends with an empty line.
        """
        text = b"\n" + piece if after_newline else piece
        end = text.find(b"\n\n")
        if end < 0:
            self._skipped_newline = text.endswith(b"\n")
            return b""
        self._skipped_newline = None
        return text[end + 2 :]

    def _complete(self, piece: bytes) -> list[bytes]:
        if self._pieces:
            self._pieces.append(piece)
            piece = b"".join(self._pieces)
        lines = piece.split(b"\n")
        last = lines.pop()
        events = []
        data, data_bytes = self._data, self._data_bytes
        checks_fields, may_be_long = self.checks_fields, data_bytes + len(piece) > self._max_bytes
        too_long = False
        for line in lines:
            if not line:
                if data and not too_long:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                self.skipped += too_long
                too_long = False
                data.clear()
                data_bytes = 0
            elif may_be_long and (too_long or data_bytes + len(line) > self._max_bytes):
                too_long = True
            elif line.startswith(b"data:"):
                data.append(line[5:])
                data_bytes += len(line)
            elif checks_fields and not line.startswith(_OTHER_FIELDS):
                self._foreign = self._foreign or line not in _BARE_FIELDS
        self._pieces = [last] if last else []
        self._data_bytes = data_bytes
        self._hold(data_bytes + len(last), too_long=too_long)
        return events

    def _hold(self, held_bytes: int, *, too_long: bool = False) -> None:
        self._held_bytes = held_bytes
        if too_long or held_bytes > self._max_bytes:
            self.skipped += 1
            self._skipped_newline = not self._pieces
            self._pieces.clear()
            self._data.clear()
            self._held_bytes = self._data_bytes = 0


def _is_foreign(line: bytes) -> bool:
    """
    Whether a line, which may be cut off, does not belong to a stream of events.
    """
    fields = (b"data:", *_OTHER_FIELDS)
    return not line.startswith(fields) and not any(one.startswith(line) for one in fields)
