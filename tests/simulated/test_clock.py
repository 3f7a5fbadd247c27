"""
A clock that can only be moved forward.
"""

import math
from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.simulated.clock import MAX_ADVANCE_S, Clock

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_a_clock_with_a_start_stands_still() -> None:
    """
    It only moves when it is advanced.
    """
    clock = Clock(START)

    assert clock() == clock() == START
    assert clock.advance(600) == START + timedelta(minutes=10)
    clock.advance(0.5)
    assert clock() == START + timedelta(seconds=600.5)
    assert clock.turned_s == 600.5


def test_a_clock_without_a_start_follows_real_time() -> None:
    """
    Real time, plus the time by which it was advanced.
    """
    clock = Clock()
    before = datetime.now(UTC)
    clock.advance(3600)

    assert timedelta(hours=1) <= clock() - before < timedelta(hours=1, minutes=1)


@pytest.mark.parametrize("seconds", [-1, MAX_ADVANCE_S + 1, math.nan, math.inf])
def test_invalid_advances(seconds: float) -> None:
    """
    It cannot be moved backwards, or by more than a year.
    """
    with pytest.raises(ValueError, match="a number of seconds from 0"):
        Clock(START).advance(seconds)
