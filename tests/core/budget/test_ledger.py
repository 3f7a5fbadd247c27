"""
The edges of the time that a ledger compares; what ledgers do is tested in `tests/ledgers/test_contract.py`.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.ledger import is_allowed

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def test_allowance_ends_at_its_very_moment() -> None:
    """
    And none was given is none.
    """
    assert [is_allowed(NOW, moment) for moment in (NOW - TICK, NOW, NOW + TICK)] == [True, False, False]
    assert not is_allowed(None, NOW)
