"""
The explanations of errors, and the migrations. `test_sqlite` tests the rest of the file through the ledger.
"""

import sqlite3
from pathlib import Path

import pytest

from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.sqlite_file import MIGRATIONS, _require_wal, explained

PATH = Path("ledgers/ledger.db")


def test_migrations_are_numbered() -> None:
    """
    Each name contains its number, because the file's version is the number of applied migrations.
    """
    assert [one.__name__[:5] for one in MIGRATIONS] == [f"m{number:03}_" for number in range(1, len(MIGRATIONS) + 1)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("SQLITE_IOERR_SHORT_READ", "truncated"),
        ("SQLITE_IOERR_WRITE", "the disk reports errors"),
        ("SQLITE_CANTOPEN", "cannot be opened"),
        ("SQLITE_PERM", "permission to open it is denied"),
        ("SQLITE_LOCKED_SHAREDCACHE", "keeps it locked"),
        ("SQLITE_CONSTRAINT", "as SQLite says it"),
    ],
)
def test_diagnosis(code: str, words: str) -> None:
    """
    Result codes that are difficult to cause are explained too.
    """
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorname = code

    with pytest.raises(LedgerUnavailable) as said, explained(PATH, "read"):
        raise error

    assert said.value.message.startswith("cannot read the ledger ledgers/ledger.db: ")
    assert words in said.value.message
    assert said.value.hint


def test_no_write_ahead_log() -> None:
    """
    A file system without shared memory is an error at the start, and not at the first conflict.
    """
    with pytest.raises(LedgerUnavailable, match="write-ahead log"):
        _require_wal("delete", PATH)
