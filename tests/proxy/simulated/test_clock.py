"""
A clock that can be turned forward, and only forward.
"""

import math
from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.proxy.simulated.clock import LONGEST_TURN_S, Clock

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_a_clock_with_a_start_stands_still() -> None:
    """
    It moves by being turned, and by nothing else.
    """
    clock = Clock(START)

    assert clock() == clock() == START
    assert clock.advance(600) == START + timedelta(minutes=10)
    clock.advance(0.5)
    assert clock() == START + timedelta(seconds=600.5)
    assert clock.turned_s == 600.5


def test_a_clock_without_one_goes_on() -> None:
    """
    Real time, plus what it was turned by.
    """
    clock = Clock()
    before = datetime.now(UTC)
    clock.advance(3600)

    assert timedelta(hours=1) <= clock() - before < timedelta(hours=1, minutes=1)


@pytest.mark.parametrize("seconds", [-1, LONGEST_TURN_S + 1, math.nan, math.inf])
def test_what_it_cannot_be_turned_by(seconds: float) -> None:
    """
    Not backwards, not for ever.
    """
    with pytest.raises(ValueError, match="a number of seconds from 0"):
        Clock(START).advance(seconds)
