"""
Bodies in a capture store: written as pieces that are stored once, read back byte for byte.

Rule of this file: a piece is bytes, bytes compressed, or a list of older pieces, under the hash of what it is; and what
is not what it was when it was written is not given out. Transactions are the store's.
"""

import hashlib
import sqlite3
import struct
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from savemode_cli.core.errors import BadInput
from savemode_cli.core.pieces import FEWEST, LONGEST_BYTES, groups, pieces

DAMAGED = "the file is damaged: savemode captures prune --all, or move it away"
_PLAIN, _COMPRESSED, _LIST = 0, 1, 2
_WORTH_COMPRESSING_BYTES = 64
_MOST_REMEMBERED = 100_000
_MOST_IN_TURNS_BYTES = 32 * 1024 * 1024
_MOST_READ_BYTES = 32 * 1024 * 1024

_Piece = bytes | tuple[int, ...]
_Cut = Sequence[tuple[bytes, int]]
"""The pieces of a body, and their numbers."""


class BodyWriter:
    """
    Writes bodies. `begin` in a transaction, `done` after it: only then is what was written there for certain.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """
        Nothing is known yet.
        """
        self._db = db
        self._swept = -1
        self._numbers: dict[bytes, int] = {}
        self._new: dict[bytes, int] = {}
        self._turns: OrderedDict[str, _Cut] = OrderedDict()
        self._new_turns: dict[str, _Cut] = {}

    def begin(self) -> None:
        """
        Forget what a failed transaction wrote, and everything where pieces were removed: maybe by another process.
        """
        (swept,) = self._db.execute("SELECT times FROM swept").fetchone()
        if swept != self._swept or len(self._numbers) > _MOST_REMEMBERED:
            self._numbers = {}
            self._turns.clear()
            self._swept = swept
        self._new, self._new_turns = {}, {}

    def put(self, body: bytes, cache: str | None = None) -> int:
        """
        The number of a body's piece. What it has in common with the start of the one before it of the same `cache` is
        only compared: from turn to turn that is most of it.
        """
        cut = self._cut(body, self._turns.get(cache, ()) if cache is not None else ())
        if cache is not None:
            self._new_turns[cache] = cut
        numbers: Sequence[int] = [number for _, number in cut]
        while len(numbers) > 2 * FEWEST:
            numbers = [self._list(group) for group in groups(numbers)]
        return numbers[0] if len(numbers) == 1 else self._list(numbers)

    def done(self) -> None:
        """
        Remember what was written.
        """
        self._numbers |= self._new
        for cache, turn in self._new_turns.items():
            self._turns[cache] = turn
            self._turns.move_to_end(cache)
        while len(self._turns) > 1 and sum(map(_length, self._turns.values())) > _MOST_IN_TURNS_BYTES:
            self._turns.popitem(last=False)

    def _cut(self, body: bytes, before: _Cut) -> _Cut:
        found = []
        start = 0
        for one in before:
            if not body.startswith(one[0], start):
                break
            found.append(one)
            start += len(one[0])
        found += [(piece, self._plain(piece)) for piece in pieces(body, start)]
        return found or [(b"", self._plain(b""))]

    def _plain(self, data: bytes) -> int:
        key = _plain_key(data)
        return self._number(key) or self._insert(key, *_compressed(data))

    def _list(self, numbers: Sequence[int]) -> int:
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        key = _list_key(data)
        return self._number(key) or self._insert(key, _LIST, data)

    def _number(self, key: bytes) -> int | None:
        number = self._numbers.get(key) or self._new.get(key)
        if number is None:
            found = self._db.execute("SELECT id FROM pieces WHERE hash = ?", (key,)).fetchone()
            if found is not None:
                number = self._new[key] = found[0]
        return number

    def _insert(self, key: bytes, kind: int, data: bytes) -> int:
        number = self._db.execute("INSERT INTO pieces (hash, kind, data) VALUES (?, ?, ?)", (key, kind, data)).lastrowid
        assert number is not None  # noqa: S101 - an INSERT has one
        self._new[key] = number
        return number


class BodyReader:
    """
    Reads bodies, and remembers some pieces: bodies that are read one after another have most of them in common.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        """
        `path` is for errors.
        """
        self._db = db
        self._path = path
        self._read: OrderedDict[int, _Piece] = OrderedDict()
        self._read_bytes = 0

    def body(self, root: int, most_bytes: int) -> bytes:
        """
        The body that a piece is, of at most so many bytes.

        Raises:
            BadInput: it is not there as it was.
        """
        out: list[bytes] = []
        size = 0
        left = [root]
        while left:
            piece = self._piece(left.pop())
            if isinstance(piece, tuple):
                left += reversed(piece)
            else:
                out.append(piece)
                size += len(piece)
                if size > most_bytes:
                    raise BadInput(f"a body in {self._path} is longer than it was", hint=DAMAGED)
        return b"".join(out)

    def _piece(self, number: int) -> _Piece:
        known = self._read.get(number)
        if known is not None:
            self._read.move_to_end(number)
            return known
        found = self._db.execute("SELECT hash, kind, data FROM pieces WHERE id = ?", (number,)).fetchone()
        piece = None if found is None else _whole(number, *found)
        if piece is None:
            raise BadInput(f"piece {number} in {self._path} is damaged or missing", hint=DAMAGED)
        self._read[number] = piece
        self._read_bytes += _size(piece)
        while self._read_bytes > _MOST_READ_BYTES:
            self._read_bytes -= _size(self._read.popitem(last=False)[1])
        return piece


def sweep(db: sqlite3.Connection) -> None:
    """
    Remove the pieces that no exchange needs any more. A list is younger than what it lists, so one pass is enough.
    """
    needed: set[int] = set()
    for roots in db.execute("SELECT request_piece, response_piece FROM exchanges"):
        needed.update(root for root in roots if root is not None)
    lists = db.execute("SELECT id, data FROM pieces WHERE kind = ? ORDER BY id DESC", (_LIST,))
    for number, data in lists:
        if number in needed:
            needed.update(_unpacked(data))
    every = [number for (number,) in db.execute("SELECT id FROM pieces")]
    db.executemany("DELETE FROM pieces WHERE id = ?", ((one,) for one in every if one not in needed))
    db.execute("UPDATE swept SET times = times + 1")


def _plain_key(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _list_key(data: bytes) -> bytes:
    # The other half: no bytes of a body can be taken for a list.
    return hashlib.sha256(data).digest()[16:]


def _compressed(data: bytes) -> tuple[int, bytes]:
    if len(data) >= _WORTH_COMPRESSING_BYTES:
        smaller = zlib.compress(data)
        if len(smaller) < len(data):
            return _COMPRESSED, smaller
    return _PLAIN, data


def _whole(number: int, key: bytes, kind: int, data: bytes) -> _Piece | None:
    """
    A piece as it was stored; None if it is not what was.
    """
    if kind == _LIST:
        listed = _unpacked(data)
        return listed if _list_key(data) == key and max(listed, default=number) < number else None
    if kind == _COMPRESSED:
        try:
            data = zlib.decompressobj().decompress(data, LONGEST_BYTES + 1)
        except zlib.error:
            return None
    return data if _plain_key(data) == key else None


def _unpacked(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])


def _length(cut: _Cut) -> int:
    return sum(len(piece) for piece, _ in cut)


def _size(piece: _Piece) -> int:
    return 8 * len(piece) if isinstance(piece, tuple) else len(piece)
