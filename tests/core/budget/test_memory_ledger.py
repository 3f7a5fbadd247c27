"""
What only the ledger in memory does; what every ledger does is tested in `tests/ledgers/test_contract.py`.
"""

from datetime import UTC, datetime

from savemode_cli.core.budget.memory_ledger import MemoryLedger

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_memory_has_nothing_to_close() -> None:
    """
    It is never unavailable.
    """
    ledger = MemoryLedger()
    ledger.close()

    assert ledger.balances(NOW) == {}
