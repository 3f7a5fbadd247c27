"""
Bodies in a capture store: written as chunks that are stored once, and read back byte for byte.

Rule of this file: a chunk (a row of the table `pieces`) contains bytes, compressed bytes, or a list of older chunks, and
its hash identifies it. A chunk that no longer has its hash is an error and is never returned. `store` runs the
transactions.
"""

import hashlib
import sqlite3
import struct
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from savemode_cli.captures.chunks import MAX_CHUNK_BYTES, MAX_GROUP, MIN_GROUP, chunks, groups
from savemode_cli.core.errors import BadInput

DAMAGED = "the file is damaged: savemode captures prune --all, or move it away"
_PLAIN, _COMPRESSED, _LIST = 0, 1, 2
_WORTH_COMPRESSING_BYTES = 64
_MAX_REMEMBERED = 100_000
_MAX_TURNS_BYTES = 32 * 1024 * 1024
_MAX_READ_BYTES = 32 * 1024 * 1024

_MIN_BYTES_PER_CHUNK = 6
"""
The least bytes of a body for each chunk that is read. Bodies that savemode wrote have at least 8.3. Without this limit, a
file from elsewhere could contain lists of lists without end.
"""

_MAX_DATA_BYTES = {_PLAIN: MAX_CHUNK_BYTES, _COMPRESSED: MAX_CHUNK_BYTES, _LIST: 4 * MAX_GROUP}
"""The longest `data` of a chunk, by its kind."""

_Chunk = bytes | tuple[int, ...]
_Cut = Sequence[tuple[bytes, int]]
"""The chunks of a body, each with its number in the store."""


class BodyWriter:
    """
    Writes bodies. Call `begin` in a transaction, and `committed` after it: only then are the written chunks certain to
    exist.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """
        Args:
            db: the database of the store.
        """
        self._db = db
        self._swept = -1
        self._numbers: dict[bytes, int] = {}
        self._new: dict[bytes, int] = {}
        self._turns: OrderedDict[str, _Cut] = OrderedDict()
        self._new_turns: dict[str, _Cut] = {}

    def begin(self) -> None:
        """
        Forget the chunks of a failed transaction. If this or another process has removed chunks, forget all known chunks.
        """
        (swept,) = self._db.execute("SELECT times FROM swept").fetchone()
        if swept != self._swept or len(self._numbers) > _MAX_REMEMBERED:
            self._numbers = {}
            self._turns.clear()
            self._swept = swept
        self._new, self._new_turns = {}, {}

    def write(self, body: bytes, cache: str | None = None) -> int:
        """
        Write a body.

        Args:
            body: the bytes.
            cache: names a conversation. The chunks that the body shares with the start of the conversation's previous
                body are only compared, and in most turns this is most of the body.

        Returns:
            The number of the chunk that stands for the body.
        """
        cut = self._cut(body, self._turns.get(cache, ()) if cache is not None else ())
        if cache is not None:
            self._new_turns[cache] = cut
        numbers: Sequence[int] = [number for _, number in cut]
        while len(numbers) > 2 * MIN_GROUP:
            numbers = [self._write_list(group) for group in groups(numbers)]
        return numbers[0] if len(numbers) == 1 else self._write_list(numbers)

    def committed(self) -> None:
        """
        Remember the chunks of the committed transaction.
        """
        self._numbers |= self._new
        for cache, turn in self._new_turns.items():
            self._turns[cache] = turn
            self._turns.move_to_end(cache)
        while len(self._turns) > 1 and sum(map(_length, self._turns.values())) > _MAX_TURNS_BYTES:
            self._turns.popitem(last=False)

    def _cut(self, body: bytes, previous: _Cut) -> _Cut:
        chunks_of_body = []
        start = 0
        for chunk in previous:
            if not body.startswith(chunk[0], start):
                break
            chunks_of_body.append(chunk)
            start += len(chunk[0])
        chunks_of_body += [(chunk, self._write_bytes(chunk)) for chunk in chunks(body, start)]
        return chunks_of_body or [(b"", self._write_bytes(b""))]

    def _write_bytes(self, data: bytes) -> int:
        key = _bytes_key(data)
        return self._number(key) or self._insert(key, *_compressed(data))

    def _write_list(self, numbers: Sequence[int]) -> int:
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        key = _list_key(data)
        return self._number(key) or self._insert(key, _LIST, data)

    def _number(self, key: bytes) -> int | None:
        number = self._numbers.get(key) or self._new.get(key)
        if number is None:
            row = self._db.execute("SELECT id FROM pieces WHERE hash = ?", (key,)).fetchone()
            if row is not None:
                number = self._new[key] = row[0]
        return number

    def _insert(self, key: bytes, kind: int, data: bytes) -> int:
        number = self._db.execute("INSERT INTO pieces (hash, kind, data) VALUES (?, ?, ?)", (key, kind, data)).lastrowid
        assert number is not None  # noqa: S101 - every INSERT has a row ID
        self._new[key] = number
        return number


class BodyReader:
    """
    Reads bodies. It remembers some chunks, because consecutive bodies usually share most of them.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        """
        Args:
            db: the database of the store.
            path: the path of the store, for errors.
        """
        self._db = db
        self._path = path
        self._read: OrderedDict[int, _Chunk] = OrderedDict()
        self._read_bytes = 0

    def body(self, root: int, max_bytes: int) -> bytes:
        """
        Read a body.

        Args:
            root: the number of the chunk that stands for the body.
            max_bytes: the longest body to accept.

        Raises:
            BadInput: a chunk is missing or damaged, or the body is too long.
        """
        out: list[bytes] = []
        size, remaining_steps = 0, 1000 + max_bytes // _MIN_BYTES_PER_CHUNK
        pending = [root]
        while pending:
            chunk = self._chunk(pending.pop())
            remaining_steps -= 1
            if isinstance(chunk, tuple):
                pending += reversed(chunk)
            else:
                out.append(chunk)
                size += len(chunk)
            if size > max_bytes or remaining_steps < 0:
                raise BadInput(f"a body in {self._path} is longer than recorded", hint=DAMAGED)
        return b"".join(out)

    def _chunk(self, number: int) -> _Chunk:
        cached = self._read.get(number)
        if cached is not None:
            self._read.move_to_end(number)
            return cached
        row = self._db.execute("SELECT hash, kind, length(data) FROM pieces WHERE id = ?", (number,)).fetchone()
        key, kind, length = row or (None, -1, None)
        chunk = None
        if isinstance(length, int) and length <= _MAX_DATA_BYTES.get(kind, -1):
            (data,) = self._db.execute("SELECT data FROM pieces WHERE id = ?", (number,)).fetchone()
            chunk = _verified(number, key, kind, data)
        if chunk is None:
            raise BadInput(f"chunk {number} in {self._path} is damaged or missing", hint=DAMAGED)
        self._read[number] = chunk
        self._read_bytes += _size(chunk)
        while self._read_bytes > _MAX_READ_BYTES:
            self._read_bytes -= _size(self._read.popitem(last=False)[1])
        return chunk


def remove_unused_chunks(db: sqlite3.Connection) -> None:
    """
    Remove the chunks that no exchange needs. A list is always newer than the chunks in it, so one pass in descending
    order finds all of them.
    """
    needed: set[int] = set()
    for roots in db.execute("SELECT request_piece, response_piece FROM exchanges"):
        needed.update(root for root in roots if root is not None)
    lists = db.execute("SELECT id, data FROM pieces WHERE kind = ? ORDER BY id DESC", (_LIST,))
    for number, data in lists:
        if number in needed:
            needed.update(_unpacked(data))
    stored = [number for (number,) in db.execute("SELECT id FROM pieces")]
    db.executemany("DELETE FROM pieces WHERE id = ?", ((number,) for number in stored if number not in needed))
    db.execute("UPDATE swept SET times = times + 1")


def _bytes_key(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _list_key(data: bytes) -> bytes:
    # The other half of the hash, so that the bytes of a body can never have the key of a list.
    return hashlib.sha256(data).digest()[16:]


def _compressed(data: bytes) -> tuple[int, bytes]:
    if len(data) >= _WORTH_COMPRESSING_BYTES:
        smaller = zlib.compress(data)
        if len(smaller) < len(data):
            return _COMPRESSED, smaller
    return _PLAIN, data


def _verified(number: int, key: Any, kind: Any, data: Any) -> _Chunk | None:
    """
    The content of a chunk; None if it does not have its hash.
    """
    if not isinstance(data, bytes):
        return None
    if kind == _LIST:
        listed = _unpacked(data)
        return listed if _list_key(data) == key and max(listed, default=number) < number else None
    if kind == _COMPRESSED:
        try:
            data = zlib.decompressobj().decompress(data, MAX_CHUNK_BYTES + 1)
        except zlib.error:
            return None
    return data if _bytes_key(data) == key else None


def _unpacked(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])


def _length(cut: _Cut) -> int:
    return sum(len(chunk) for chunk, _ in cut)


def _size(chunk: _Chunk) -> int:
    return 8 * len(chunk) if isinstance(chunk, tuple) else len(chunk)
