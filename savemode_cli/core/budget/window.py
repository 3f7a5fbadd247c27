"""
The window of a budget: how long a spend counts against its limit.

Rule of this file: it computes with dates and lengths, and has no clock. The ledger knows what was spent in a window.

A calendar window (month, week, day) begins at midnight in the budget's time zone. A rolling window has no edges: a
charge counts until it is as old as the window is long. The window `none` never ends.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Literal, assert_never

from savemode_cli.core.errors import ConfigError

Calendar = Literal["month", "week", "day"]
WindowKind = Literal["month", "week", "day", "rolling", "none"]

ALLOWED = "month, week, day, month:N (from day N on), rolling like 5h, 24h, 7d or 30d, none (never resets)"
"""The possible windows, for errors and help."""

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of a window that does not end: later than any time in a ledger."""

LONGEST = timedelta(days=366)
"""The longest rolling window."""

_KINDS: dict[str, WindowKind] = {"month": "month", "week": "week", "day": "day", "none": "none"}
_BILLING_DAY = re.compile(r"(?:billing-day[ -]|month:)(\d{1,2})", re.ASCII)
_ROLLING = re.compile(r"(\d{1,4})([hd])", re.ASCII)
_LAST_BILLING_DAY = 31
_HOURS_PER_DAY = 24
_MARK = "rolling:"


@dataclass(frozen=True, slots=True)
class Window:
    """
    A month (from `billing_day` on, or its last day if the month is shorter), a week that begins on Monday, a day, the
    last `hours` hours, or all time.
    """

    kind: WindowKind = "month"
    billing_day: int = 1
    """The day on which a month begins; 1 for every other window."""
    hours: int = 0
    """The length of a rolling window; 0 for every other window."""

    def __post_init__(self) -> None:
        """
        Check the values.

        Raises:
            ConfigError: no month has the day, or a rolling window has no length.
        """
        if not 1 <= self.billing_day <= _LAST_BILLING_DAY:
            raise ConfigError(f"billing day {self.billing_day} is in no month", hint="allowed: 1 to 31")
        if (self.kind == "rolling") != (self.hours != 0) or not 0 <= self.hours <= LONGEST // timedelta(hours=1):
            raise ConfigError(
                f"a window of {self.hours} hours is not possible", hint="allowed: 1h to 8784h, or 1d to 366d"
            )

    def __str__(self) -> str:
        """
        The window as a configuration writes it: `parse_window(str(window)) == window`.
        """
        if self.kind == "rolling":
            days, rest = divmod(self.hours, _HOURS_PER_DAY)
            return f"{self.hours}h" if rest or days == 1 else f"{days}d"
        return self.kind if self.kind != "month" or self.billing_day == 1 else f"billing-day {self.billing_day}"

    @property
    def span(self) -> timedelta | None:
        """
        How long a charge counts in a rolling window; None for every other window.
        """
        return _hours(self.hours) if self.kind == "rolling" else None

    @property
    def calendar(self) -> Calendar | None:
        """
        The kind of a window that begins at midnight; None for every other window.
        """
        return None if self.kind == "rolling" or self.kind == "none" else self.kind  # noqa: PLR1714 - for the type checker

    def start(self, day: date) -> date:
        """
        The first day of the calendar window that `day` is in.
        """
        match self._calendar():
            case "day":
                return day
            case "week":
                return day - timedelta(days=day.weekday())
            case "month":
                first = _day_of_month(day.year, day.month, self.billing_day)
                if first <= day:
                    return first
                before = day.replace(day=1) - timedelta(days=1)
                return _day_of_month(before.year, before.month, self.billing_day)
            case other:  # pragma: no cover - for the type checker
                assert_never(other)

    def after(self, start: date) -> date:
        """
        The first day of the calendar window after the one that starts on `start`.
        """
        match self._calendar():
            case "day":
                return start + timedelta(days=1)
            case "week":
                return start + timedelta(days=7)
            case "month":
                return _day_of_month(start.year + start.month // 12, start.month % 12 + 1, self.billing_day)
            case other:  # pragma: no cover - for the type checker
                assert_never(other)

    def words(self) -> str:
        """
        The window for people, as an adjective.
        """
        match self.kind:
            case "rolling":
                return f"rolling {self}"
            case "none":
                return "total"
            case "month" if self.billing_day != 1:
                return f"monthly from day {self.billing_day}"
            case _:
                return {"month": "monthly", "week": "weekly", "day": "daily"}[self.kind]

    def in_key(self, start: date | None) -> str:
        """
        The part of a ledger key that separates the spends of two windows.

        Args:
            start: the first day of a calendar window; None for every other window.
        """
        match self.kind:
            case "rolling":
                return f"{_MARK}{self.hours}h"
            case "none":
                return "none"
            case _:
                assert start is not None  # noqa: S101 - a calendar window has one
                return f"{self.kind}:{start.isoformat()}"

    def _calendar(self) -> Calendar:
        if self.calendar is None:
            raise ValueError(f"a {self.kind} window has no first day")
        return self.calendar


MONTH = Window()
"""From the first of a month to the first of the next."""


def parse_window(text: str) -> Window:
    """
    Parse `month`, `week`, `day`, `billing-day N` (short form `month:N`), a rolling window like `5h` or `7d`, or `none`.

    Raises:
        ConfigError: the text is not a window.
    """
    word = text.strip().lower()
    if word in _KINDS:
        return Window(_KINDS[word])
    rolling = _ROLLING.fullmatch(word)
    if rolling is not None:
        hours = int(rolling[1]) * (_HOURS_PER_DAY if rolling[2] == "d" else 1)
        if hours:
            return Window("rolling", hours=hours)
    match = _BILLING_DAY.fullmatch(word)
    if match is None:
        raise ConfigError(f"unknown window {text!r} of a budget", hint=f"allowed: {ALLOWED}")
    return Window("month", int(match[1]))


def span_of(key: str) -> timedelta | None:
    """
    How long a charge counts under a ledger key; None if it counts as long as the key exists.
    """
    _, _, rest = key.partition("/")
    if not rest.startswith(_MARK):
        return None
    hours = rest[len(_MARK) :].partition("/")[0].removesuffix("h")
    return timedelta(hours=int(hours)) if hours.isdigit() else None


@cache
def _hours(hours: int) -> timedelta:
    """
    A length of time. Every request asks for those of its budgets, and making one takes as long as a look-up in a ledger.
    """
    return timedelta(hours=hours)


def _day_of_month(year: int, month: int, day: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return min(date(year, month, 1) + timedelta(days=day - 1), following - timedelta(days=1))
