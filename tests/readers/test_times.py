"""
Times are converted to UTC, and impossible ones are refused.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from savemode_cli.readers.times import milliseconds, utc

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_moments_in_utc() -> None:
    """
    From any zone; without a zone, the time is UTC.
    """
    east = datetime(2026, 11, 24, 14, tzinfo=timezone(timedelta(hours=2)))

    assert [utc(at) for at in (NOON, east, NOON.replace(tzinfo=None))] == [NOON] * 3
    assert {utc(at).tzinfo for at in (NOON, east, NOON.replace(tzinfo=None))} == {UTC}


@pytest.mark.parametrize("year", [1, 1970, 2200, 9999])
def test_years_without_requests(year: int) -> None:
    """
    Arithmetic near the first and last possible dates would fail.
    """
    with pytest.raises(ValueError, match="an impossible time"):
        utc(datetime(year, 12, 31, tzinfo=timezone(timedelta(hours=-14))))


def test_durations() -> None:
    """
    Up to a month.
    """
    assert milliseconds(1500.5) == timedelta(seconds=1.5005)
    for count in (-1, 1e300, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="an impossible duration"):
            milliseconds(count)
