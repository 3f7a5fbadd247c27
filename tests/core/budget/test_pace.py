"""
The pace of spend: what is expected, the interval around it, when a limit is reached, and which limits fit.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from savemode_cli.core.budget.pace import CONFIDENCE, LEAST_DAYS, Interval, Pace, Suggestion, complete_days, suggestions
from savemode_cli.core.errors import BadInput

USD = 10**9
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
Charges = list[tuple[datetime, int]]


def daily(days: int, of_day: Callable[[int], int], hours: tuple[int, ...] = (9, 15)) -> Charges:
    """
    Charges from a Monday on: what a day costs, in equal parts at these hours.
    """
    return [
        (MONDAY + timedelta(days=day, hours=hour), of_day(day) // len(hours)) for day in range(days) for hour in hours
    ]


def test_even_spend_is_expected_to_go_on() -> None:
    """
    Every day costs the same, so nothing else is expected, and the interval has no width.
    """
    pace = Pace(daily(21, lambda _: 10 * USD), MONDAY + timedelta(days=21))

    assert (len(pace.days), pace.today_nusd, pace.week()) == (21, 0, [10 * USD] * 7)
    assert pace.coming(0) == Interval(10 * USD, 10 * USD, 10 * USD)
    assert pace.coming(2) == Interval(30 * USD, 30 * USD, 30 * USD)


def test_weekends() -> None:
    """
    A weekday is like those of its name, and like the other workdays or weekend days.
    """
    pace = Pace(daily(28, lambda day: 0 if day % 7 >= 5 else 10 * USD), MONDAY + timedelta(days=28))
    week = pace.week()

    assert week[5:] == [0, 0]
    assert min(week[:5]) > 8 * USD


def test_rest_of_a_day() -> None:
    """
    By the hours in which money is usually spent: half at nine, half at three.
    """
    charges = daily(22, lambda _: 10 * USD)
    noon = Pace(charges, MONDAY + timedelta(days=21, hours=12))
    evening = Pace(charges, MONDAY + timedelta(days=21, hours=18))

    assert (noon.day_share, noon.today_nusd, noon.coming(0).middle) == (0.5, 5 * USD, 5 * USD)
    assert evening.coming(0) == Interval(0, 0, 0)
    assert noon.coming(1).middle == 15 * USD


def test_days_begin_in_their_zone() -> None:
    """
    Late in the evening in UTC it is the next day in Tokyo.
    """
    from zoneinfo import ZoneInfo

    charges = [(MONDAY + timedelta(days=day, hours=20), USD) for day in range(12)]
    pace = Pace(charges, MONDAY + timedelta(days=13), ZoneInfo("Asia/Tokyo"))

    assert pace.first == (MONDAY + timedelta(days=1)).date()
    assert pace.days == [USD] * 12


def test_when_a_limit_is_reached() -> None:
    """
    On the day on which the sum reaches it, at the hour that the day's spend usually reaches that share.
    """
    pace = Pace(daily(21, lambda _: 10 * USD), MONDAY + timedelta(days=21))
    reached = pace.reached(lambda _: 24 * USD, 9)

    assert reached.expected == reached.earliest == reached.latest == MONDAY + timedelta(days=23, hours=10)
    assert pace.reached(lambda _: 26 * USD, 9).expected == MONDAY + timedelta(days=23, hours=16)
    assert pace.reached(lambda _: 101 * USD, 9).expected is None
    assert pace.reached(lambda _: -1, 9).expected == MONDAY + timedelta(days=21, hours=1)


def test_earlier_and_later() -> None:
    """
    The upper bound of what comes is the earliest time.
    """
    random = Random(7)
    amounts = [random.randrange(5, 40) * USD for _ in range(60)]
    reached = Pace(daily(60, amounts.__getitem__), MONDAY + timedelta(days=60)).reached(lambda _: 200 * USD, 99)

    assert reached.earliest is not None
    assert reached.expected is not None
    assert reached.latest is not None
    assert reached.earliest < reached.expected < reached.latest


def test_limit_that_frees_itself() -> None:
    """
    In a rolling window more is left each day.
    """
    pace = Pace(daily(21, lambda _: 10 * USD), MONDAY + timedelta(days=21))

    assert pace.reached(lambda day: (15 + 10 * day) * USD, 30).expected is None


def test_share_of_right_intervals() -> None:
    """
    On invented spend without a pattern, about as many are right as they say. Source: conformal prediction.
    """
    random = Random(11)
    right = total = 0
    for _ in range(12):
        amounts = [max(0, round(random.lognormvariate(2.5, 0.7) * USD)) for _ in range(45)]
        charges = daily(45, amounts.__getitem__, (12,))
        for day in range(20, 45):
            interval = Pace(charges, MONDAY + timedelta(days=day)).coming(0)
            right += interval.low <= amounts[day] <= interval.high
            total += 1

    assert abs(right / total - CONFIDENCE) < 0.08


def test_too_little_is_known() -> None:
    """
    It says how much there is, and where there may be more.
    """
    for charges, days in ((daily(LEAST_DAYS - 1, lambda _: USD), LEAST_DAYS - 1), ([], 0)):
        with pytest.raises(BadInput, match=f"needs 10 complete days of spend, and there are {days}"):
            Pace(charges, MONDAY + timedelta(days=LEAST_DAYS - 1))
    with pytest.raises(BadInput, match="nothing was spent in the last 60 days"):
        Pace(daily(5, lambda _: USD), MONDAY + timedelta(days=99))
    with pytest.raises(BadInput, match="there are 5"):
        Pace(daily(30, lambda _: USD), MONDAY + timedelta(days=5))  # what is later does not count


def test_interval_of_spend_on_one_day_only() -> None:
    """
    Days without spend before it make no error that can be scaled.
    """
    charges = [(MONDAY, 0), (MONDAY + timedelta(days=10), USD)]
    pace = Pace(charges, MONDAY + timedelta(days=11))

    assert pace.coming(0).low <= pace.coming(0).middle <= pace.coming(0).high


def test_complete_days() -> None:
    """
    Up to yesterday, from the first one with some spend on.
    """
    charges = [*daily(9, lambda day: (day % 2) * USD), (MONDAY + timedelta(days=9), USD)]

    assert complete_days(charges, MONDAY + timedelta(days=9, hours=5), 30) == [USD, 0, USD, 0, USD, 0, USD, 0]
    assert complete_days(charges, MONDAY + timedelta(days=9), 2) == [USD, 0]
    assert complete_days([], MONDAY, 30) == []


def test_suggestions() -> None:
    """
    Of the days with some spend, and of weeks that begin on any day; a month needs 30 days.
    """
    day, week = suggestions([number * USD for number in range(10)])

    assert day == Suggestion("day", 9, 5 * USD, 9 * USD, 9 * USD, 9_100_000_000, 0)
    assert (week.window, week.windows, week.median_nusd, week.most_nusd) == ("week", 4, 31_500_000_000, 42 * USD)
    assert [one.window for one in suggestions([USD] * 30)] == ["day", "week", "month"]
    assert suggestions([]) == suggestions([0, 0]) == []


def test_suggested_limit_is_in_cents() -> None:
    """
    Two digits, and more than the 90th percentile.
    """
    assert [suggestions([nusd])[0].limit_nusd for nusd in (1, 10_000_000, 52_748_500_000, 995_000_000_000)] == [
        10_000_000,
        20_000_000,
        53_000_000_000,
        1_000_000_000_000,
    ]
