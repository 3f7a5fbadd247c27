"""
Budgets on the page of a running proxy, each with its forecast.

Rule of this file: it renders what the core computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.budget.forecast import Forecast
from savemode_cli.views.page_html import clock, money, table, text

HEADS = ("budget", "spent", "limit", "left", "used", "forecast")


def budgets(standings: Sequence[Standing] | None, forecasts: Mapping[str, Forecast], now: datetime) -> Iterator[str]:
    """
    The budgets that everybody shares.

    Args:
        standings: their states; None if the ledger does not answer.
        forecasts: what is expected, by the key of the budget.
        now: the time of the proxy.
    """
    if standings is None:
        yield "<p>The ledger does not answer.</p>"
    elif not standings:
        yield '<p class="quiet">No budget is set. <code>savemode budget set 20</code> sets one of $20 a month.</p>'
    else:
        rows = (_row(one, forecasts.get(one.limit.key), now) for one in standings)
        yield from table("budgets", HEADS, rows)


def _row(standing: Standing, forecast: Forecast | None, now: datetime) -> Iterator[str]:
    limit, used = standing.limit, standing.balance.used_nusd
    yield text(f"{limit.budget.name} {limit.who}".rstrip())
    yield money(used)
    yield money(limit.nusd) if limit.capped else "none"
    yield money(max(0, standing.left_nusd)) if limit.capped else "-"
    share = f"{used * 100 // limit.nusd} %" if limit.capped and limit.nusd else "-"
    meter = f'<meter value="{used}" max="{limit.nusd}" aria-label="used">{share}</meter> ' if limit.capped else ""
    yield f"{meter}{share}"
    yield "-" if forecast is None else "".join(_forecast(forecast, now))


def _forecast(forecast: Forecast, now: datetime) -> Iterator[str]:
    end, reached = forecast.at_end, forecast.reached
    if end is not None:
        yield f"{money(end.middle)} at reset"
    if reached.expected is not None:
        yield f'{"; " if end else ""}<b class="warn">reached {_day(reached.expected, now)}</b>'
    elif reached.earliest is not None:
        yield f"{'; ' if end else ''}reached {_day(reached.earliest, now)} at the earliest"
    elif end is None:
        yield "not reached in a year"


def _day(at: datetime, now: datetime) -> str:
    return clock(at, "%H:%M" if at.astimezone().date() == now.astimezone().date() else "%a %d %b")
