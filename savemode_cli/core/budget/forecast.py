"""
How a budget will stand at its reset, and when it is reached.

Rule of this file: it joins a limit with the pace of spend. `pace` says what the next days will cost.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from savemode_cli.core.budget.budget import Limit
from savemode_cli.core.budget.pace import Interval, Pace, Reached
from savemode_cli.core.errors import BadInput
from savemode_cli.core.money.amounts import amounts

Charges = list[tuple[datetime, int]]
"""When something was charged, and how much."""

_MOST_AHEAD = 366


@dataclass(frozen=True, slots=True)
class Forecast:
    """
    What is expected of a budget.
    """

    pace: Pace
    """The spend of the days so far."""
    at_end: Interval | None
    """What will be spent at the end of the window; None if it does not end."""
    reached: Reached
    """When the limit is reached."""

    def to_json(self) -> dict[str, Any]:
        """
        The forecast for machines. The intervals have 80 % of what comes.
        """
        return {
            "rest_of_today": _interval_json(self.pace.coming(0)),
            "at_reset": None if self.at_end is None else _interval_json(self.at_end),
            "reached": {
                "earliest": _time(self.reached.earliest),
                "expected": _time(self.reached.expected),
                "latest": _time(self.reached.latest),
            },
            "days": len(self.pace.days),
        }


def _interval_json(interval: Interval) -> dict[str, Any]:
    return amounts(low=interval.low, expected=interval.middle, high=interval.high)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def forecast_of(limit: Limit, charges: Charges, spent_nusd: int, now: datetime) -> Forecast:
    """
    The forecast of a budget.

    Args:
        limit: the budget, as it applies to somebody now.
        charges: what counts under it, in any order.
        spent_nusd: what is spent in its window.
        now: the time.

    Raises:
        BadInput: there are too few complete days of spend, or the window is shorter than a day.
    """
    pace = Pace(charges, now, zone_of(limit))
    days = _days_ahead(limit, pace)
    reached = pace.reached(_left(limit, charges, spent_nusd, now), days)
    coming = None if limit.budget.window.calendar is None else pace.coming(days)
    return Forecast(pace, None if coming is None else coming.plus(spent_nusd), reached)


def zone_of(limit: Limit) -> tzinfo:
    """
    The time zone in which the days of a budget begin.
    """
    return UTC if limit.budget.zone == "UTC" else ZoneInfo(limit.budget.zone)


def spent_in_window(charges: Iterable[tuple[datetime, int]], limit: Limit, now: datetime) -> int:
    """
    What some charges add up to in the current window of a budget.
    """
    window = limit.budget.window
    if window.calendar is not None:
        begin = limit.budget.starts_at(now)
    else:
        begin = datetime.min.replace(tzinfo=UTC) if window.span is None else now - window.span
    return sum(nusd for at, nusd in charges if begin <= at <= now)


def _days_ahead(limit: Limit, pace: Pace) -> int:
    """
    How many days after today the window has, or a rolling window takes to be another one.
    """
    window = limit.budget.window
    if window.span is not None:
        if window.span < timedelta(days=1):
            raise BadInput(
                f"a forecast counts in days, and the window of budget {limit.budget.name} is shorter",
                hint="name another budget",
            )
        return window.span.days
    if window.calendar is None:
        return _MOST_AHEAD
    return (limit.resets_at.astimezone(zone_of(limit)).date() - pace.today).days - 1


def _left(limit: Limit, charges: Charges, spent_nusd: int, now: datetime) -> Callable[[int], int]:
    """
    What is left of the limit at the end of a day, before that day's own spend: charges leave a rolling window.
    """
    span = limit.budget.window.span
    if span is None:
        return lambda _: limit.nusd - spent_nusd

    def left(days: int) -> int:
        begin = now + timedelta(days=days) - span
        return limit.nusd - sum(nusd for at, nusd in charges if begin < at <= now)

    return left
