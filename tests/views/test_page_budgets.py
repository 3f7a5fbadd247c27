"""
Budgets on the page, with what is expected of them.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.forecast import Forecast
from savemode_cli.core.budget.pace import Interval, Pace, Reached
from savemode_cli.views.page_budgets import budgets
from tests.builders import a_standing

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PACE = Pace([(NOON - timedelta(days=day), 10**9) for day in range(1, 20)], NOON)
STANDING = a_standing(used_nusd=4 * 10**9)


def shown(at_end: Interval | None, reached: Reached) -> str:
    """
    A budget with this forecast.
    """
    forecasts = {STANDING.limit.key: Forecast(PACE, at_end, reached)}
    return "".join(budgets([STANDING], forecasts, NOON))


def test_forecasts() -> None:
    """
    What is expected at the reset, and when the limit is reached: expected, or possible.
    """
    at_end = Interval(5 * 10**9, 7 * 10**9, 9 * 10**9)

    assert "$7.00</span> at reset</td>" in shown(at_end, Reached(None, None, None))
    assert "reached Fri 27 Nov</b>" in shown(at_end, Reached(None, NOON + timedelta(days=3), None))
    assert "reached Fri 27 Nov at the earliest" in shown(at_end, Reached(NOON + timedelta(days=3), None, None))
    assert "not reached in a year" in shown(None, Reached(None, None, None))


def test_without_a_forecast() -> None:
    """
    The budget is shown all the same.
    """
    found = "".join(budgets([STANDING], {}, NOON))
    assert "40 %" in found
    assert found.endswith("<td>-</td></tr></tbody></table></div>")
