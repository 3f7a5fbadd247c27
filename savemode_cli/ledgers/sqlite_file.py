"""
The file of the SQLite ledger: found or created, checked, configured and migrated, with an explanation of every failure.

Rule of this file: every error of SQLite or of the operating system becomes `LedgerUnavailable`, with a hint. Nothing is
written to a file before it is known to be a ledger. Only SQLite opens the file: if this process closed another descriptor
of it, SQLite would lose its locks.
"""

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from savemode_cli.core.errors import LedgerBusy, LedgerUnavailable
from savemode_cli.database import (
    Migration,
    beside,
    connect,
    diagnosis,
    distrust,
    is_foreign,
    lock_folder,
    make_private,
    migrate,
    pragma,
)
from savemode_cli.private import make_folder

APPLICATION_ID = 0x736D6C67
"""`smlg` in the file's header; it distinguishes ledgers from other SQLite databases."""

BUSY_S = 5.0
"""How long a call waits for other processes before it reports that the ledger is locked, in seconds."""

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Opened:
    """
    Which database file a connection has open, and which write-ahead log (None: there was none yet).
    """

    database: Identity
    wal: Identity | None


def m001_holds_charges_budgets(db: sqlite3.Connection) -> None:
    """
    One row for each hold and key, one row for each charge and key, and the sum for each key.

    Times are UTC text of fixed width, so that they sort, and so that people can read them with `sqlite3`.
    """
    db.execute(
        """CREATE TABLE holds (
            hold_id TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL, ask_nusd INTEGER NOT NULL,
            expires_at TEXT NOT NULL, model TEXT NOT NULL, override INTEGER NOT NULL, released INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (hold_id, place)
        ) STRICT, WITHOUT ROWID"""
    )
    # A covering index: the sum of the holds of a key is read from the index alone.
    db.execute("CREATE INDEX counted_holds ON holds (key, expires_at, ask_nusd) WHERE released = 0")
    # UNIQUE ensures that a hold is charged only once, even if the code has a bug.
    db.execute(
        """CREATE TABLE charges (
            number INTEGER PRIMARY KEY, hold_id TEXT NOT NULL, place INTEGER NOT NULL, key TEXT NOT NULL,
            nusd INTEGER NOT NULL CHECK (nusd >= 0), basis TEXT NOT NULL, model TEXT NOT NULL, settled_at TEXT NOT NULL,
            override INTEGER NOT NULL, UNIQUE (hold_id, place)
        ) STRICT"""
    )
    # A charge is a permanent record. A correction would be another row; no code writes one.
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


def m002_outstanding_sums(db: sqlite3.Connection) -> None:
    """
    Store the sum of a key's open holds, so that a balance does not read expired holds.

    A killed proxy leaves its holds open until a user releases them. With 10,000 of them, one balance took 20 ms. Triggers
    maintain the sum, so it is also correct if an older savemode writes to the same file.
    """
    db.execute("CREATE TABLE outstanding (key TEXT PRIMARY KEY, nusd INTEGER NOT NULL) STRICT, WITHOUT ROWID")
    db.execute("INSERT INTO outstanding SELECT key, sum(ask_nusd) FROM holds WHERE released = 0 GROUP BY key")
    db.execute(
        """CREATE TRIGGER holds_insert AFTER INSERT ON holds WHEN NEW.released = 0 BEGIN
            INSERT INTO outstanding VALUES (NEW.key, NEW.ask_nusd)
            ON CONFLICT (key) DO UPDATE SET nusd = nusd + excluded.nusd;
        END"""
    )
    subtract = "BEGIN UPDATE outstanding SET nusd = nusd - OLD.ask_nusd WHERE key = OLD.key; END"
    db.execute(f"CREATE TRIGGER holds_delete AFTER DELETE ON holds WHEN OLD.released = 0 {subtract}")
    db.execute(
        "CREATE TRIGGER holds_release AFTER UPDATE OF released ON holds "
        f"WHEN OLD.released = 0 AND NEW.released <> 0 {subtract}"
    )


def m003_budget_terms(db: sqlite3.Connection) -> None:
    """
    Store when a budget was set.

    This is a separate table, because an older savemode with the same file open reads the columns of `budgets` by
    position.
    """
    db.execute("CREATE TABLE budget_terms (name TEXT PRIMARY KEY, set_at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID")


def m004_people(db: sqlite3.Connection) -> None:
    """
    Store the terms of a budget about persons: whether it accepts the override header, the hint of a refusal, how it
    handles unknown persons, personal limits, and for whom a cap is lifted.

    `allowance` stays unchanged for caps that are lifted for everybody, because an older savemode with the same file open
    reads it.
    """
    for column in (
        "allow_override INTEGER NOT NULL DEFAULT 1",
        "refusal_hint TEXT NOT NULL DEFAULT ''",
        "unknown TEXT NOT NULL DEFAULT 'share'",
    ):
        db.execute(f"ALTER TABLE budget_terms ADD COLUMN {column}")
    db.execute(
        """CREATE TABLE personal_limits (
            budget TEXT NOT NULL, who TEXT NOT NULL, limit_nusd INTEGER NOT NULL, set_at_us INTEGER NOT NULL,
            PRIMARY KEY (budget, who)
        ) STRICT, WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE allowances (
            budget TEXT NOT NULL, who TEXT NOT NULL, until TEXT NOT NULL, PRIMARY KEY (budget, who)
        ) STRICT, WITHOUT ROWID"""
    )


def m005_rolling_windows(db: sqlite3.Connection) -> None:
    """
    Store the charges in a rolling window, so that charges that leave it are found without reading the others; and what a
    budget does when its cap is reached.

    A trigger copies the rows from `charges`. A row is deleted when its charge leaves the window; the charge itself stays.
    """
    db.execute(
        """CREATE TABLE rolling_charges (
            key TEXT NOT NULL, settled_at TEXT NOT NULL, number INTEGER NOT NULL, nusd INTEGER NOT NULL,
            PRIMARY KEY (key, settled_at, number)
        ) STRICT, WITHOUT ROWID"""
    )
    # The window is the second part of a key. Clients choose the rest, so it may contain anything.
    db.execute(
        """CREATE TRIGGER charges_rolling AFTER INSERT ON charges
        WHEN substr(NEW.key, instr(NEW.key, '/'), 9) = '/rolling:' BEGIN
            INSERT INTO rolling_charges VALUES (NEW.key, NEW.settled_at, NEW.number, NEW.nusd);
        END"""
    )
    db.execute("ALTER TABLE budget_terms ADD COLUMN action TEXT NOT NULL DEFAULT 'refuse'")


MIGRATIONS: tuple[Migration, ...] = (
    m001_holds_charges_budgets,
    m002_outstanding_sums,
    m003_budget_terms,
    m004_people,
    m005_rolling_windows,
)
"""
All migrations in order; the file's `user_version` is the number of applied ones. A released migration is never edited.
"""


def identity(path: Path) -> Identity | None:
    """
    The device and inode of the file at this path; None if there is no file. A call takes 2 microseconds.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def open_file(path: Path, busy_s: float, was: Opened | None = None) -> tuple[sqlite3.Connection, Opened]:
    """
    Open the ledger's file, check it and migrate it.

    Args:
        path: the file.
        busy_s: how long to wait for other processes, in seconds.
        was: the file that was open before it was replaced.
    """
    make_folder(path.parent)
    with lock_folder(path.parent, busy_s):
        _prepare_file(path, was)
        db = connect(path, busy_s)
        try:
            _check_is_own_ledger(db, path)
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


def _prepare_file(path: Path, was: Opened | None) -> None:
    """
    Create the file with private permissions, or check that it is a regular file.
    """
    folder = path.parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise LedgerUnavailable(
            f"every user can replace files in {path.parent}", hint=f"chmod o-w {path.parent}, or choose another folder"
        )
    for file in (path, *beside(path)):
        if file.is_symlink():
            raise LedgerUnavailable(f"{file} is a symbolic link", hint="use the file itself")
    _remove_leftovers(path, was)
    if not path.exists():
        # O_EXCL: a link or a file that appears in this moment is not opened.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    elif not path.is_file():
        raise LedgerUnavailable(f"{path} is not a regular file", hint="use a file")
    elif not os.access(path, os.W_OK):
        # SQLite would open the file read-only, and only the first request would report it.
        raise PermissionError(errno.EACCES, "it is not writable")


def _remove_leftovers(path: Path, was: Opened | None) -> None:
    """
    Remove the write-ahead log of a deleted ledger; otherwise SQLite would apply it to the new file without an error.

    The log belongs to a deleted ledger if there is no database file, or if it is the log that was open before the
    database was replaced.
    """
    wal, shared = beside(path)
    replaced = was is not None and was.wal is not None and was.wal == identity(wal)
    if replaced or not path.exists():
        wal.unlink(missing_ok=True)
        shared.unlink(missing_ok=True)


def _check_is_own_ledger(db: sqlite3.Connection, path: Path) -> None:
    """
    Check, before anything is written, that the file is empty or a ledger that this version can read.
    """
    version = pragma(db, "user_version")
    if is_foreign(db, APPLICATION_ID):
        raise LedgerUnavailable(f"{path} is a database of another program", hint="use another file")
    if version > len(MIGRATIONS):
        raise LedgerUnavailable(
            f"{path} was written by a newer savemode: its schema is {version}, this version reads up to {len(MIGRATIONS)}",
            hint="upgrade savemode, or use another file",
        )


def _configure(db: sqlite3.Connection, path: Path) -> None:
    # Only a new file accepts this. A commit writes about five whole pages; smaller pages save a tenth of a request's two
    # commits. Pages of less than 2 KB save no more.
    db.execute("PRAGMA page_size = 2048")
    # No commit waits for a checkpoint: a thread runs it (see `checkpoints`), or the last connection when it closes.
    db.execute("PRAGMA wal_autocheckpoint = 0")
    # WAL: readers and the writer do not block each other, and a commit is one append instead of two syncs.
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    _require_wal(mode, path)
    # NORMAL: if the process is killed, nothing is lost. If the power fails, the last commits may be lost, but the file is
    # not damaged, and the requests of these commits ended too. FULL would sync each commit: milliseconds instead of 0.05.
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
    Turn an error of SQLite or of the operating system into `LedgerUnavailable` with a hint.

    Args:
        path: the ledger.
        doing: the operation, as a verb for the message.
    """
    try:
        yield
    except TROUBLE as exc:
        raise explanation(exc, path, doing) from exc


TROUBLE = (sqlite3.Error, OSError)
"""The exceptions of SQLite and of the operating system."""


def explanation(exc: sqlite3.Error | OSError, path: Path, doing: str) -> LedgerUnavailable:
    """
    The `LedgerUnavailable` for one exception, for code in which a context manager would take too long.
    """
    if isinstance(exc, sqlite3.Error):
        problem, hint = diagnosis(exc, path, _DIAGNOSES, "`savemode budget show` says more")
    elif isinstance(exc, BlockingIOError):
        problem, hint = _LOCKED
    else:
        problem, hint = str(exc.strerror), "check the path and its permissions"
    error = LedgerBusy if (problem, hint) == _LOCKED else LedgerUnavailable
    return error(f"cannot {doing} the ledger {path}: {problem}", hint=hint)


_LOCKED = ("another process keeps it locked", "try again, or see which process has it open (lsof)")


_DIAGNOSES = (
    ("SQLITE_BUSY", *_LOCKED),
    ("SQLITE_LOCKED", *_LOCKED),
    ("SQLITE_CORRUPT", "the file is damaged", "move it away to start with a new ledger: mv {path} {path}.damaged"),
    (
        "SQLITE_NOTADB",
        "the file is not an SQLite database, or its header is damaged",
        "move it away: mv {path} {path}.old",
    ),
    ("SQLITE_IOERR_SHORT", "the file is damaged: it was truncated", "move it away: mv {path} {path}.damaged"),
    ("SQLITE_IOERR", "the disk reports errors", "check the disk"),
    ("SQLITE_FULL", "the disk is full", "free some space; nothing was written"),
    ("SQLITE_READONLY", "it is not writable", "check the permissions of the file and its folder"),
    ("SQLITE_CANTOPEN", "it cannot be opened", "check the permissions of the file and its folder"),
    ("SQLITE_PERM", "permission to open it is denied", "check the permissions of the file and its folder"),
)
