"""
Times as files have them, as the times we reckon with.

Rule of this file: a time that cannot be right is refused here, so that no one behind has to expect it.
"""

from datetime import UTC, datetime, timedelta

_YEARS = range(1971, 2200)
_LONGEST = timedelta(days=31)


def utc(at: datetime) -> datetime:
    """
    The same moment in UTC; without a zone it is taken to be in UTC.

    Raises:
        ValueError: its year is not one in which a request was sent.
    """
    if at.year not in _YEARS:
        raise ValueError("a time that cannot be right")
    if at.tzinfo is UTC:
        return at
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def milliseconds(count: float) -> timedelta:
    """
    How long an answer took.

    Raises:
        ValueError: it is less than nothing, or longer than a month.
    """
    if not 0 <= count <= _LONGEST / timedelta(milliseconds=1):
        raise ValueError("a duration that cannot be right")
    return timedelta(milliseconds=count)
