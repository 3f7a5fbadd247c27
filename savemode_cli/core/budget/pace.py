"""
How fast money is spent: what the next days will cost, when a limit is reached, and which limits fit.

Rule of this file: amounts are nano-USD, `now` is a parameter, and the same charges give the same forecast. A forecast is an
estimate, so its arithmetic is in floats.

The expected spend of a day is the recent level, times what its weekday usually differs from it; within a day, what the hours
usually have. How wrong such a forecast is, is not modelled but looked up: the same forecast is made for each past day, from the
days before it, and compared with what came. The interval has the quantiles of these errors, in the way of conformal
prediction. Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005, chapter 2. Its share of right
intervals on recorded traffic is measured by tests/benchmarks/pace.py.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from statistics import median

from savemode_cli.core.errors import BadInput

CONFIDENCE = 0.8
"""The share of cases in which the truth is to lie inside of an interval."""

LEAST_DAYS = 10
"""Fewer complete days are not enough for an interval."""

_MORE = "read transcripts: savemode budget forecast --from ~/.claude/projects"
_MOST_DAYS = 60
_LEAST_BEFORE = 5  # days before the first one that is forecast in hindsight
_LEVEL_HALF_LIFE = 14.0  # days after which a day counts half for the level
_WEEKDAY_HALF_LIFE = 28.0
_WEEKDAY_WEIGHT = 3.0  # how many days of its kind (workday, weekend) a weekday's own mean is mixed with
_LEVEL_SHARE = 0.5  # of the level, added to the scale of errors: days on which nothing is expected have errors too
_LEAST_ERRORS = 4
_LONGEST_ERRORS = 7  # days ahead; beyond these, errors are taken to grow with the amount
_HOURS = 24
_WEEKEND = 5  # Saturday


@dataclass(frozen=True, slots=True)
class Interval:
    """
    An amount that is expected, and the bounds of the interval.
    """

    low: int
    middle: int
    high: int

    def plus(self, nusd: int) -> "Interval":
        """
        The same with an amount that is certain.
        """
        return Interval(self.low + nusd, self.middle + nusd, self.high + nusd)


@dataclass(frozen=True, slots=True)
class Reached:
    """
    When a limit is reached: as expected, and the bounds of the interval. None: not before the end of the window.
    """

    earliest: datetime | None
    expected: datetime | None
    latest: datetime | None


class Pace:
    """
    The spend of the days so far, and what it says of the next ones.
    """

    def __init__(self, charges: Iterable[tuple[datetime, int]], now: datetime, zone: tzinfo = UTC) -> None:
        """
        Args:
            charges: when something was charged, and how much, in any order. What is later than `now` does not count.
            now: the time.
            zone: where days begin.

        Raises:
            BadInput: there are fewer than `LEAST_DAYS` complete days.
        """
        self._zone = zone
        self._now = now.astimezone(zone)
        self.today = self._now.date()
        days: dict[date, int] = {}
        hours = [0] * _HOURS
        for at, nusd in charges:
            local = at.astimezone(zone)
            if local <= self._now:
                days[local.date()] = days.get(local.date(), 0) + nusd
                hours[local.hour] += 0 if local.date() == self.today else nusd  # the rest of today is still to come
        self.today_nusd = days.pop(self.today, 0)
        first = min(days, default=self.today)
        first = max(first, self.today - timedelta(days=_MOST_DAYS))
        self.first = first
        self.days = [days.get(first + timedelta(days=number), 0) for number in range((self.today - first).days)]
        """The spend of each complete day from `first` on; the last one is yesterday."""
        if len(self.days) < LEAST_DAYS:
            raise BadInput(
                f"a forecast needs {LEAST_DAYS} complete days of spend, and there are {len(self.days)}",
                hint=_MORE,
            )
        if not any(self.days):
            raise BadInput(f"nothing was spent in the last {len(self.days)} days", hint=_MORE)
        self._until_hour = _cumulative(hours)
        errors = {ahead: _past_errors(self.days, first, ahead) for ahead in range(1, _LONGEST_ERRORS + 1)}
        self._errors = {ahead: found for ahead, found in errors.items() if len(found) >= _LEAST_ERRORS} or {1: [0.0]}

    @property
    def day_share(self) -> float:
        """
        The share of a day's spend that usually has come by this time of day.
        """
        hour, minutes = self._now.hour, self._now.minute + self._now.second / 60
        return self._until_hour[hour] + (self._until_hour[hour + 1] - self._until_hour[hour]) * minutes / 60

    def week(self) -> list[int]:
        """
        What is usual for each weekday, Monday first.
        """
        monday = self.today - timedelta(days=self.today.weekday())
        ahead = [monday + timedelta(days=number) for number in range(7)]
        return [round(nusd) for nusd in _expected(self.days, self.first, ahead)]

    def coming(self, days: int) -> Interval:
        """
        What is spent from now until the end of today, or of a later day.

        Args:
            days: 0 for today, 1 for tomorrow, and so on.
        """
        ahead = [self.today + timedelta(days=number) for number in range(days + 1)]
        expected = _expected(self.days, self.first, ahead)
        left = 1 - self.day_share
        total = sum(expected) - expected[0] * (1 - left)
        length = left + days
        scale = total + _LEVEL_SHARE * _level(self.days) * length
        known = min(max(1, round(length)), max(self._errors))
        low, high = _bounds(self._errors[known], known)
        return Interval(max(0, round(total + low * scale)), round(total), max(0, round(total + high * scale)))

    def reached(self, left_nusd: Callable[[int], int], days: int) -> Reached:
        """
        When a limit is reached.

        Args:
            left_nusd: what is left of it at the end of a day, as far as charges leave its window until then; 0 for today,
                1 for tomorrow, and so on.
            days: how many days are looked at after today.
        """
        found: dict[str, datetime] = {}
        before = Interval(0, 0, 0)
        for number in range(days + 1):
            coming = self.coming(number)
            for name in ("low", "middle", "high"):
                spent, earlier, left = getattr(coming, name), getattr(before, name), left_nusd(number)
                if name not in found and spent >= left:
                    share = (left - earlier) / (spent - earlier) if spent > earlier else 0.0
                    found[name] = self._moment(number, min(1.0, max(0.0, share)))
            if len(found) == 3:
                break
            before = coming
        return Reached(found.get("high"), found.get("middle"), found.get("low"))

    def _moment(self, number: int, share: float) -> datetime:
        """
        When so much of a day's spend has come; of today's, so much of the rest of it.
        """
        begun = self.day_share if number == 0 else 0.0
        wanted = begun + share * (1 - begun)
        hour = next(hour for hour in range(_HOURS) if self._until_hour[hour + 1] >= wanted - 1e-9)
        midnight = datetime.combine(self.today + timedelta(days=number), time(), self._zone)
        moment = midnight + timedelta(hours=hour + 1)
        return max(moment, self._now).astimezone(UTC)


def _level(days: Sequence[int]) -> float:
    """
    The mean of the days, recent ones more.
    """
    weights = [math.pow(0.5, (len(days) - number) / _LEVEL_HALF_LIFE) for number in range(len(days))]
    return sum(weight * nusd for weight, nusd in zip(weights, days, strict=True)) / sum(weights)


def _expected(days: Sequence[int], first: date, ahead: Sequence[date]) -> list[float]:
    """
    The expected spend of some days.

    Args:
        days: the spend of past days.
        first: the first of them.
        ahead: the days that are asked for.
    """
    weights = [math.pow(0.5, (len(days) - number) / _WEEKDAY_HALF_LIFE) for number in range(len(days))]
    mean = sum(weight * nusd for weight, nusd in zip(weights, days, strict=True)) / sum(weights)
    if not mean:
        return [0.0] * len(ahead)
    past = [(first + timedelta(days=number)).weekday() for number in range(len(days))]
    level = _level(days)

    def weighted(of: Callable[[int], bool]) -> tuple[float, float]:
        chosen = [(weight, nusd) for weight, nusd, day in zip(weights, days, past, strict=True) if of(day)]
        return sum(weight * nusd for weight, nusd in chosen), sum(weight for weight, _ in chosen)

    factors = []
    for weekday in range(7):
        is_weekend = weekday >= _WEEKEND
        kind_sum, kind_weight = weighted(lambda day: (day >= _WEEKEND) == is_weekend)  # noqa: B023 - called here
        kind_mean = kind_sum / kind_weight if kind_weight else mean
        own_sum, own_weight = weighted(lambda day: day == weekday)  # noqa: B023
        factors.append((own_sum + _WEEKDAY_WEIGHT * kind_mean) / (own_weight + _WEEKDAY_WEIGHT) / mean)
    return [level * factors[day.weekday()] for day in ahead]


def _past_errors(days: Sequence[int], first: date, ahead: int) -> list[float]:
    """
    How wrong forecasts of so many days would have been, each from the days before it, as shares of their scale.
    """
    errors = []
    for begin in range(_LEAST_BEFORE, len(days) - ahead + 1):
        known, coming = days[:begin], [first + timedelta(days=begin + number) for number in range(ahead)]
        expected = sum(_expected(known, first, coming))
        scale = expected + _LEVEL_SHARE * _level(known) * ahead
        if scale:
            errors.append((sum(days[begin : begin + ahead]) - expected) / scale)
    return errors


def _bounds(errors: Sequence[float], ahead: int) -> tuple[float, float]:
    """
    The errors between which the next one lies, with `CONFIDENCE`. Forecasts of several days overlap, so that they count
    for fewer.
    """
    ordered = sorted(errors)
    count = max(1.0, len(ordered) / ahead)
    tail = max(0.0, (1 - CONFIDENCE * (1 + 1 / count)) / 2)
    return _quantile(ordered, tail), _quantile(ordered, 1 - tail)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _cumulative(hours: Sequence[int]) -> list[float]:
    """
    The share of a day's spend before each hour; even where nothing was spent.
    """
    weights = hours if sum(hours) else [1] * _HOURS
    shares = [0.0]
    for weight in weights:
        shares.append(shares[-1] + weight / sum(weights))
    return [*shares[:-1], 1.0]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """
    A limit that would have been reached rarely.
    """

    window: str
    """`day`, `week` or `month`."""
    windows: int
    """How many windows of this length with some spend there were; those of weeks overlap."""
    median_nusd: int
    p90_nusd: int
    most_nusd: int
    limit_nusd: int
    """The suggested limit: the 90th percentile, rounded up."""
    over: int
    """How many of the windows would have reached it."""


_LENGTHS = {"day": 1, "week": 7, "month": 30}
_CENT = 10_000_000
_P90 = 0.9


def complete_days(charges: Iterable[tuple[datetime, int]], now: datetime, most: int, zone: tzinfo = UTC) -> list[int]:
    """
    The spend of each of the last days, today not included; the first one is a day with some spend.

    Args:
        charges: when something was charged, and how much, in any order.
        now: the time.
        most: how many days at most.
        zone: where days begin.
    """
    today = now.astimezone(zone).date()
    spent: dict[date, int] = {}
    for at, nusd in charges:
        day = at.astimezone(zone).date()
        if nusd and today - timedelta(days=most) <= day < today:
            spent[day] = spent.get(day, 0) + nusd
    first = min(spent, default=today)
    return [spent.get(first + timedelta(days=number), 0) for number in range((today - first).days)]


def suggestions(days: Sequence[int]) -> list[Suggestion]:
    """
    Limits per day, week and month that fit the spend of some days; none of a length of which there is no whole window.

    Args:
        days: the spend of each complete day, the first to come first.
    """
    found = []
    for window, length in _LENGTHS.items():
        sums = [sum(days[begin : begin + length]) for begin in range(len(days) - length + 1)]
        spent = sorted(nusd for nusd in sums if nusd)
        if not spent:
            continue
        p90 = spent[math.ceil(_P90 * len(spent)) - 1]
        limit = _rounded_up(p90)
        over = sum(nusd >= limit for nusd in spent)
        found.append(Suggestion(window, len(spent), int(median(spent)), p90, spent[-1], limit, over))
    return found


def _rounded_up(nusd: int) -> int:
    """
    An amount with two digits that is larger, of whole cents.
    """
    step = max(_CENT, int(10.0 ** (len(str(nusd)) - 2)))
    return (nusd // step + 1) * step
