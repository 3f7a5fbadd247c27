"""
Budgets: where a spend is counted, until when, and for whom.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.budget import Budget, aware, limit_of
from savemode_cli.core.budget.scopes import Spender, identities
from savemode_cli.core.budget.window import NEVER, Window
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.wire.caller import Caller

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "Africa/Cairo",
    "Asia/Beirut",
]
NOVEMBER = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    """
    A moment in UTC.
    """
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "before", "resets"),
    [
        ("UTC", "2026-11-30T23:59:59.999999", "2026-12-01T00:00:00"),
        ("Europe/Berlin", "2026-11-30T22:59:59", "2026-11-30T23:00:00"),
        ("Europe/Berlin", "2026-03-31T21:59:59", "2026-03-31T22:00:00"),
        ("America/New_York", "2026-12-01T04:59:59", "2026-12-01T05:00:00"),
        ("Pacific/Auckland", "2026-11-30T10:59:59", "2026-11-30T11:00:00"),
    ],
)
def test_edge_of_the_month(zone: str, before: str, resets: str) -> None:
    """
    The month begins at midnight in the budget's time zone, with the offset of that night.
    """
    budget = Budget("b", 1, zone=zone)
    edge = at(resets)

    assert edge == budget.resets_at(at(before))
    assert budget.key("", at(before)) != budget.key("", edge)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00", 25),
        ("Africa/Cairo", "2026-04-24T12:00:00", 23),
        ("UTC", "2026-03-29T12:00:00", 24),
    ],
)
def test_day_on_which_the_clocks_change(zone: str, day: str, hours: int) -> None:
    """
    A day is as long as the clock change makes it. In Cairo midnight itself is skipped.
    """
    budget = Budget("b", 1, Window("day"), zone)
    end = budget.resets_at(at(day))
    start = budget.resets_at(end - timedelta(hours=hours, microseconds=1))

    assert (hours, end) == ((end - start) / timedelta(hours=1), budget.resets_at(start))


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
    window=st.sampled_from(
        [Window("day"), Window("week"), Window("month"), *(Window("month", n) for n in (2, 29, 31))]
    ),
)
def test_a_window_ends_once(moment: datetime, zone: str, window: Window) -> None:
    """
    The reset is later than now, the key is the same until just before it, and changes at it.
    """
    budget = Budget("b", 1, window, zone)
    resets = budget.resets_at(moment)

    assert moment < resets <= moment + timedelta(days=32)
    assert budget.key("", moment) == budget.key("", resets - timedelta(microseconds=1))
    assert budget.key("", moment) != budget.key("", resets)
    assert budget.starts_at(moment) <= moment
    assert budget.starts_at(resets) == resets


def test_rolling_window_has_no_edge() -> None:
    """
    There is one key for all time. Everything that counts now has left after the length of the window.
    """
    budget = Budget("b", 1, Window("rolling", hours=5))

    assert budget.key("", NOVEMBER) == budget.key("", NOVEMBER + timedelta(days=400)) == "b/rolling:5h/all"
    assert budget.resets_at(NOVEMBER) == NOVEMBER + timedelta(hours=5)
    assert budget.resets(NOVEMBER) == "free 2026-11-24 12:00 UTC"


def test_window_that_does_not_end() -> None:
    """
    There is one key for all time, and no reset.
    """
    budget = Budget("b", 1, Window("none"), scope="user")

    assert budget.key("ann", NOVEMBER) == "b/none/user=ann"
    assert (budget.resets_at(NOVEMBER), budget.resets(NEVER)) == (NEVER, "never resets")


def test_strict_budget_does_not_only_warn() -> None:
    """
    A strict budget must refuse requests.
    """
    with pytest.raises(ConfigError, match="strict, and its action is warn"):
        Budget("b", 1, strict=True, action="warn")
    with pytest.raises(ConfigError, match="action is 'block'"):
        Budget("b", 1, action="block")  # type: ignore[arg-type]


def test_key() -> None:
    """
    Name, window, scope; whom it is for comes last, whatever it contains.
    """
    assert Budget("b", 1).key("ignored", NOVEMBER) == "b/month:2026-11-01/all"
    assert Budget("b", 1, Window("day"), scope="user").key("a/b=c", NOVEMBER) == "b/day:2026-11-24/user=a/b=c"


def test_time_zone_keeps_the_spend() -> None:
    """
    Changing the time zone of a budget moves its edges, and what was spent is not forgotten.
    """
    assert Budget("b", 1).key("", NOVEMBER) == Budget("b", 1, zone="Asia/Kathmandu").key("", NOVEMBER)


def test_moment_without_a_time_zone() -> None:
    """
    A naive datetime would be read in the time zone of the machine. This is a bug and raises an error.
    """
    with pytest.raises(ValueError, match="no time zone"):
        aware(datetime(2026, 11, 24))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"limit_nusd": 2**53},
        {"zone": "Mars/Olympus"},
        {"zone": "../etc/passwd"},
        {"zone": "Europe"},
        {"scope": "weather"},
        {"scope": "header:"},
        {"scope": "header:X-Team"},
        {"scope": "header:authorization"},
        {"scope": "header:x-api-key"},
        {"warn_at": Decimal(0)},
        {"warn_at": Decimal("0.9")},
        {"engage_at": Decimal("1.01")},
        {"warn_at": Decimal("NaN")},
        {"engage_at": Decimal("Infinity")},
        {"unknown": "maybe"},
        {"refusal_hint": "two\nlines"},
        {"refusal_hint": "\x1b[31m"},
        {"refusal_hint": "x" * 201},
        {"limits": (("ann", 1),)},
    ],
)
def test_bad_budget(wrong: dict[str, Any]) -> None:
    """
    An impossible budget is refused where it is defined.
    """
    with pytest.raises(ConfigError):
        Budget(**{"name": "b", "limit_nusd": 1, **wrong})


def test_limits() -> None:
    """
    A budget as it applies to a request, with its key, its end and for whom.
    """
    budgets = [Budget("month", 5), Budget("daily", 0, Window("day"), scope="product")]

    caller = Caller("wizard", idle_prone=False)
    month, daily = (limit_of(one, identities(one.scope, Spender(caller))[0], NOVEMBER) for one in budgets)

    assert (month.key, month.who, month.nusd, month.capped) == ("month/month:2026-11-01/all", "", 5, True)
    assert (daily.key, daily.who, daily.capped) == ("daily/day:2026-11-24/product=wizard", "wizard", False)
    assert daily.resets_at == at("2026-11-25T00:00:00")
