"""
The capture store: one exchange after another, whose bodies share what they have in common.

Rule of this file: an exchange is there as a whole or not at all, and a body comes back byte for byte or not at all.

A body is a piece. A piece is bytes, bytes compressed, or a list of other pieces; each is stored once, under the hash of
what it is. The bodies of a conversation have most pieces in common, and their lists of pieces most of their parts: a
turn costs what is new in it, whatever came before. None refers to the turn before, so any of them can be pruned.
"""

import hashlib
import sqlite3
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from savemode_cli.captures.file import BUSY_S, FILE_NAME, explained, file_of, identity, open_file
from savemode_cli.core.capture import Capture, decode, encode
from savemode_cli.core.errors import BadInput, CaptureUnavailable, SavemodeError
from savemode_cli.core.pieces import FEWEST, LONGEST_BYTES, groups, pieces

_PLAIN, _COMPRESSED, _LIST = 0, 1, 2
_WORTH_COMPRESSING_BYTES = 64
_MOST_REMEMBERED = 100_000
_MOST_IN_TURNS_BYTES = 32 * 1024 * 1024
_MOST_READ_BYTES = 32 * 1024 * 1024
_PAGE = 200

_Piece = bytes | tuple[int, ...]
_Cut = Sequence[tuple[bytes, int]]
"""The pieces of a body, and their numbers."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    An exchange and its number in the store. Numbers ascend in the order in which the exchanges ended.
    """

    number: int
    capture: Capture


@dataclass(frozen=True, slots=True)
class Stats:
    """
    What a store holds. `kept_bytes` are the bodies as they come back, `file_bytes` what all of it takes on disk.
    """

    exchanges: int
    sessions: int
    kept_bytes: int
    file_bytes: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Filter:
    """
    Which exchanges: started at or after `since` and before `until`, in a session whose key begins so, of this model.
    """

    since: datetime | None = None
    until: datetime | None = None
    session: str | None = None
    model: str | None = None

    def sql(self) -> tuple[str, dict[str, Any]]:
        """
        The conditions, and their values.
        """
        given = (
            ("started_at >= :since", "since", self.since and _text(self.since)),
            ("started_at < :until", "until", self.until and _text(self.until)),
            ("substr(session, 1, length(:session)) = :session", "session", self.session),
            ("model = :model", "model", self.model),
        )
        conditions = "".join(f" AND {text}" for text, _, value in given if value is not None)
        return conditions, {name: value for _, name, value in given if value is not None}


EVERYTHING = Filter()


class CaptureStore:
    """
    An open store. One thread at a time is in it; several processes may have it open. Close it.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """
        Use `open` or `make`.
        """
        self.path = path
        self._db = db
        self._lock = threading.Lock()
        self._identity = identity(path)
        self._swept = -1
        self._numbers: dict[bytes, int] = {}
        self._turns: OrderedDict[str, _Cut] = OrderedDict()
        self._read: OrderedDict[int, _Piece] = OrderedDict()
        self._read_bytes = 0

    @classmethod
    def open(cls, path: Path, *, busy_s: float = BUSY_S) -> Self:
        """
        The store in a folder, or the one that a file is.

        Raises:
            CaptureUnavailable: there is none, it cannot be opened, or not safely.
            CaptureTooNew: a newer savemode made it.
        """
        with explained(path, "open"):
            file = file_of(path)
            return cls(file, open_file(file, busy_s=busy_s))

    @classmethod
    def make(cls, folder: Path, *, busy_s: float = BUSY_S) -> Self:
        """
        The store in a folder, made if it is not there.

        Raises:
            CaptureUnavailable: it cannot be made or opened, or not safely.
            CaptureTooNew: a newer savemode made it.
        """
        with explained(folder, "open"):
            file = folder / FILE_NAME
            return cls(file, open_file(file, create=True, busy_s=busy_s))

    @property
    def replaced(self) -> bool:
        """
        Whether another file, or none, is now where the one that is open was. What is appended to it would be lost.
        """
        return identity(self.path) != self._identity

    def close(self) -> None:
        """
        Let go of the file. Harmless when repeated.
        """
        with self._lock:
            self._db.close()

    def append(self, capture: Capture) -> int:
        """
        Write one exchange; its number.

        Raises:
            CaptureUnavailable: it could not be written, and nothing of it is there.
        """
        record = zlib.compress(encode(capture))
        exchange = capture.exchange
        cache = f"{exchange.session} {exchange.model}"
        bodies = (capture.request_body, capture.response_body)
        with self._writing("write to"):
            known = self._known()
            writer = _Writer(self._db, known)
            request = None if bodies[0] is None else writer.cut(bodies[0], self._turns.get(cache, ()))
            response = None if bodies[1] is None else writer.cut(bodies[1])
            roots = [None if cut is None else writer.join([number for _, number in cut]) for cut in (request, response)]
            values = (
                _text(exchange.started_at),
                exchange.session,
                exchange.model,
                exchange.id,
                sum(len(body) for body in bodies if body is not None),
                *roots,
                record,
            )
            number = self._db.execute(
                "INSERT INTO exchanges (started_at, session, model, request_id, kept_bytes, request_piece,"
                " response_piece, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
        # Only now are they there for certain.
        self._numbers |= writer.new
        self._remember(cache, request)
        assert number is not None  # noqa: S101 - an INSERT has one
        return number

    def rows(
        self, which: Filter = EVERYTHING, damaged: "Callable[[int, SavemodeError], None] | None" = None
    ) -> Iterator[Row]:
        """
        The exchanges without their bodies, in order. Memory does not grow with their number, and nobody waits for the
        reader. `damaged` is told of each that cannot be read; without it the first one raises.

        Raises:
            CaptureUnavailable: the store cannot be read.
        """
        conditions, values = which.sql()
        query = f"SELECT id, record FROM exchanges WHERE id > :last{conditions} ORDER BY id LIMIT {_PAGE}"  # noqa: S608
        last = 0
        while True:
            with self._reading():
                page = self._db.execute(query, values | {"last": last}).fetchall()
            if not page:
                return
            for number, record in page:
                found = _unless_damaged(number, damaged, partial(_decoded, record))
                if found is not None:
                    yield Row(number, found)
            last = page[-1][0]

    def captures(
        self, which: Filter = EVERYTHING, damaged: "Callable[[int, SavemodeError], None] | None" = None
    ) -> Iterator[Row]:
        """
        The same with their bodies, one at a time. What is pruned meanwhile is left out.
        """
        conditions, values = which.sql()
        query = f"SELECT id FROM exchanges WHERE id > :last{conditions} ORDER BY id LIMIT {_PAGE}"  # noqa: S608
        last = 0
        while True:
            with self._reading():
                page = [number for (number,) in self._db.execute(query, values | {"last": last})]
            if not page:
                return
            for number in page:
                found = _unless_damaged(number, damaged, partial(self._get, number))
                if found is not None:
                    yield Row(number, found)
            last = page[-1]

    def get(self, number: int) -> Capture:
        """
        One exchange with its bodies.

        Raises:
            BadInput: there is none of this number, or it is damaged.
            CaptureUnavailable: the store cannot be read.
        """
        found = self._get(number)
        if found is None:
            raise BadInput(f"there is no exchange {number} in {self.path}", hint="savemode captures list")
        return found

    def number_of(self, request_id: str) -> int | None:
        """
        The number of the exchange with this id, as request lines and receipts name it.
        """
        with self._reading():
            found = self._db.execute("SELECT id FROM exchanges WHERE request_id = ?", (request_id,)).fetchone()
        return None if found is None else found[0]

    def prune(self, before: datetime | None = None) -> int:
        """
        Remove what started before a time, None: everything; how many exchanges that were. Their space is given back, and
        what stood in it is overwritten.

        Raises:
            CaptureUnavailable: nothing was removed.
        """
        condition, values = ("", ()) if before is None else (" WHERE started_at < ?", (_text(before),))
        with self._writing("prune"):
            removed = self._db.execute(f"DELETE FROM exchanges{condition}", values).rowcount  # noqa: S608
            if removed:
                self._sweep()
        if removed:
            with explained(self.path, "prune"), self._lock:
                self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return removed

    def stats(self) -> Stats:
        """
        How much there is.
        """
        with self._reading():
            count, sessions, kept, oldest, newest = self._db.execute(
                "SELECT count(*), count(DISTINCT session), coalesce(sum(kept_bytes), 0), min(started_at),"
                " max(started_at) FROM exchanges"
            ).fetchone()
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        size = sum(one.stat().st_size for one in files if one.exists())
        return Stats(count, sessions, kept, size, _time(oldest), _time(newest))

    def _get(self, number: int) -> Capture | None:
        with self._reading():
            # A transaction: what it reads of a body and its pieces is of one moment, whatever is pruned meanwhile.
            self._db.execute("BEGIN")
            try:
                found = self._db.execute(
                    "SELECT record, kept_bytes, request_piece, response_piece FROM exchanges WHERE id = ?", (number,)
                ).fetchone()
                if found is None:
                    return None
                record, kept_bytes, *roots = found
                bodies = [None if root is None else self._body(root, kept_bytes) for root in roots]
            finally:
                self._db.execute("COMMIT")
        return replace(_decoded(record), request_body=bodies[0], response_body=bodies[1])

    def _body(self, root: int, most_bytes: int) -> bytes:
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
                    raise BadInput(f"a body in {self.path} is longer than it was", hint=_DAMAGED)
        return b"".join(out)

    def _piece(self, number: int) -> _Piece:
        known = self._read.get(number)
        if known is not None:
            self._read.move_to_end(number)
            return known
        found = self._db.execute("SELECT hash, kind, data FROM pieces WHERE id = ?", (number,)).fetchone()
        piece = None if found is None else _whole(number, *found)
        if piece is None:
            raise BadInput(f"piece {number} in {self.path} is damaged or missing", hint=_DAMAGED)
        self._read[number] = piece
        self._read_bytes += _size(piece)
        while self._read_bytes > _MOST_READ_BYTES:
            self._read_bytes -= _size(self._read.popitem(last=False)[1])
        return piece

    def _known(self) -> dict[bytes, int]:
        """
        The pieces that are surely there, as far as we remember them.
        """
        (swept,) = self._db.execute("SELECT times FROM swept").fetchone()
        if swept != self._swept or len(self._numbers) > _MOST_REMEMBERED:
            self._numbers = {}
            self._turns.clear()
            self._swept = swept
        return self._numbers

    def _remember(self, cache: str, turn: _Cut | None) -> None:
        if turn is None:
            return
        self._turns[cache] = turn
        self._turns.move_to_end(cache)
        while len(self._turns) > 1 and sum(map(_length, self._turns.values())) > _MOST_IN_TURNS_BYTES:
            self._turns.popitem(last=False)

    def _sweep(self) -> None:
        """
        Remove the pieces that no exchange needs any more. A list is younger than what it lists, so one pass is enough.
        """
        db = self._db
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

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, explained(self.path, "read"):
            yield

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        """
        All of it or nothing. IMMEDIATE: waiting for another writer is at the start, where it is harmless.
        """
        with self._lock, explained(self.path, doing):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it itself where the disk is full
                    self._db.execute("ROLLBACK")
                raise


class _Writer:
    """
    Writes the pieces of one exchange. `known` is what is there before, `new` what comes to it.
    """

    def __init__(self, db: sqlite3.Connection, known: dict[bytes, int]) -> None:
        self.new: dict[bytes, int] = {}
        self._db = db
        self._known = known

    def cut(self, body: bytes, before: _Cut = ()) -> _Cut:
        """
        A body's pieces and their numbers. What it has in common with the start of `before`, the turn before, is only
        compared: most of a body is.
        """
        found = []
        start = 0
        for one in before:
            if not body.startswith(one[0], start):
                break
            found.append(one)
            start += len(one[0])
        found += [(piece, self._plain(piece)) for piece in pieces(body, start)]
        return found or [(b"", self._plain(b""))]

    def join(self, numbers: Sequence[int]) -> int:
        """
        The number of the piece that these together are.
        """
        while len(numbers) > 2 * FEWEST:
            numbers = [self._list(group) for group in groups(numbers)]
        return numbers[0] if len(numbers) == 1 else self._list(numbers)

    def _plain(self, data: bytes) -> int:
        key = _plain_key(data)
        return self._number(key) or self._insert(key, *_compressed(data))

    def _list(self, numbers: Sequence[int]) -> int:
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        key = _list_key(data)
        return self._number(key) or self._insert(key, _LIST, data)

    def _number(self, key: bytes) -> int | None:
        number = self._known.get(key) or self.new.get(key)
        if number is None:
            found = self._db.execute("SELECT id FROM pieces WHERE hash = ?", (key,)).fetchone()
            if found is not None:
                number = self.new[key] = found[0]
        return number

    def _insert(self, key: bytes, kind: int, data: bytes) -> int:
        number = self._db.execute("INSERT INTO pieces (hash, kind, data) VALUES (?, ?, ?)", (key, kind, data)).lastrowid
        assert number is not None  # noqa: S101 - an INSERT has one
        self.new[key] = number
        return number


_DAMAGED = "the file is damaged: savemode captures prune --all, or move it away"


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


def _decoded(record: bytes) -> Capture:
    try:
        return decode(zlib.decompress(record))
    except zlib.error as error:
        raise BadInput(f"a capture is damaged: {error}", hint=_DAMAGED) from error


def _length(cut: _Cut) -> int:
    return sum(len(piece) for piece, _ in cut)


def _size(piece: _Piece) -> int:
    return 8 * len(piece) if isinstance(piece, tuple) else len(piece)


def _unless_damaged(
    number: int, damaged: Callable[[int, SavemodeError], None] | None, read: Callable[[], Capture | None]
) -> Capture | None:
    try:
        return read()
    except SavemodeError as error:
        if damaged is None or type(error) is CaptureUnavailable:
            raise
        damaged(number, error)
        return None


def _text(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
