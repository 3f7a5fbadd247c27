"""
Windows of budgets: what they are called, where calendar windows start, how long a charge counts.
"""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.window import Window, parse_window, span_of
from savemode_cli.core.errors import ConfigError


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


@pytest.mark.parametrize("text", ["month", "week", "day", "billing-day 15", "billing-day 31"])
def test_window_text(text: str) -> None:
    """
    A window is parsed from the text that it is written as.
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
    The error for a wrong window lists the possible ones.
    """
    with pytest.raises(ConfigError) as error:
        parse_window(text)

    assert "allowed" in error.value.hint


WINDOWS = st.one_of(
    st.sampled_from([Window("week"), Window("day"), Window("none")]),
    st.builds(lambda day: Window("month", day), st.integers(1, 31)),
    st.builds(lambda hours: Window("rolling", hours=hours), st.integers(1, 366 * 24)),
)


@given(window=WINDOWS)
def test_window_is_read_as_it_is_written(window: Window) -> None:
    """
    Ledgers and files keep a window as text.
    """
    assert parse_window(str(window)) == window


@pytest.mark.parametrize(
    ("text", "hours", "written"),
    [("5h", 5, "5h"), ("24h", 24, "24h"), ("1d", 24, "24h"), ("7d", 168, "7d"), ("48h", 48, "2d")],
)
def test_rolling_window(text: str, hours: int, written: str) -> None:
    """
    Hours and days are both read; whole days are written as days.
    """
    window = parse_window(text)

    assert (window, str(window), window.words()) == (Window("rolling", hours=hours), written, f"rolling {written}")
    assert window.span == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("key", "hours"),
    [
        ("b/rolling:5h/all", 5),
        ("b/rolling:168h/user=a/rolling:1h", 168),
        ("b/day:2026-11-24/user=x/rolling:1h/y", None),
        ("b/none/all", None),
        ("rolling:1h", None),
        ("b/rolling:h/all", None),
    ],
)
def test_span_of_a_key(key: str, hours: int | None) -> None:
    """
    The second part of a key decides. A client cannot choose it.
    """
    assert span_of(key) == (None if hours is None else timedelta(hours=hours))


@pytest.mark.parametrize("text", ["0h", "0d", "367d", "9999h", "-5h", "5 h", "h", "5m"])
def test_rolling_window_that_is_not_possible(text: str) -> None:
    """
    The length is at least an hour and at most a year.
    """
    with pytest.raises(ConfigError, match="window"):
        parse_window(text)


def test_window_without_days() -> None:
    """
    A rolling window and one that does not end have no first day: asking for it is a bug.
    """
    for window in (Window("rolling", hours=5), Window("none")):
        with pytest.raises(ValueError, match="no first day"):
            window.start(date(2026, 11, 24))
