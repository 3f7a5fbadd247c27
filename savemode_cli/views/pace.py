"""
A forecast and suggested limits, as text and as JSON.

Rule of this file: it renders what the core computed.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from savemode_cli.core.budget.budget import Limit
from savemode_cli.core.budget.forecast import Forecast
from savemode_cli.core.budget.pace import Interval, Reached, Suggestion
from savemode_cli.core.budget.scopes import ALL
from savemode_cli.core.money.amounts import amounts, dollars
from savemode_cli.views.labelled import labelled
from savemode_cli.views.printable import printable

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def forecast_lines(limit: Limit, spent_nusd: int, forecast: Forecast, source: str, width: int) -> Iterator[str]:
    """
    A forecast for people.

    Args:
        limit: the budget.
        spent_nusd: what is spent in its window.
        forecast: what is expected.
        source: where the spend is from, for people.
        width: of the screen, in columns.
    """
    budget, pace = limit.budget, forecast.pace
    who = f" ({budget.scope} {printable(limit.who)})" if budget.scope != ALL else ""
    yield f"budget {budget.name}{who} {dollars(limit.nusd)} ({budget.window.words()}; {budget.resets(limit.resets_at)})"
    today = pace.coming(0)
    rows = [
        ("spent", f"{dollars(spent_nusd)} so far, {dollars(pace.today_nusd)} of it today"),
        ("today", f"{_interval(today)} more until midnight"),
        ("usual", ", ".join(f"{day} {dollars(nusd)}" for day, nusd in zip(_WEEKDAYS, pace.week(), strict=True))),
    ]
    if forecast.at_end is not None:
        rows.append(("at reset", _interval(forecast.at_end)))
    rows.append(("reached", _reached(limit, forecast.reached)))
    rows.append(("from", f"{source}: {len(pace.days)} complete days since {pace.first}; in brackets: 80 % intervals"))
    for label, text in rows:
        yield from labelled(label, text, width)


def _interval(interval: Interval) -> str:
    return f"{dollars(interval.middle)} ({dollars(interval.low)} to {dollars(interval.high)})"


def _reached(limit: Limit, reached: Reached) -> str:
    if reached.earliest is None:
        return f"not {_before_end(limit)}"
    return (
        f"{_moment(limit, reached.expected)} ({_moment(limit, reached.earliest)} to {_moment(limit, reached.latest)})"
    )


def _moment(limit: Limit, moment: datetime | None) -> str:
    return f"not {_before_end(limit)}" if moment is None else limit.budget.local(moment)


def _before_end(limit: Limit) -> str:
    return "before the reset" if limit.budget.window.calendar is not None else "within the time looked at"


def forecast_json(limit: Limit, spent_nusd: int, forecast: Forecast, source: str) -> dict[str, Any]:
    """
    The same for programs. See `forecast_lines` for the arguments.
    """
    budget, pace = limit.budget, forecast.pace
    expected = forecast.to_json()
    return {
        "budget": budget.name,
        "scope": budget.scope,
        "who": limit.who,
        "window": str(budget.window),
        **amounts(limit=limit.nusd, spent=spent_nusd, today=pace.today_nusd),
        "rest_of_today": expected["rest_of_today"],
        "at_reset": expected["at_reset"],
        "reached": expected["reached"],
        "usual_nusd": dict(zip(_WEEKDAYS, pace.week(), strict=True)),
        "source": source,
        "days": len(pace.days),
    }


def suggestion_lines(suggested: Sequence[Suggestion]) -> Iterator[str]:
    """
    Suggested limits as a table.
    """
    heads = ("", "windows", "median", "p90", "dearest", "limit", "over it")
    rows = [
        (
            one.window,
            f"{one.windows}",
            dollars(one.median_nusd),
            dollars(one.p90_nusd),
            dollars(one.most_nusd),
            dollars(one.limit_nusd),
            f"{one.over}",
        )
        for one in suggested
    ]
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    for row in (heads, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def suggestions_json(suggested: Sequence[Suggestion]) -> list[dict[str, Any]]:
    """
    The same for programs.
    """
    return [
        {
            "window": one.window,
            "windows": one.windows,
            **amounts(median=one.median_nusd, p90=one.p90_nusd, most=one.most_nusd, limit=one.limit_nusd),
            "over": one.over,
        }
        for one in suggested
    ]
