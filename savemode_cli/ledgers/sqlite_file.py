"""
The file of the SQLite ledger: found or made, checked, configured, migrated; and what to say when any of it fails.

Rule of this file: everything SQLite or the operating system can say becomes `LedgerUnavailable`, with what to do next.
Nothing is written to a file before it is known to be ours, and the file itself is never opened but by SQLite: closing
any descriptor of it would drop the locks that SQLite holds on it in this process.
"""

import errno
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.database import (
    Migration,
    beside,
    connect,
    diagnosis,
    distrust,
    is_foreign,
    make_private,
    migrate,
    pragma,
)

APPLICATION_ID = 0x736D6C67
"""`smlg`, in the file's header: tells our files from other programs'."""

BUSY_S = 5.0
"""How long a call waits for other processes before it says the ledger is locked."""

_POLL_S = 0.01

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Opened:
    """
    Which file a connection has open, and which write-ahead log with it (None: there was none yet).
    """

    database: Identity
    wal: Identity | None


def m001_holds_charges_budgets(db: sqlite3.Connection) -> None:
    """
    One row per hold and key, one row per charge and key, and their sum.

    Times are text of fixed width in UTC, so that they sort, and can be read by a person with nothing but `sqlite3`.
    """
    db.execute(
        """CREATE TABLE holds (
            hold_id TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, ask_nusd INTEGER NOT NULL,
            expires_at TEXT NOT NULL, model TEXT NOT NULL, override INTEGER NOT NULL, released INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (hold_id, place)
        ) STRICT, WITHOUT ROWID"""
    )
    # Holds all it takes to add up what is held under a key: the table itself is not read.
    db.execute("CREATE INDEX counted_holds ON holds (key, expires_at, ask_nusd) WHERE released = 0")
    # UNIQUE: the last line of defence of "exactly once", should the code above it ever be wrong.
    db.execute(
        """CREATE TABLE charges (
            number INTEGER PRIMARY KEY, hold_id TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL,
            nusd INTEGER NOT NULL CHECK (nusd >= 0), basis TEXT NOT NULL, model TEXT NOT NULL, settled_at TEXT NOT NULL,
            override INTEGER NOT NULL, UNIQUE (hold_id, place)
        ) STRICT"""
    )
    # A charge is evidence. A correction is another row, and there is no code here that writes one.
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER charges_no_{verb.lower()} BEFORE {verb} ON charges "
            "BEGIN SELECT RAISE(ABORT, 'charges are only ever added'); END"
        )
    db.execute("CREATE TABLE balances (key TEXT PRIMARY KEY, settled_nusd INTEGER NOT NULL) STRICT, WITHOUT ROWID")
    db.execute(
        """CREATE TABLE budgets (
            name TEXT PRIMARY KEY, limit_nusd INTEGER NOT NULL, window TEXT NOT NULL, zone TEXT NOT NULL,
            scope TEXT NOT NULL, strict INTEGER NOT NULL, warn_at TEXT NOT NULL, engage_at TEXT NOT NULL
        ) STRICT, WITHOUT ROWID"""
    )
    db.execute("CREATE TABLE allowance (one INTEGER PRIMARY KEY CHECK (one = 1), until TEXT) STRICT")
    db.execute("INSERT INTO allowance VALUES (1, NULL)")


MIGRATIONS: tuple[Migration, ...] = (m001_holds_charges_budgets,)
"""In order; the file's `user_version` is how many of them it has. One that was released is never edited."""


def identity(path: Path) -> Identity | None:
    """
    Which file is at the path, None for no file. Costs 2 microseconds a call.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def open_file(path: Path, busy_s: float, was: Opened | None = None) -> tuple[sqlite3.Connection, Opened]:
    """
    A connection to the ledger at the path, checked and migrated. `was`: what stood there before it was replaced.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path.parent, busy_s):
        _claim(path, was)
        db = connect(path, busy_s)
        try:
            _refuse_strangers(db, path)
            make_private(path)
            _configure(db, path)
            migrate(db, MIGRATIONS, APPLICATION_ID)
            database = identity(path)
            if database is None:
                raise FileNotFoundError(errno.ENOENT, "it was deleted while it was opened", str(path))
            return db, Opened(database, identity(beside(path)[0]))
        except BaseException:
            db.close()
            raise


@contextmanager
def _alone(folder: Path, busy_s: float) -> Iterator[None]:
    """
    Only one process at a time opens a ledger in this folder.

    Without it one process could remove a log as a leftover that another has just begun. The lock is on the folder, for
    the file may not be there yet.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + busy_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _claim(path: Path, was: Opened | None) -> None:
    """
    See that there is a regular file at the path, if need be a new one that nobody else can read.
    """
    folder = path.parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise LedgerUnavailable(
            f"anybody may replace files in {path.parent}", hint=f"chmod o-w {path.parent}, or choose another folder"
        )
    for one in (path, *beside(path)):
        if one.is_symlink():
            raise LedgerUnavailable(f"{one} is a symbolic link", hint="name the file itself")
    _remove_leftovers(path, was)
    if not path.exists():
        # EXCL: should a link or a file appear in this very moment, it is not opened.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    elif not path.is_file():
        raise LedgerUnavailable(f"{path} is not a regular file", hint="name a file")
    elif not os.access(path, os.W_OK):
        # SQLite would open it for reading only, and only the first request would hear of it.
        raise PermissionError(errno.EACCES, "it may not be written")


def _remove_leftovers(path: Path, was: Opened | None) -> None:
    """
    Remove the log of a ledger that is gone, or SQLite would play it back over the new file, and does so in silence.

    Whose log it is can be told where there is no database to it, and where it is the one we had open before the
    database was replaced.
    """
    wal, shared = beside(path)
    replaced = was is not None and was.wal is not None and was.wal == identity(wal)
    if replaced or not path.exists():
        wal.unlink(missing_ok=True)
        shared.unlink(missing_ok=True)


def _refuse_strangers(db: sqlite3.Connection, path: Path) -> None:
    """
    Before anything is written: is the file empty, or a ledger that we understand?
    """
    version = pragma(db, "user_version")
    if is_foreign(db, APPLICATION_ID):
        raise LedgerUnavailable(f"{path} is a database of another program", hint="name another file")
    if version > len(MIGRATIONS):
        raise LedgerUnavailable(
            f"{path} was written by a newer savemode: its schema is {version}, this one knows {len(MIGRATIONS)}",
            hint="upgrade savemode, or name another file for this one",
        )


def _configure(db: sqlite3.Connection, path: Path) -> None:
    # Of a new file only. A commit writes whole pages, five or so: smaller ones take a tenth off a request's two commits
    # (and no more below 2 KB); the log is as long in bytes before it is written back.
    db.execute("PRAGMA page_size = 2048")
    db.execute("PRAGMA wal_autocheckpoint = 2000")
    # WAL: readers and the one writer do not stop each other, and a commit is one append instead of two syncs.
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    _require_wal(mode, path)
    # NORMAL: a killed process loses nothing. A power cut may lose the last commits, and never damages the file; the
    # requests they stand for died with the machine. FULL would sync on each commit, milliseconds instead of 0.05.
    db.execute("PRAGMA synchronous = NORMAL")
    distrust(db)


def _require_wal(mode: str, path: Path) -> None:
    if mode != "wal":
        raise LedgerUnavailable(
            f"{path} cannot have a write-ahead log (journal mode {mode}): several processes would block each other",
            hint="put it on a local disk; network drives have no shared memory",
        )


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """
    Whatever SQLite or the operating system says, as `LedgerUnavailable` with what to do about it.
    """
    try:
        yield
    except TROUBLE as exc:
        raise explanation(exc, path, doing) from exc


TROUBLE = (sqlite3.Error, OSError)
"""What SQLite and the operating system raise."""


def explanation(exc: sqlite3.Error | OSError, path: Path, doing: str) -> LedgerUnavailable:
    """
    The same for one exception, where a context manager would take too long.
    """
    if isinstance(exc, sqlite3.Error):
        found, hint = diagnosis(exc, path, _DIAGNOSES, "`savemode budget show` says more")
    elif isinstance(exc, BlockingIOError):
        found, hint = _LOCKED
    else:
        found, hint = str(exc.strerror), "check the path and its permissions"
    return LedgerUnavailable(f"cannot {doing} the ledger {path}: {found}", hint=hint)


_LOCKED = ("another process keeps it locked", "try again, or see which process has it open (lsof)")


_DIAGNOSES = (
    ("SQLITE_BUSY", *_LOCKED),
    ("SQLITE_LOCKED", *_LOCKED),
    ("SQLITE_CORRUPT", "the file is damaged", "move it away to start anew: mv {path} {path}.damaged"),
    (
        "SQLITE_NOTADB",
        "the file is not a SQLite database, or its head is damaged",
        "move it away: mv {path} {path}.old",
    ),
    ("SQLITE_IOERR_SHORT", "the file is damaged: it is shorter than it was", "move it away: mv {path} {path}.damaged"),
    ("SQLITE_IOERR", "the disk answers with errors", "check the disk"),
    ("SQLITE_FULL", "the disk is full", "make room; nothing was written"),
    ("SQLITE_READONLY", "it may not be written", "check the permissions of the file and its folder"),
    ("SQLITE_CANTOPEN", "it cannot be opened", "check the permissions of the file and its folder"),
    ("SQLITE_PERM", "it may not be opened", "check the permissions of the file and its folder"),
)
