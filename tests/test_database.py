"""
What our SQLite files have in common; what each makes of it is tested with it.
"""

import sqlite3
import stat
from pathlib import Path

import pytest

from savemode_cli.database import beside, connect, diagnosis, is_foreign, make_private, migrate, pragma

OURS = 0x01020304


def make(db: sqlite3.Connection) -> None:
    """
    A first schema.
    """
    db.execute("CREATE TABLE t (x)")


def fail(db: sqlite3.Connection) -> None:
    """
    A step that begins and does not succeed.
    """
    db.execute("CREATE TABLE half (x)")
    raise RuntimeError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """
    An empty file.
    """
    path = tmp_path / "a b?#.db"
    path.touch(0o644)
    return path


def test_a_file_is_not_made(tmp_path: Path) -> None:
    """
    It would have the umask's mode.
    """
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / "none.db", 0).execute("SELECT 1 FROM sqlite_master")
    assert list(tmp_path.glob("*.db*")) == []


def test_any_name_is_one(file: Path) -> None:
    """
    Characters that mean something in an address mean nothing in a path.
    """
    db = connect(file, 0)
    migrate(db, (make,), OURS)
    db.close()

    assert file.stat().st_size > 0
    assert [one.name for one in beside(file)] == ["a b?#.db-wal", "a b?#.db-shm"]


def test_private(file: Path) -> None:
    """
    For the owner alone.
    """
    file.chmod(0o644)
    make_private(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_foreign(file: Path) -> None:
    """
    An empty file is anybody's, a marked one ours, and any other somebody's.
    """
    db = connect(file, 0)
    assert not is_foreign(db, OURS)
    make(db)
    assert is_foreign(db, OURS)
    db.execute(f"PRAGMA application_id = {OURS}")
    assert not is_foreign(db, OURS)
    db.close()


def test_migration_is_whole_or_none(file: Path) -> None:
    """
    Steps that were taken are not taken again, and one that fails leaves nothing behind.
    """
    db = connect(file, 0)
    migrate(db, (make,), OURS)
    migrate(db, (make,), OURS)
    with pytest.raises(RuntimeError):
        migrate(db, (make, fail), OURS)
    db.close()
    db = connect(file, 0)

    assert (pragma(db, "user_version"), pragma(db, "application_id")) == (1, OURS)
    assert [name for (name,) in db.execute("SELECT name FROM sqlite_master")] == ["t"]
    db.close()


def test_diagnosis(file: Path) -> None:
    """
    The first that fits, with the file's place; else SQLite's own words.
    """
    known = (("SQLITE_NOTADB", "it is none", "mv {path} away"),)
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError) as raised:
        connect(file, 0).execute("SELECT 1 FROM sqlite_master")

    assert diagnosis(raised.value, file, known, "?") == ("it is none", f"mv {file} away")
    assert diagnosis(sqlite3.Error("words"), file, known, "look") == ("words", "look")


@pytest.mark.parametrize("statement", [1, 2, 3])
def test_file_that_is_being_made_is_not_foreign(file: Path, statement: int) -> None:
    """
    Another process of savemode writes the schema while this one looks, at any statement of the look.
    """
    ours, theirs = connect(file, 0), connect(file, 0)
    theirs.execute("PRAGMA journal_mode = WAL")
    seen = 0

    def interrupt(_statement: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            migrate(theirs, (make,), OURS)

    ours.set_trace_callback(interrupt)

    assert not is_foreign(ours, OURS)
    ours.close()
    theirs.close()
