"""
Budgets: where the spend of a moment is counted, until when, and for whom.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.budget import Budget, Window, aware, identify, limit_of, parse_window
from savemode_cli.core.caller import Caller
from savemode_cli.core.errors import ConfigError

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
    ("window", "day", "start", "after"),
    [
        (Window("month"), "2026-11-24", "2026-11-01", "2026-12-01"),
        (Window("month"), "2026-12-31", "2026-12-01", "2027-01-01"),
        (Window("month", 15), "2026-11-14", "2026-10-15", "2026-11-15"),
        (Window("month", 15), "2026-11-15", "2026-11-15", "2026-12-15"),
        (Window("month", 31), "2027-01-30", "2026-12-31", "2027-01-31"),
        (Window("month", 31), "2027-02-27", "2027-01-31", "2027-02-28"),
        (Window("month", 31), "2027-02-28", "2027-02-28", "2027-03-31"),
        (Window("month", 31), "2028-02-28", "2028-01-31", "2028-02-29"),
        (Window("month", 31), "2026-04-30", "2026-04-30", "2026-05-31"),
        (Window("month", 31), "2026-01-01", "2025-12-31", "2026-01-31"),
        (Window("week"), "2026-11-29", "2026-11-23", "2026-11-30"),
        (Window("week"), "2027-01-01", "2026-12-28", "2027-01-04"),
        (Window("day"), "2026-12-31", "2026-12-31", "2027-01-01"),
    ],
)
def test_window(window: Window, day: str, start: str, after: str) -> None:
    """
    A window starts where the calendar says, on the last day of a month that is too short for its billing day.
    """
    first = window.start(date.fromisoformat(day))

    assert (start, after) == (first.isoformat(), window.after(first).isoformat())


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
    The month turns at midnight of the budget's own time zone, in the offset of that night.
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
    A day is as long as the clocks make it; in Cairo the hour that is skipped is the one that midnight begins.
    """
    budget = Budget("b", 1, Window("day"), zone)
    end = budget.resets_at(at(day))
    start = budget.resets_at(end - timedelta(hours=hours, microseconds=1))

    assert (hours, end) == ((end - start) / timedelta(hours=1), budget.resets_at(start))


@settings(deadline=None)
@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
    window=st.sampled_from(
        [Window("day"), Window("week"), Window("month"), *(Window("month", n) for n in (2, 29, 31))]
    ),
)
def test_a_window_ends_once(moment: datetime, zone: str, window: Window) -> None:
    """
    The reset lies ahead, the key holds until just before it, and changes on it.
    """
    budget = Budget("b", 1, window, zone)
    resets = budget.resets_at(moment)

    assert moment < resets <= moment + timedelta(days=32)
    assert budget.key("", moment) == budget.key("", resets - timedelta(microseconds=1))
    assert budget.key("", moment) != budget.key("", resets)
    assert budget.starts_at(moment) <= moment
    assert budget.starts_at(resets) == resets


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
    A naive datetime would be read in the machine's own zone: it is a bug, and said.
    """
    with pytest.raises(ValueError, match="no time zone"):
        aware(datetime(2026, 11, 24))


@pytest.mark.parametrize("text", ["month", "week", "day", "billing-day 15", "billing-day 31"])
def test_window_text(text: str) -> None:
    """
    What is written is what is read.
    """
    assert text == str(parse_window(f" {text.upper()} "))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("month", "monthly"),
        ("week", "weekly"),
        ("day", "daily"),
        ("billing-day-15", "monthly from day 15"),
        ("month:15", "monthly from day 15"),
    ],
)
def test_window_words(text: str, words: str) -> None:
    """
    For people.
    """
    assert words == parse_window(text).words()


@pytest.mark.parametrize(
    "text", ["", "year", "billing-day", "billing-day 0", "billing-day 32", "billing-day 123", "month:", "month 15"]
)
def test_bad_window(text: str) -> None:
    """
    A window that is none is refused with those that are.
    """
    with pytest.raises(ConfigError) as error:
        parse_window(text)

    assert "allowed" in error.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"limit_nusd": 2**53},
        {"zone": "Mars/Olympus"},
        {"zone": "../etc/passwd"},
        {"zone": "Europe"},
        {"scope": "session"},
        {"scope": "header:"},
        {"scope": "header:X-Team"},
        {"scope": "header:authorization"},
        {"scope": "header:x-api-key"},
        {"warn_at": Decimal(0)},
        {"warn_at": Decimal("0.9")},
        {"engage_at": Decimal("1.01")},
        {"warn_at": Decimal("NaN")},
        {"engage_at": Decimal("Infinity")},
    ],
)
def test_bad_budget(wrong: dict[str, Any]) -> None:
    """
    A budget that cannot be meant is refused where it is written down.
    """
    with pytest.raises(ConfigError):
        Budget(**{"name": "b", "limit_nusd": 1, **wrong})


@pytest.mark.parametrize(
    ("scope", "who"),
    [
        ("all", ""),
        ("product", "posthog_code"),
        ("user", "ann"),
        ("team", "42"),
        ("key", "0123456789abcdef"),
        ("header:x-team", "blue"),
        ("header:x-other", ""),
    ],
)
def test_identify(scope: str, who: str) -> None:
    """
    Each scope reads its own part of the request, of a repeated header the last.
    """
    caller = Caller(
        "posthog_code",
        idle_prone=True,
        distinct_id="ann",
        properties={"team_id": 42},
        key_fingerprint="0123456789abcdef",
    )

    assert who == identify(scope, caller, [(b"x-team", b"red"), (b"x-team", b"blue")])


@pytest.mark.parametrize("scope", ["user", "team", "key", "header:x-team"])
def test_unnamed_callers_share_a_pot(scope: str) -> None:
    """
    Leaving out who one is does not lead around the cap.
    """
    assert identify(scope, Caller("wizard", idle_prone=False), []) == ""


def test_who_can_be_stored() -> None:
    """
    A lone surrogate is legal in JSON and in no encoding; it must not break a ledger.
    """
    caller = Caller("wizard", idle_prone=False, properties={"team_id": "\ud800"})

    assert identify("team", caller, []).encode() == b"\\ud800"


def test_limits() -> None:
    """
    A budget as it applies to a request, with its key, its end and for whom.
    """
    budgets = [Budget("month", 5), Budget("daily", 0, Window("day"), scope="product")]

    caller = Caller("wizard", idle_prone=False)
    month, daily = (limit_of(one, identify(one.scope, caller, []), NOVEMBER) for one in budgets)

    assert (month.key, month.who, month.nusd, month.capped) == ("month/month:2026-11-01/all", "", 5, True)
    assert (daily.key, daily.who, daily.capped) == ("daily/day:2026-11-24/product=wizard", "wizard", False)
    assert daily.resets_at == at("2026-11-25T00:00:00")
