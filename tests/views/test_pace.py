"""
A forecast and suggested limits, as they are shown.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.forecast import Forecast
from savemode_cli.core.budget.pace import Interval, Pace, Reached, Suggestion
from savemode_cli.core.budget.window import Window
from savemode_cli.views.pace import forecast_json, forecast_lines, suggestion_lines, suggestions_json
from savemode_cli.views.printable import without_colours

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PACE = Pace([(NOW - timedelta(days=day), 10 * USD) for day in range(21)], NOW)
LIMIT = limit_of(Budget("b", 250 * USD), "", NOW)
REACHED = Reached(NOW + timedelta(days=2), NOW + timedelta(days=3), None)
SUGGESTED = [Suggestion("day", 21, 10 * USD, 10 * USD, 12 * USD, 11 * USD, 1)]


AT_END = Interval(USD, 2 * USD, 3 * USD)


def shown(limit: Limit = LIMIT, at_end: Interval | None = AT_END, width: int = 80) -> list[str]:
    """
    The lines without colours.
    """
    lines = list(forecast_lines(limit, 210 * USD, Forecast(PACE, at_end, REACHED), "the ledger", width))
    return [without_colours(line) for line in lines]


def test_forecast() -> None:
    """
    The limit, what is spent, what comes, and when; within 80 columns, and within 60.
    """
    lines = shown()

    assert lines[0] == "budget b $250.0000 (monthly; resets 2026-12-01 00:00 UTC)"
    assert "  spent     $210.0000 so far, $10.0000 of it today" in lines
    assert "  at reset  $2.0000 ($1.0000 to $3.0000)" in lines
    assert "  reached   2026-11-27 12:00 UTC (2026-11-26 12:00 UTC to not before the reset)" in lines
    assert max(map(len, lines)) <= 80
    assert max(map(len, shown(width=60)[1:])) <= 60


def test_forecast_of_a_person_and_without_an_end() -> None:
    """
    A name that was sent is made printable; a window that does not end has no row about its end.
    """
    limit = limit_of(Budget("b", 250 * USD, Window("none"), scope="user"), "a\x1bnn", NOW)
    lines = shown(limit, None)

    assert "\x1b" not in "".join(lines)
    assert "at reset" not in "".join(lines)
    assert "not within the time looked at" in " ".join(" ".join(lines).split())


def test_never_reached() -> None:
    """
    Then there is no interval.
    """
    lines = forecast_lines(LIMIT, 0, Forecast(PACE, None, Reached(None, None, None)), "the ledger", 80)

    assert "  reached   not before the reset" in [without_colours(line) for line in lines]


def test_json() -> None:
    """
    The same, exactly.
    """
    read = forecast_json(LIMIT, 210 * USD, Forecast(PACE, Interval(1, 2, 3), REACHED), "the ledger")

    assert (read["limit_nusd"], read["spent_usd"]) == (250 * USD, "210.000000000")
    assert read["at_reset"]["expected_nusd"] == 2
    assert read["reached"] == {
        "earliest": "2026-11-26T12:00:00+00:00",
        "expected": "2026-11-27T12:00:00+00:00",
        "latest": None,
    }
    assert forecast_json(LIMIT, 0, Forecast(PACE, None, REACHED), "")["at_reset"] is None


def test_suggestions() -> None:
    """
    A table, and JSON.
    """
    assert list(suggestion_lines(SUGGESTED)) == [
        "     windows    median       p90   dearest     limit  over it",
        "day       21  $10.0000  $10.0000  $12.0000  $11.0000        1",
    ]
    assert suggestions_json(SUGGESTED)[0]["limit_usd"] == "11.000000000"
