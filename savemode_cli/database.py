"""
What every SQLite file of ours has in common: how it is opened, kept private, hardened, migrated and diagnosed.

Rule of this file: it knows no schema and raises nothing of its own; what a trouble is called is said by whose file it is.
"""

import sqlite3
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

Migration = Callable[[sqlite3.Connection], None]
Diagnosis = tuple[str, str, str]
"""How the name of a result code begins, what was found, and what to do next, in which {path} is the file's."""


def connect(path: Path, busy_s: float) -> sqlite3.Connection:
    """
    A connection to a file that is there, waiting so long for other processes. Transactions are begun by the caller.
    """
    # mode=rw: SQLite must not create the file, for it would do so with the umask's mode.
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw",
        uri=True,
        timeout=busy_s,  # the busy timeout: without it the second of two processes gets an error at once
        isolation_level=None,  # transactions begin and end where the caller says so, and nowhere else
        check_same_thread=False,  # the caller sees to that
    )


def beside(path: Path) -> tuple[Path, Path]:
    """
    SQLite's own files next to a database: the write-ahead log and the shared memory.
    """
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def make_private(path: Path) -> None:
    """
    Close a file that is known to be ours to everybody else; SQLite gives the log and the shared memory its mode.
    """
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def is_foreign(db: sqlite3.Connection, application_id: int) -> bool:
    """
    Whether it is another program's: not marked as ours, and not empty either.
    """
    if pragma(db, "application_id") == application_id:
        return False
    return bool(pragma(db, "user_version") or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def distrust(db: sqlite3.Connection) -> None:
    """
    A file is input. Functions and tables that a tampered schema names are not trusted with side effects.
    """
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration], application_id: int) -> None:
    """
    Bring the schema up to date, all of it or nothing.
    """
    if pragma(db, "user_version") == len(migrations):
        return
    db.execute("BEGIN IMMEDIATE")
    for migration in migrations[pragma(db, "user_version") :]:  # read again: another process may have been first
        migration(db)
    db.execute(f"PRAGMA application_id = {application_id}")
    db.execute(f"PRAGMA user_version = {len(migrations)}")
    db.execute("COMMIT")


def pragma(db: sqlite3.Connection, name: str) -> int:
    """
    A setting that is a number.
    """
    value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def diagnosis(exc: sqlite3.Error, path: Path, known: Iterable[Diagnosis], otherwise: str) -> tuple[str, str]:
    """
    What was found and what to do next, from the result code. Source: https://www.sqlite.org/rescode.html.
    """
    name: Any = getattr(exc, "sqlite_errorname", "")  # absent where the error is the binding's own
    for start, found, hint in known:
        if name.startswith(start):
            return found, hint.format(path=path)
    return str(exc), otherwise
