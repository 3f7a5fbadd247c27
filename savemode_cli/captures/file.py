"""
The folder and the file of a capture store: made or checked, private, migrated; and what to say when any of it fails.

Rule of this file: everything SQLite or the operating system can say becomes `CaptureUnavailable`, with what to do next.
Nothing is written to a file or a folder before it is known to be ours.
"""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from savemode_cli.core.errors import CaptureTooNew, CaptureUnavailable, ConfigError
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

FILE_NAME = "captures.sqlite3"
APPLICATION_ID = 0x736D6370
"""`smcp`, in the file's header: tells our stores from other programs'."""

BUSY_S = 5.0
"""How long a write waits for other processes. Nobody waits for the writer, so it may take its time."""

Identity = tuple[int, int]


def m001_exchanges_pieces(db: sqlite3.Connection) -> None:
    """
    A row per exchange, and the pieces that bodies are put together from.

    `kind` says what a piece's `data` is: see `store`. Times are text of fixed width in UTC, so that they sort.
    """
    db.execute(
        """CREATE TABLE pieces (
            id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, data BLOB NOT NULL
        ) STRICT"""
    )
    # AUTOINCREMENT: a number is never used twice, so what a reader remembers of one stays true.
    db.execute(
        """CREATE TABLE exchanges (
            id INTEGER PRIMARY KEY AUTOINCREMENT, started_at TEXT NOT NULL, session TEXT, model TEXT,
            request_id TEXT NOT NULL, kept_bytes INTEGER NOT NULL, request_piece INTEGER, response_piece INTEGER,
            record BLOB NOT NULL
        ) STRICT"""
    )
    db.execute("CREATE INDEX exchanges_started_at ON exchanges (started_at)")
    db.execute("CREATE INDEX exchanges_request_id ON exchanges (request_id)")
    # Goes up whenever pieces are removed: a writer that remembers some knows that it must forget them.
    db.execute("CREATE TABLE swept (one INTEGER PRIMARY KEY CHECK (one = 1), times INTEGER NOT NULL) STRICT")
    db.execute("INSERT INTO swept VALUES (1, 0)")


MIGRATIONS: tuple[Migration, ...] = (m001_exchanges_pieces,)
"""In order; the file's `user_version` is how many of them it has. One that was released is never edited."""


def identity(path: Path) -> Identity | None:
    """
    Which file is at the path, None for no file.
    """
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def file_of(path: Path) -> Path:
    """
    The file of the store that is named by its folder or by its file.
    """
    return path / FILE_NAME if path.is_dir() else path


def open_file(path: Path, *, create: bool = False, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """
    A connection to the store's file, checked and migrated. With `create`, folder and file are made if missing.
    """
    if create:
        _claim_folder(path.parent)
        with _alone(path.parent):
            _claim_file(path, create=True)
    else:
        _claim_file(path, create=False)
    db = connect(path, busy_s)
    try:
        _refuse_strangers(db, path)
        make_private(path)
        _configure(db)
        migrate(db, MIGRATIONS, APPLICATION_ID)
    except BaseException:
        db.close()
        raise
    return db


def is_store(path: Path) -> bool:
    """
    Whether a file is a capture store, or a folder holds one; by its content, whatever its name.
    """
    try:
        with file_of(path).open("rb") as file:
            head = file.read(72)
    except OSError:
        return False
    return head.startswith(b"SQLite format 3\0") and head[68:72] == APPLICATION_ID.to_bytes(4, "big")


def _claim_folder(folder: Path) -> None:
    """
    See that the folder is ours alone to write in; a new or empty one, or that of a store, is closed to others.

    Raises:
        ConfigError: it is not: whoever named it has to name another.
    """
    if folder.is_symlink():
        raise ConfigError(
            f"the capture folder {folder} is a symbolic link", hint=f"name the folder itself: {folder.resolve()}"
        )
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(
            f"{folder} cannot be the capture folder: {(error.strerror or '').lower()}", hint="name another folder"
        ) from error
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(f"the capture folder {folder} belongs to somebody else", hint="name a folder of your own")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"others may write in the capture folder {folder}", hint=f"chmod go-w {folder}, or name another folder"
        )
    others = {one.name for one in folder.iterdir()} - {FILE_NAME, *(one.name for one in beside(folder / FILE_NAME))}
    if not others and stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def _claim_file(path: Path, *, create: bool) -> None:
    for one in (path, *beside(path)):
        if one.is_symlink():
            raise CaptureUnavailable(f"{one} is a symbolic link", hint="name the file itself")
    if path.exists() and not path.is_file():
        raise CaptureUnavailable(f"{path} is not a regular file", hint="name a folder, or the store's file in it")
    if path.exists():
        return
    if not create:
        raise CaptureUnavailable(
            f"there are no captures at {path}", hint="savemode serve --capture makes some; --dir names another folder"
        )
    # The log of a store that was deleted: SQLite would play it back over the new file, and do so in silence.
    for one in beside(path):
        one.unlink(missing_ok=True)
    # EXCL: should a link appear in this very moment, it is not followed.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """
    Only one process at a time makes a store in this folder: another's log is not taken for a leftover.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # held for a few system calls
        yield
    finally:
        os.close(handle)


def _refuse_strangers(db: sqlite3.Connection, path: Path) -> None:
    """
    Before anything is written: is the file empty, or a store that we understand?
    """
    version = pragma(db, "user_version")
    if is_foreign(db, APPLICATION_ID):
        raise CaptureUnavailable(f"{path} is a database of another program", hint="name another folder")
    if version > len(MIGRATIONS):
        raise CaptureTooNew(
            f"{path} was written by a newer savemode: its schema is {version}, this one knows {len(MIGRATIONS)}",
            hint="upgrade savemode, or name another folder for this one; nothing was changed",
        )


def _configure(db: sqlite3.Connection) -> None:
    if not pragma(db, "user_version"):
        # So that a prune can give space back. Only before the first table is there a choice.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    # NORMAL: a killed process loses nothing that was appended; a power cut may lose the last ones, not the file.
    db.execute("PRAGMA synchronous = NORMAL")
    # A megabyte of log, not four: a store of one conversation is smaller than that.
    db.execute("PRAGMA wal_autocheckpoint = 256")
    # What is pruned is overwritten, not only let go of: it may be somebody's words.
    db.execute("PRAGMA secure_delete = ON")
    distrust(db)


@contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """
    Whatever SQLite or the operating system says, as `CaptureUnavailable` with what to do about it.
    """
    try:
        yield
    except sqlite3.Error as exc:
        found, hint = diagnosis(exc, path, _DIAGNOSES, "move it away to start anew, if it stays so")
        raise CaptureUnavailable(f"cannot {doing} the captures {path}: {found}", hint=hint) from exc
    except OSError as exc:
        raise CaptureUnavailable(
            f"cannot {doing} the captures {path}: {(exc.strerror or str(exc)).lower()}",
            hint="check the path and its permissions",
        ) from exc


_DIAGNOSES = (
    ("SQLITE_BUSY", "another process keeps it locked", "try again, or see which process has it open (lsof)"),
    ("SQLITE_CORRUPT", "the file is damaged", "move it away to start anew: mv {path} {path}.damaged"),
    ("SQLITE_NOTADB", "the file is no SQLite database", "move it away: mv {path} {path}.old"),
    ("SQLITE_IOERR_SHORT", "the file is shorter than it was", "move it away: mv {path} {path}.damaged"),
    ("SQLITE_IOERR", "the disk answers with errors, or is full", "check the disk"),
    ("SQLITE_FULL", "the disk is full", "make room: savemode captures prune --older-than 7d"),
    ("SQLITE_READONLY", "it may not be written", "check the permissions of the file and its folder"),
    ("SQLITE_CANTOPEN", "it cannot be opened", "check the permissions of the file and its folder"),
    ("SQLITE_PERM", "it may not be opened", "check the permissions of the file and its folder"),
)
