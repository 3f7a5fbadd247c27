"""
A forecast of a budget.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.forecast import forecast_of, spent_in_window, zone_of
from savemode_cli.core.budget.window import parse_window
from savemode_cli.core.errors import BadInput

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
USD = 10**9
CHARGES = [(NOON - timedelta(days=day), 10 * USD) for day in range(1, 31)]


def a_limit(dollars: int, window: str = "month", **more: Any) -> Limit:
    """
    A budget of so many dollars.
    """
    return limit_of(Budget("default", dollars * USD, parse_window(window), **more), "", NOON)


def test_of_a_month() -> None:
    """
    $10 a day: seven days are to come, today included.
    """
    forecast = forecast_of(a_limit(400), CHARGES, 230 * USD, NOON)

    assert forecast.at_end is not None
    assert forecast.at_end.low <= forecast.at_end.middle <= forecast.at_end.high
    assert 290 * USD <= forecast.at_end.middle <= 300 * USD
    assert forecast.reached.earliest is None
    shown = forecast.to_json()
    assert shown["at_reset"]["expected_nusd"] == forecast.at_end.middle
    assert (shown["reached"]["expected"], shown["days"]) == (None, 30)


def test_when_a_limit_is_reached() -> None:
    """
    $25 are left, which last for two and a half days.
    """
    reached = forecast_of(a_limit(255), CHARGES, 230 * USD, NOON).reached

    assert reached.expected is not None
    assert timedelta(days=1) < reached.expected - NOON < timedelta(days=4)


def test_a_rolling_window_loses_charges() -> None:
    """
    Each day as much leaves it as is added, so the limit is never reached, and nothing ends.
    """
    forecast = forecast_of(a_limit(320, "30d"), CHARGES, 300 * USD, NOON)

    assert (forecast.at_end, forecast.reached.expected) == (None, None)


@pytest.mark.parametrize("window", ["5h", "month"])
def test_what_cannot_be_forecast(window: str) -> None:
    """
    A window of hours, and one of which too few days are known.
    """
    with pytest.raises(BadInput):
        forecast_of(a_limit(10, window), CHARGES if window == "5h" else CHARGES[:3], 0, NOON)


def test_the_days_of_a_budget() -> None:
    """
    They begin in its time zone, and what it counts begins with its window.
    """
    assert zone_of(a_limit(1)) is UTC
    assert zone_of(a_limit(1, zone="Europe/Berlin")) == ZoneInfo("Europe/Berlin")
    assert spent_in_window(CHARGES, a_limit(1), NOON) == 230 * USD
    assert spent_in_window(CHARGES, a_limit(1, "7d"), NOON) == 70 * USD
