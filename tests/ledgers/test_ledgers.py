"""
How an address names a ledger.
"""

from pathlib import Path

import pytest

from savemode_cli.core.errors import ConfigError, LedgerUnavailable
from savemode_cli.core.ledger import MemoryLedger
from savemode_cli.ledgers import open_ledger
from savemode_cli.ledgers.sqlite import SqliteLedger
from tests.cli.processes import python


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_memory(url: str) -> None:
    """
    For a process that keeps nothing.
    """
    assert isinstance(open_ledger(url), MemoryLedger)


def test_sqlite_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Three slashes and a relative path, or four and an absolute one; `~` is home.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    for url in ("sqlite:///one.db", f"sqlite:///{tmp_path}/two.db", "sqlite:///~/deep/three.db"):
        ledger = open_ledger(url)
        assert isinstance(ledger, SqliteLedger)
        ledger.close()

    assert {"one.db", "two.db", "deep/three.db"} <= {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*.db")}


@pytest.mark.parametrize(
    "url", ["", "sqlite:", "sqlite://", "sqlite:///", "memory:x", "redis://:secret@host/0", "ledger.db"]
)
def test_no_ledger(url: str) -> None:
    """
    Refused with examples, and without the password that an address may hold.
    """
    with pytest.raises(ConfigError) as error:
        open_ledger(url)

    assert "sqlite:///" in error.value.hint
    assert "secret" not in error.value.message


def test_ledger_that_cannot_be_opened(tmp_path: Path) -> None:
    """
    An address that is one, at a place where no file can be: not a misuse, but a ledger that is unavailable.
    """
    (tmp_path / "file").write_text("")

    with pytest.raises(LedgerUnavailable, match="cannot open the ledger"):
        open_ledger(f"sqlite:///{tmp_path}/file/ledger.db")


def test_back_end_is_imported_where_it_is_chosen() -> None:
    """
    Who counts in memory does not wait for a data base.
    """
    code = "import sys; from savemode_cli.ledgers import open_ledger; open_ledger('memory:'); print('sqlite3' in sys.modules)"

    assert python(code).strip() == "False"
