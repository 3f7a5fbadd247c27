"""
Times and durations in files, checked and in UTC.

Rule of this file: it refuses impossible times, so that other code does not need to expect them.
"""

from datetime import UTC, datetime, timedelta

YEARS = range(1971, 2200)
"""The years in which a request can have been sent."""

_MAX_DURATION = timedelta(days=31)


def utc(at: datetime) -> datetime:
    """
    The same moment in UTC. A time without a zone is treated as UTC.

    Raises:
        ValueError: no request can have been sent in that year.
    """
    if at.year not in YEARS:
        raise ValueError("an impossible time")
    if at.tzinfo is UTC:
        return at
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def milliseconds(count: float) -> timedelta:
    """
    The duration of an answer.

    Args:
        count: milliseconds.

    Raises:
        ValueError: the duration is negative or longer than a month.
    """
    if not 0 <= count <= _MAX_DURATION / timedelta(milliseconds=1):
        raise ValueError("an impossible duration")
    return timedelta(milliseconds=count)
