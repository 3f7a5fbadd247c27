"""
Opening a ledger by its address.
"""

from pathlib import Path

import pytest

from savemode_cli.core.budget import Budget
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.ledger import MemoryLedger
from savemode_cli.ledgers import open_ledger
from savemode_cli.ledgers.sqlite import SqliteLedger


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_memory(url: str) -> None:
    """
    A ledger that is gone with the process.
    """
    assert isinstance(open_ledger(url), MemoryLedger)


def test_sqlite_is_the_same_file_each_time(tmp_path: Path) -> None:
    """
    What one opening wrote another reads.
    """
    url = f"sqlite:///{tmp_path / 'deep' / 'ledger.db'}"
    first = open_ledger(url, busy_s=1)
    first.set_budget(Budget("default", 5))
    first.close()
    second = open_ledger(url)

    assert isinstance(second, SqliteLedger)
    assert [one.limit_nusd for one in second.budgets()] == [5]
    second.close()


@pytest.mark.parametrize("url", ["", "redis://user:secret@host", "sqlite://", "sqlite:///", "memory:x"])
def test_no_ledger_has_such_an_address(url: str) -> None:
    """
    One error with a way out, and nothing of the address but its scheme.
    """
    with pytest.raises(ConfigError) as caught:
        open_ledger(url)

    assert caught.value.hint
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
