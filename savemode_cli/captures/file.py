"""
The folder and the file of a capture store: created or checked, private, migrated, with an explanation of every failure.

Rule of this file: every error of SQLite or of the operating system becomes `CaptureUnavailable`, with a hint. Nothing is
written to an existing file or folder before it is known to be a capture store.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from savemode_cli.core.errors import CaptureTooNew, CaptureUnavailable, ConfigError, reason
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

FILE_NAME = "captures.sqlite3"
APPLICATION_ID = 0x736D6370
"""`smcp` in the file's header; it distinguishes capture stores from other SQLite databases."""

BUSY_S = 5.0
"""How long a write waits for other processes, in seconds. No request waits for the writer."""

_MAX_VALUE_BYTES = 16 * 1024 * 1024
"""
The longest value or row that SQLite reads from a store. Values that savemode writes are far shorter, but a file from
elsewhere may contain longer ones.
"""

_IS_STORE_WAIT_S = 1.0
"""How long `is_store` waits for another process that has locked the file, in seconds."""

Identity = tuple[int, int]


def m001_exchanges_pieces(db: sqlite3.Connection) -> None:
    """
    One row for each exchange, and the chunks (`pieces`) of the bodies.

    `kind` says what the `data` of a chunk is: see `bodies`. Times are UTC text of fixed width, so that they sort.
    """
    db.execute(
        """CREATE TABLE pieces (
            id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, data BLOB NOT NULL
        ) STRICT"""
    )
    # AUTOINCREMENT: a number is never used twice, so a reader may remember the content of a chunk.
    db.execute(
        """CREATE TABLE exchanges (
            id INTEGER PRIMARY KEY AUTOINCREMENT, started_at TEXT NOT NULL, session TEXT, model TEXT,
            request_id TEXT NOT NULL, kept_bytes INTEGER NOT NULL, request_piece INTEGER, response_piece INTEGER,
            record BLOB NOT NULL
        ) STRICT"""
    )
    db.execute("CREATE INDEX exchanges_started_at ON exchanges (started_at)")
    db.execute("CREATE INDEX exchanges_request_id ON exchanges (request_id)")
    # This counter increases whenever chunks are removed, so that a writer knows that it must forget the chunks it knows.
    db.execute("CREATE TABLE swept (one INTEGER PRIMARY KEY CHECK (one = 1), times INTEGER NOT NULL) STRICT")
    db.execute("INSERT INTO swept VALUES (1, 0)")


MIGRATIONS: tuple[Migration, ...] = (m001_exchanges_pieces,)
"""
All migrations in order; the file's `user_version` is the number of applied ones. A released migration is never edited.
"""


def identity(path: Path) -> Identity | None:
    """
    The device and inode of the file at this path; None if there is no file.
    """
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def file_of(path: Path) -> Path:
    """
    The file of a store, given its folder or the file itself.
    """
    return path / FILE_NAME if path.is_dir() else path


def open_file(path: Path, *, create: bool = False, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """
    Open the store's file, check it and migrate it.

    Args:
        path: the file.
        create: create the folder and the file if they do not exist.
        busy_s: how long to wait for other processes, in seconds.

    Raises:
        ConfigError: the folder cannot be used for captures.
        CaptureUnavailable: there is no store, or the file is not one.
        CaptureTooNew: a newer savemode wrote the store.
    """
    if create:
        _prepare_folder(path.parent)
        with lock_folder(path.parent, busy_s):
            _prepare_file(path, create=True)
            return _connected(path, busy_s)
    _prepare_file(path, create=False)
    return _connected(path, busy_s)


def _connected(path: Path, busy_s: float) -> sqlite3.Connection:
    db = connect(path, busy_s)
    try:
        _check_is_own_store(db, path)
        make_private(path)
        _configure(db)
        migrate(db, MIGRATIONS, APPLICATION_ID)
    except BaseException:
        db.close()
        raise
    return db


def is_store(path: Path) -> bool:
    """
    Whether a file is a capture store, or a folder contains one. The content decides, and not the name; nothing is
    written.

    While a proxy writes to a store, its application ID may be only in the write-ahead log until SQLite's first
    checkpoint, so this asks SQLite.
    """
    file = file_of(path)
    try:
        with file.open("rb") as opened:
            if opened.read(16) != b"SQLite format 3\0":
                return False
        with closing(connect(file, _IS_STORE_WAIT_S, read_only=True)) as db:
            return pragma(db, "application_id") == APPLICATION_ID
    except (OSError, sqlite3.Error):
        return False


def _prepare_folder(folder: Path) -> None:
    """
    Create the folder, or check that no other user can write to it. A new or empty folder, or one with only a store,
    becomes private.

    Raises:
        ConfigError: the folder cannot be used for captures.
    """
    if folder.is_symlink():
        raise ConfigError(
            f"the capture folder {folder} is a symbolic link", hint=f"use the folder itself: {folder.resolve()}"
        )
    try:
        make_folder(folder)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(
            f"{folder} cannot be the capture folder: {(error.strerror or '').lower()}", hint="use another folder"
        ) from error
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise ConfigError(f"the capture folder {folder} belongs to another user", hint="use a folder of your own")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"other users can write to the capture folder {folder}", hint=f"chmod go-w {folder}, or use another folder"
        )
    store_files = {FILE_NAME, *(file.name for file in beside(folder / FILE_NAME))}
    others = {file.name for file in folder.iterdir()} - store_files
    if not others and stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)


def _prepare_file(path: Path, *, create: bool) -> None:
    for file in (path, *beside(path)):
        if file.is_symlink():
            raise CaptureUnavailable(f"{file} is a symbolic link", hint="use the file itself")
    if path.exists() and not path.is_file():
        raise CaptureUnavailable(f"{path} is not a regular file", hint="use a folder, or the store's file in it")
    if path.exists():
        return
    if not create:
        raise CaptureUnavailable(
            f"there are no captures at {path}",
            hint="savemode serve --capture records some; --dir selects another folder",
        )
    # The write-ahead log of a deleted store: SQLite would apply it to the new file without an error.
    for file in beside(path):
        file.unlink(missing_ok=True)
    # O_EXCL: a symbolic link that appears in this moment is not followed.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


_EXECUTABLE_OBJECTS = (
    "SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger') OR sql LIKE 'CREATE VIRTUAL%' LIMIT 1"
)
"""Finds objects that run code when a table is read or written. In a file from elsewhere, such code may never end."""


def _check_is_own_store(db: sqlite3.Connection, path: Path) -> None:
    """
    Check, before anything is written, that the file is empty or a store that this version can read.

    Raises:
        CaptureUnavailable: the file is not a capture store.
        CaptureTooNew: a newer savemode wrote the store.
    """
    version = pragma(db, "user_version")
    if is_foreign(db, APPLICATION_ID):
        raise CaptureUnavailable(f"{path} is a database of another program", hint="use another folder")
    if db.execute(_EXECUTABLE_OBJECTS).fetchone() is not None:
        raise CaptureUnavailable(
            f"{path} is not a capture store: it contains a view, a trigger or a virtual table",
            hint="use another folder",
        )
    if version > len(MIGRATIONS):
        raise CaptureTooNew(
            f"{path} was written by a newer savemode: its schema is {version}, this version reads up to {len(MIGRATIONS)}",
            hint="upgrade savemode, or use another folder; nothing was changed",
        )


def _configure(db: sqlite3.Connection) -> None:
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    if not pragma(db, "user_version"):
        # A prune can then return space to the system. This can only be set before the first table is created.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    # NORMAL: if the process is killed, nothing is lost; if the power fails, the last exchanges may be lost.
    db.execute("PRAGMA synchronous = NORMAL")
    # 1 MB of log instead of 4 MB: a store of one conversation is smaller than that.
    db.execute("PRAGMA wal_autocheckpoint = 256")
    # Pruned data is overwritten, because it may contain prompts.
    db.execute("PRAGMA secure_delete = ON")
    distrust(db)


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """
    Turn an error of SQLite or of the operating system into `CaptureUnavailable` with a hint.

    Args:
        path: the store.
        doing: the operation, as a verb for the message.
    """
    try:
        yield
    except sqlite3.Error as exc:
        problem, hint = diagnosis(
            exc, path, _DIAGNOSES, "if this happens again, move the file away to start with a new one"
        )
        raise CaptureUnavailable(f"cannot {doing} the captures {path}: {problem}", hint=hint) from exc
    except BlockingIOError as exc:
        problem, hint = _LOCKED
        raise CaptureUnavailable(f"cannot {doing} the captures {path}: {problem}", hint=hint) from exc
    except OSError as exc:
        raise CaptureUnavailable(
            f"cannot {doing} the captures {path}: {reason(exc)}",
            hint="check the path and its permissions",
        ) from exc


_LOCKED = ("another process keeps it locked", "try again, or see which process has it open (lsof)")

_DIAGNOSES = (
    ("SQLITE_BUSY", *_LOCKED),
    ("SQLITE_CORRUPT", "the file is damaged", "move it away to start with a new store: mv {path} {path}.damaged"),
    ("SQLITE_NOTADB", "the file is not an SQLite database", "move it away: mv {path} {path}.old"),
    ("SQLITE_IOERR_SHORT", "the file was truncated", "move it away: mv {path} {path}.damaged"),
    ("SQLITE_IOERR", "the disk reports errors, or is full", "check the disk"),
    ("SQLITE_FULL", "the disk is full", "free some space: savemode captures prune --older-than 7d"),
    ("SQLITE_READONLY", "it is not writable", "check the permissions of the file and its folder"),
    ("SQLITE_CANTOPEN", "it cannot be opened", "check the permissions of the file and its folder"),
    ("SQLITE_PERM", "permission to open it is denied", "check the permissions of the file and its folder"),
)
