"""
The page of a running proxy: budgets, sums, the dearest misses, hours, sessions and the last requests.

Rule of this file: it shows the sums of `RunningSummary` and computes none. The page is complete without a script; the
script fetches it again when something happens, and draws charts from its tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.budget.forecast import Forecast
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.running import RunningSummary, SessionSums
from savemode_cli.core.money.amounts import dollars
from savemode_cli.views.money import percent
from savemode_cli.views.page_budgets import budgets
from savemode_cli.views.page_hours import charts
from savemode_cli.views.page_html import clock, money, section, table, text
from savemode_cli.views.page_misses import causes, misses, words
from savemode_cli.views.report import short_count

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page."""

FILES: dict[str, tuple[str, str]] = {
    "/-/uplot.css": ("uplot.css", "text/css; charset=utf-8"),
    "/-/page.css": ("page.css", "text/css; charset=utf-8"),
    "/-/icon.svg": ("icon.svg", "image/svg+xml"),
    "/-/uplot.js": ("uplot.js", "text/javascript; charset=utf-8"),
    "/-/charts.js": ("charts.js", "text/javascript; charset=utf-8"),
    "/-/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
"""What the page loads: by path, the file beside this one and its media type."""

SORTS: dict[str, Callable[[SessionSums], object]] = {
    "last": lambda session: session.totals.last_at,
    "cost": lambda session: session.totals.cost_nusd,
    "missed": lambda session: session.totals.missed_nusd,
    "requests": lambda session: session.totals.requests,
}
"""By what sessions can be sorted, the largest first."""

_MOST_SESSIONS = 50
_MOST_REQUESTS = 20
_SHORT_ID = 12
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>savemode</title>
<link rel="stylesheet" href="/-/uplot.css">
<link rel="stylesheet" href="/-/page.css">
<link rel="icon" href="/-/icon.svg">
<script src="/-/uplot.js" defer></script>
<script src="/-/charts.js" defer></script>
<script src="/-/page.js" defer></script>
</head>
<body>
<header><h1>savemode</h1> <p id="state" role="status"></p></header>
<main>"""


def read_files() -> dict[str, tuple[bytes, str]]:
    """
    What the page loads, by path: content and media type.
    """
    folder = Path(__file__).parent / "page"
    return {path: ((folder / name).read_bytes(), media_type) for path, (name, media_type) in FILES.items()}


def page(
    running: RunningSummary,
    standings: Sequence[Standing] | None,
    recent: Sequence[Exchange],
    now: datetime,
    *,
    in_flight: int = 0,
    sort: str = "last",
    forecasts: Mapping[str, Forecast] | None = None,
) -> str:
    """
    The whole page.

    Args:
        running: the sums.
        standings: the budgets that everybody shares; None if the ledger does not answer.
        recent: the last exchanges, the newest last.
        now: the time of the proxy.
        in_flight: how many requests run.
        sort: the name of an order of sessions, see `SORTS`.
        forecasts: what is expected of the budgets, by their keys.
    """
    parts = [
        _HEAD,
        *_totals(running, in_flight),
        *section("budgets", "Budgets", budgets(standings, forecasts or {}, now)),
        *misses(running.dearest.of_week(now)),
        *charts(running, now),
        *causes(running.total),
        *_models(running),
        *_sessions(running, sort if sort in SORTS else "last"),
        *_requests(recent),
        f'<p class="note">Since {clock(running.since, "%Y-%m-%d %H:%M")}. For programs: '
        '<a href="/-/summary">summary</a>, <a href="/-/exchanges">exchanges</a>, <a href="/-/metrics">metrics</a>.</p>',
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _totals(running: RunningSummary, in_flight: int) -> Iterator[str]:
    total = running.total
    rows = [
        ("spent", money(total.cost_nusd)),
        ("missed reads", money(total.missed_nusd)),
        ("read from cache", percent(total.read_permille)),
        ("requests", f"{total.requests:,}"),
        ("running now", f"{in_flight:,}"),
    ]
    if total.receipts:
        word = "saved by upgrades" if total.difference_nusd <= 0 else "lost by upgrades"
        rows.insert(2, (word, money(abs(total.difference_nusd))))
    if running.summary.over_budget:
        rows.append(("refused by a budget", f"{running.summary.over_budget:,}"))
    yield '<dl id="total">'
    yield from (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    yield "</dl>"


def _sessions(running: RunningSummary, sort: str) -> Iterator[str]:
    sessions = list(reversed(running.sessions.values()))
    if sort != "last":
        sessions.sort(key=SORTS[sort], reverse=True)  # type: ignore[arg-type]
    heads = ("session", "model", _head("requests", sort), "read", _head("cost", sort), _head("missed", sort))
    rows = list(table("sessions", (*heads, "cache", _head("last", sort)), map(_session, sessions[:_MOST_SESSIONS])))
    if len(sessions) > _MOST_SESSIONS:
        rows.append(
            f'<p class="note">and {len(sessions) - _MOST_SESSIONS:,} more in <a href="/-/summary">summary</a></p>'
        )
    yield from section("sessions", "Sessions", rows)


def _head(name: str, sort: str) -> str:
    """
    The head of a column by which the table can be sorted.
    """
    if name == sort:
        return f'<span aria-current="true">{name} ▾</span>'
    return f'<a id="sort-{name}" href="?sort={name}">{name}</a>'


def _session(session: SessionSums) -> Iterator[str]:
    totals, name = session.totals, text(session.name)
    short = f'<span title="{name}">{text(session.name[:_SHORT_ID])}</span>'
    if session.agents:
        agents = "".join(
            f"<li>{text(agent)}: {money(one.cost_nusd)}, {one.requests:,} requests</li>"
            for agent, one in reversed(session.agents.items())
        )
        short += f'<details id="agents-{name}"><summary>{_sub_agents(len(session.agents))}</summary><ul>{agents}</ul></details>'
    yield short
    yield text(session.model or "-")
    yield f"{totals.requests:,}"
    yield percent(totals.read_permille)
    yield money(totals.cost_nusd)
    yield money(totals.missed_nusd)
    yield "-" if session.warm_until is None else f"{text(session.ttl)} until {clock(session.warm_until, '%H:%M')}"
    yield clock(totals.last_at)


def _sub_agents(count: int) -> str:
    return "1 sub-agent" if count == 1 else f"{count} sub-agents"


def _models(running: RunningSummary) -> Iterator[str]:
    rows = (
        (
            text(model or "-"),
            f"{one.requests:,}",
            short_count(one.tokens.prompt),
            short_count(one.tokens.output),
            percent(one.read_permille),
            money(one.cost_nusd),
        )
        for model, one in reversed(running.models.items())
    )
    yield from section(
        "models", "Models", table("models", ("model", "requests", "prompt", "output", "read", "cost"), rows)
    )


def _requests(recent: Sequence[Exchange]) -> Iterator[str]:
    heads = ("at", "model", "answer", "seconds", "read", "output", "cost", "missed because", "upgrade")
    rows = table("requests", heads, map(_request, reversed(recent[-_MOST_REQUESTS:])))
    yield from section("requests", "Last requests", rows)


def _request(exchange: Exchange) -> Iterator[str]:
    call, answer, bill = exchange.call, exchange.answer, exchange.bill
    usage, receipt = bill.usage, bill.receipt
    own = (
        ' <span class="own" title="sent by savemode to keep the cache warm">keep-warm</span>' if call.keep_warm else ""
    )
    yield clock(exchange.started_at)
    yield text(call.model or f"{call.method} {call.path[:40]}") + own
    yield text(f"{answer.status or '-'}{'' if answer.outcome == 'ok' else f' {answer.outcome}'}")
    yield f"{answer.duration_ms / 1000:.1f}"
    yield "-" if usage is None else short_count(usage.tokens.read)
    yield "-" if usage is None else short_count(usage.tokens.output)
    yield "-" if bill.cost_nusd is None else money(bill.cost_nusd)
    yield "-" if bill.verdict is None or not bill.verdict.misses else words(bill.verdict.misses[0].cause)
    yield "-" if receipt is None or receipt.difference_nusd is None else dollars(receipt.difference_nusd)
