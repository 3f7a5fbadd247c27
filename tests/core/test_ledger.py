"""
The edges of the two times a ledger compares; what ledgers do is tested in `tests/ledgers/test_contract.py`.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.ledger import MemoryLedger, is_allowed, is_expired

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def test_hold_runs_out_at_its_very_moment() -> None:
    """
    Held until then, spent from then on.
    """
    assert [is_expired(NOW, moment) for moment in (NOW - TICK, NOW, NOW + TICK)] == [False, True, True]


def test_allowance_ends_at_its_very_moment() -> None:
    """
    And none was given is none.
    """
    assert [is_allowed(NOW, moment) for moment in (NOW - TICK, NOW, NOW + TICK)] == [True, False, False]
    assert not is_allowed(None, NOW)


def test_memory_has_nothing_to_close() -> None:
    """
    It is never unavailable.
    """
    ledger = MemoryLedger()
    ledger.close()

    assert ledger.balances(NOW) == {}
