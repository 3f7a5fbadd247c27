"""
What all SQLite files of savemode have in common: how a file is opened, protected, migrated, and how its errors are explained.

Rule of this file: it knows no schema, and raises only what SQLite raises. The module that owns a file names its errors.
"""

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

_POLL_S = 0.01

Migration = Callable[[sqlite3.Connection], None]
Diagnosis = tuple[str, str, str]
"""
The beginning of the name of a result code, what is wrong, and what to do about it. `{path}` in the last stands for the path
of the file.
"""


@contextmanager
def lock_folder(folder: Path, wait_s: float) -> Iterator[None]:
    """
    Hold a lock on a folder while a database in it is opened, so that only one process at a time makes or configures the file.

    Without it, one process could remove a log as a leftover that another has just begun, or fail because SQLite does not
    wait when several connections change the journal mode of a new file.

    Args:
        folder: the folder. The lock is on it because the file may not exist yet.
        wait_s: how long to wait for other processes, in seconds.

    Raises:
        BlockingIOError: another process held the lock for longer.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + wait_s
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


def connect(path: Path, busy_s: float, *, read_only: bool = False) -> sqlite3.Connection:
    """
    Connect to a file that exists. The caller begins and ends transactions.

    Args:
        path: the file.
        busy_s: how long a call waits for other processes, in seconds.
        read_only: whether nothing may be written.
    """
    # mode=rw: SQLite must not create the file, because it would use the mode of the umask.
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        timeout=busy_s,  # without it the second of two processes gets an error at once
        isolation_level=None,  # the caller begins and ends transactions
        check_same_thread=False,  # the caller makes sure that one thread uses it at a time
    )


def beside(path: Path) -> tuple[Path, Path]:
    """
    The files that SQLite keeps next to a database: the write-ahead log and the shared memory.
    """
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def make_private(path: Path) -> None:
    """
    Make a file of savemode readable for its owner only. SQLite gives the log and the shared memory the same mode.
    """
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def is_foreign(db: sqlite3.Connection, application_id: int) -> bool:
    """
    Whether a database belongs to another program: it is not empty, and does not have the application ID of savemode.
    """
    if not pragma(db, "user_version") and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return False
    # Read last: another process may write the schema and the ID in one transaction between these statements.
    return pragma(db, "application_id") != application_id


def distrust(db: sqlite3.Connection) -> None:
    """
    Protect a connection from a file that somebody changed: functions that its schema names cannot have side effects, and
    damaged pages are found.
    """
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration], application_id: int) -> None:
    """
    Bring the schema up to date, as a whole or not at all.

    Args:
        db: the connection.
        migrations: all of them, the oldest first. The version of a schema is how many of them it has had.
        application_id: the mark of the kind of file.
    """
    if pragma(db, "user_version") == len(migrations):
        return
    db.execute("BEGIN IMMEDIATE")
    for migration in migrations[pragma(db, "user_version") :]:  # read again: another process may have migrated it
        migration(db)
    db.execute(f"PRAGMA application_id = {application_id}")
    db.execute(f"PRAGMA user_version = {len(migrations)}")
    db.execute("COMMIT")


def pragma(db: sqlite3.Connection, name: str) -> int:
    """
    The value of a pragma that is a number.
    """
    value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def diagnosis(exc: sqlite3.Error, path: Path, known: Iterable[Diagnosis], otherwise: str) -> tuple[str, str]:
    """
    What is wrong, and what to do about it, from the result code.

    Source: https://www.sqlite.org/rescode.html (checked 2026-11-24).

    Args:
        exc: the error of SQLite.
        path: the file.
        known: the errors that can be explained; the first that fits counts.
        otherwise: what to do about any other error.
    """
    name: Any = getattr(exc, "sqlite_errorname", "")  # errors of Python's own module have no such name
    for start, problem, hint in known:
        if name.startswith(start):
            return problem, hint.format(path=path)
    return str(exc), otherwise
