"""
The capture store: a sequence of exchanges whose bodies share common chunks.

Rule of this file: an exchange is stored completely or not at all, and a body is returned byte for byte or not at all.

Bodies are divided into chunks that are stored once (see `bodies`), so a turn of a conversation only needs space for its
new content. No exchange depends on an earlier one, so any exchange can be pruned.
"""

import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace

from savemode_cli.captures.bodies import DAMAGED, BodyReader, BodyWriter, remove_unused_chunks
from savemode_cli.captures.file import BUSY_S, FILE_NAME, explained, file_of, identity, open_file
from savemode_cli.core.errors import BadInput, CaptureUnavailable, SavemodeError
from savemode_cli.core.exchange.capture import Capture, decode, encode
from savemode_cli.core.wire.messages import MAX_BODY_BYTES

_PAGE = 200

MAX_RECORD_BYTES = 4 * 1024 * 1024
"""The largest exchange without its bodies, in bytes: a hundred times the size of one with 64 breakpoints."""

_RECORD = f"CASE WHEN length(record) <= {MAX_RECORD_BYTES} THEN record END"


@dataclass(frozen=True, slots=True)
class Row:
    """
    An exchange and its number in the store. The numbers ascend in the order in which the exchanges ended.
    """

    number: int
    capture: Capture


@dataclass(frozen=True, slots=True)
class Stats:
    """
    The size of a store.

    Attributes:
        exchanges: the number of exchanges.
        sessions: the number of sessions.
        kept_bytes: the length of all bodies, in bytes.
        file_bytes: the size of the files on disk, in bytes.
        oldest: when the oldest exchange started; None if there are none.
        newest: when the newest exchange started; None if there are none.
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
    Selects exchanges. None selects all.

    Attributes:
        since: only exchanges that started at this time or later.
        until: only exchanges that started before this time.
        session: only sessions whose key starts with this.
        model: only this model.
    """

    since: datetime | None = None
    until: datetime | None = None
    session: str | None = None
    model: str | None = None

    def sql(self) -> tuple[str, dict[str, Any]]:
        """
        The SQL conditions, and the values of their parameters.
        """
        filters = (
            ("started_at >= :since", "since", self.since and _text(self.since)),
            ("started_at < :until", "until", self.until and _text(self.until)),
            ("substr(session, 1, length(:session)) = :session", "session", self.session),
            ("model = :model", "model", self.model),
        )
        conditions = "".join(f" AND {text}" for text, _, value in filters if value is not None)
        return conditions, {name: value for _, name, value in filters if value is not None}


EVERYTHING = Filter()


class CaptureStore:
    """
    An open store. Threads take turns in it, and several processes may have it open. Close it after use.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """
        Use `open` or `make` instead.
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
        Open a store.

        Args:
            path: the folder of the store, or its file.
            busy_s: how long to wait for other processes, in seconds.

        Raises:
            CaptureUnavailable: there is no store, or it cannot be opened safely.
            CaptureTooNew: a newer savemode wrote it.
        """
        with explained(path, "open"):
            file = file_of(path)
            return cls(file, open_file(file, busy_s=busy_s))

    @classmethod
    def make(cls, folder: Path, *, busy_s: float = BUSY_S) -> Self:
        """
        Open the store in a folder, and create it if it does not exist.

        Args:
            folder: the folder.
            busy_s: how long to wait for other processes, in seconds.

        Raises:
            ConfigError: the folder cannot be used for captures.
            CaptureUnavailable: the store cannot be created or opened safely.
            CaptureTooNew: a newer savemode wrote it.
        """
        with explained(folder, "open"):
            file = folder / FILE_NAME
            return cls(file, open_file(file, create=True, busy_s=busy_s))

    @property
    def replaced(self) -> bool:
        """
        Whether the open file is no longer at its path: it was deleted, moved or replaced. Exchanges written to it would
        be lost.
        """
        return identity(self.path) != self._identity

    def close(self) -> None:
        """
        Close the file. More calls do nothing.
        """
        with self._lock:
            self._db.close()

    def append(self, capture: Capture) -> int:
        """
        Write one exchange.

        Returns:
            Its number.

        Raises:
            CaptureUnavailable: it could not be written; no part of it is stored.
        """
        record = _encoded(capture)
        exchange = capture.exchange
        call = exchange.call
        cache = f"{call.session} {call.model}"
        request, response = capture.request_body, capture.response_body
        with self._writing("write to"):
            self._writer.begin()
            values = (
                _text(exchange.started_at),
                call.session,
                call.model,
                exchange.id,
                len(request or b"") + len(response or b""),
                None if request is None else self._writer.write(request, cache),
                None if response is None else self._writer.write(response),
                record,
            )
            number = self._db.execute(
                "INSERT INTO exchanges (started_at, session, model, request_id, kept_bytes, request_piece,"
                " response_piece, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
        self._writer.committed()
        assert number is not None  # noqa: S101 - every INSERT has a row ID
        return number

    def rows(
        self, which: Filter = EVERYTHING, damaged: "Callable[[int, SavemodeError], None] | None" = None
    ) -> Iterator[Row]:
        """
        The exchanges without their bodies, in order. Memory use does not grow with their number, and writers do not wait
        for the reader.

        Args:
            which: selects exchanges.
            damaged: called with the number and the error of each exchange that cannot be read; None: the first such error
                is raised.

        Raises:
            CaptureUnavailable: the store cannot be read.
        """
        yield from self._each(which, damaged, self._get_row)

    def captures(
        self, which: Filter = EVERYTHING, damaged: "Callable[[int, SavemodeError], None] | None" = None
    ) -> Iterator[Row]:
        """
        The exchanges with their bodies, one at a time; the arguments and errors are those of `rows`. Exchanges that are
        pruned during the read are left out.
        """
        yield from self._each(which, damaged, self._get)

    def _each(
        self,
        which: Filter,
        damaged: "Callable[[int, SavemodeError], None] | None",
        read: Callable[[int], Capture | None],
    ) -> Iterator[Row]:
        conditions, values = which.sql()
        query = f"SELECT id FROM exchanges WHERE id > :last{conditions} ORDER BY id LIMIT {_PAGE}"  # noqa: S608
        last = 0
        while True:
            with self._reading():
                page = [number for (number,) in self._db.execute(query, values | {"last": last})]
            if not page:
                return
            for number in page:
                capture = _unless_damaged(number, damaged, partial(read, number))
                if capture is not None:
                    yield Row(number, capture)
            last = page[-1]

    def get(self, number: int) -> Capture:
        """
        One exchange with its bodies.

        Raises:
            BadInput: there is no exchange with this number, or it is damaged.
            CaptureUnavailable: the store cannot be read.
        """
        capture = self._get(number)
        if capture is None:
            raise BadInput(f"there is no exchange {number} in {self.path}", hint="savemode captures list")
        return capture

    def number_of(self, request_id: str) -> int | None:
        """
        The number of the exchange with this request ID, which request lines and receipts show; None if there is none.
        """
        with self._reading():
            found = self._db.execute("SELECT id FROM exchanges WHERE request_id = ?", (request_id,)).fetchone()
        return None if found is None else found[0]

    def prune(self, before: datetime | None = None) -> int:
        """
        Remove exchanges. Their space is returned to the system, and their data is overwritten.

        Args:
            before: remove exchanges that started before this time; None: all.

        Returns:
            How many exchanges were removed.

        Raises:
            CaptureUnavailable: nothing was removed.
        """
        condition, values = ("", ()) if before is None else (" WHERE started_at < ?", (_text(before),))
        with self._writing("prune"):
            removed = self._db.execute(f"DELETE FROM exchanges{condition}", values).rowcount  # noqa: S608
            if removed:
                remove_unused_chunks(self._db)
        if removed:
            with explained(self.path, "prune"), self._lock:
                self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would free only one page
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return removed

    def stats(self) -> Stats:
        """
        The size of the store.
        """
        with self._reading():
            count, sessions, kept, oldest, newest = self._db.execute(
                "SELECT count(*), count(DISTINCT session), coalesce(sum(kept_bytes), 0), min(started_at),"
                " max(started_at) FROM exchanges"
            ).fetchone()
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        size = sum(file.stat().st_size for file in files if file.exists())
        return Stats(count, sessions, kept, size, _time(oldest), _time(newest))

    def _get_row(self, number: int) -> Capture | None:
        with self._reading():
            found = self._db.execute(f"SELECT {_RECORD} FROM exchanges WHERE id = ?", (number,)).fetchone()  # noqa: S608
        return None if found is None else _decoded(found[0])

    def _get(self, number: int) -> Capture | None:
        with self._reading():
            # In one transaction, a concurrent prune cannot remove chunks of the body during the read.
            self._db.execute("BEGIN")
            try:
                found = self._db.execute(
                    f"SELECT {_RECORD}, kept_bytes, request_piece, response_piece FROM exchanges WHERE id = ?",  # noqa: S608
                    (number,),
                ).fetchone()
                if found is None:
                    return None
                record, kept_bytes, *roots = found
                max_bytes = min(kept_bytes, MAX_BODY_BYTES) if isinstance(kept_bytes, int) else 0
                bodies = [None if root is None else self._reader.body(root, max_bytes) for root in roots]
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
        A transaction, committed completely or not at all. IMMEDIATE waits for other writers at its start.
        """
        with self._lock, explained(self.path, doing):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has already ended it if the disk is full
                    self._db.execute("ROLLBACK")
                raise


def _encoded(capture: Capture) -> bytes:
    """
    The compressed record of a capture.

    Raises:
        CaptureUnavailable: it would be too large to read back.
    """
    record = encode(capture)
    if len(record) > MAX_RECORD_BYTES or any(
        body is not None and len(body) > MAX_BODY_BYTES for body in (capture.request_body, capture.response_body)
    ):
        raise CaptureUnavailable("an exchange is too large to be captured", hint="other exchanges are captured")
    return zlib.compress(record)


def _decoded(record: Any) -> Capture:
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(record, MAX_RECORD_BYTES + 1)
    except (zlib.error, TypeError) as error:
        raise BadInput(f"a capture is damaged: {error}", hint=DAMAGED) from error
    if len(text) > MAX_RECORD_BYTES or not unpack.eof:
        raise BadInput("a capture is damaged: its record is too large, or truncated", hint=DAMAGED)
    return decode(text)


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


def _time(text: Any) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise BadInput(f"a time in the captures is damaged: {error}", hint=DAMAGED) from error
