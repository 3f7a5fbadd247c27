"""
The capture store: one exchange after another, whose bodies share what they have in common.

Rule of this file: an exchange is there as a whole or not at all, and a body comes back byte for byte or not at all.

Bodies are pieces that are stored once (see `bodies`): a turn of a conversation costs what is new in it, whatever came
before. None refers to the turn before, so any of them can be pruned.
"""

import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from savemode_cli.captures.bodies import DAMAGED, BodyReader, BodyWriter, sweep
from savemode_cli.captures.file import BUSY_S, FILE_NAME, explained, file_of, identity, open_file
from savemode_cli.core.capture import Capture, decode, encode
from savemode_cli.core.errors import BadInput, CaptureUnavailable, SavemodeError

_PAGE = 200


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
        self._writer = BodyWriter(db)
        self._reader = BodyReader(db, path)

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
        request, response = capture.request_body, capture.response_body
        with self._writing("write to"):
            self._writer.begin()
            values = (
                _text(exchange.started_at),
                exchange.session,
                exchange.model,
                exchange.id,
                len(request or b"") + len(response or b""),
                None if request is None else self._writer.put(request, cache),
                None if response is None else self._writer.put(response),
                record,
            )
            number = self._db.execute(
                "INSERT INTO exchanges (started_at, session, model, request_id, kept_bytes, request_piece,"
                " response_piece, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
        self._writer.done()
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
                sweep(self._db)
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
                bodies = [None if root is None else self._reader.body(root, kept_bytes) for root in roots]
            finally:
                self._db.execute("COMMIT")
        return replace(_decoded(record), request_body=bodies[0], response_body=bodies[1])

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


def _decoded(record: bytes) -> Capture:
    try:
        return decode(zlib.decompress(record))
    except zlib.error as error:
        raise BadInput(f"a capture is damaged: {error}", hint=DAMAGED) from error


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
