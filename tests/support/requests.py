"""
Requests of a trace.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.trace import Request
from savemode_cli.core.money.amounts import parse_usd

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP = Budget("default", 20 * USD)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def nusd(text: str) -> int:
    """
    An amount as written.
    """
    found = parse_usd(text)
    assert found is not None
    return found


def at(day: int, usd: str, *, minutes: int = 0, hour: int = 0) -> Request:
    """
    A request on a day of November.
    """
    moment = FIRST + timedelta(days=day - 1, hours=hour)
    return Request(moment, nusd(usd), timedelta(minutes=minutes))
