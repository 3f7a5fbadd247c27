"""
The page of a running proxy: budgets, sums, hours, sessions and the last requests.

Rule of this file: it shows the sums of `RunningSummary` and computes none. All text is escaped. The page is complete without a
script; the script fetches it again when something happens.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from pathlib import Path

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.running import RunningSummary, SessionSums
from savemode_cli.core.exchange.totals import Totals
from savemode_cli.core.money.amounts import dollars
from savemode_cli.views.money import percent
from savemode_cli.views.printable import printable
from savemode_cli.views.report import short_count

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page."""

FILES: dict[str, tuple[str, str]] = {
    "/-/page.css": ("page.css", "text/css; charset=utf-8"),
    "/-/icon.svg": ("icon.svg", "image/svg+xml"),
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

_HOURS = 48
_MOST_SESSIONS = 50
_MOST_REQUESTS = 20
_WIDTH, _HEIGHT = 960, 120
_SHORT_ID = 12


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
    """
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<title>savemode</title>\n<link rel="stylesheet" href="/-/page.css">',
        '<link rel="icon" href="/-/icon.svg">',
        '<script src="/-/page.js" defer></script>\n</head>\n<body>',
        '<header><h1>savemode</h1> <p id="state" role="status"></p></header>\n<main>',
        *_totals(running, in_flight),
        *_budgets(standings),
        *_hours(running, now),
        *_sessions(running, sort if sort in SORTS else "last"),
        *_models(running),
        *_requests(recent),
        f'<p class="note">Since {_clock(running.since, "%Y-%m-%d %H:%M")}. For programs: '
        '<a href="/-/summary">summary</a>, <a href="/-/exchanges">exchanges</a>, <a href="/-/metrics">metrics</a>.</p>',
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _text(text: object) -> str:
    return escape(printable(str(text)))


def _money(nusd: int) -> str:
    """
    An amount, and all its digits for whoever points at it.
    """
    cents = nusd // 10_000_000 * 10_000_000 if nusd >= 10_000_000 else nusd
    return f'<span data-nusd="{nusd}" title="{escape(dollars(nusd))}">{escape(dollars(cents))}</span>'


def _clock(at: datetime | None, form: str = "%H:%M:%S") -> str:
    return "-" if at is None else f"{at.astimezone():{form}}"


def _table(name: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """
    A table of cells that are HTML already, the first of each row being its head.
    """
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table id="{name}"><thead><tr>'
    yield "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for first, *cells in rows:
        yield f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    yield "</tbody></table></div>"


def _totals(running: RunningSummary, in_flight: int) -> Iterator[str]:
    total = running.total
    rows = [
        ("spent", _money(total.cost_nusd)),
        ("requests", f"{total.requests:,}"),
        ("running now", f"{in_flight:,}"),
        ("read from cache", percent(total.read_permille)),
        ("missed reads", _money(total.missed_nusd)),
    ]
    if total.receipts:
        word = "saved by upgrades" if total.difference_nusd <= 0 else "lost by upgrades"
        rows.append((word, _money(abs(total.difference_nusd))))
    if running.summary.over_budget:
        rows.append(("refused by a budget", f"{running.summary.over_budget:,}"))
    yield '<dl id="total">'
    yield from (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    yield "</dl>"
    if total.missed:
        yield "<h2>Missed cache reads</h2>"
        causes = sorted(total.missed.items(), key=lambda item: -item[1].nusd)
        cells = (
            (_text(cause), f"{one.requests:,}", short_count(one.tokens), _money(one.nusd)) for cause, one in causes
        )
        yield from _table("missed", ("cause", "requests", "tokens", "cost"), cells)


def _budgets(standings: Sequence[Standing] | None) -> Iterator[str]:
    yield "<h2>Budgets</h2>"
    if standings is None:
        yield "<p>The ledger does not answer.</p>"
    elif not standings:
        yield "<p>No budget is set.</p>"
    else:
        yield from _table("budgets", ("budget", "used", "limit", "left", ""), map(_budget, standings))


def _budget(standing: Standing) -> Iterator[str]:
    limit, used = standing.limit, standing.balance.used_nusd
    yield _text(f"{limit.budget.name} {limit.who}".rstrip())
    yield _money(used)
    yield _money(limit.nusd) if limit.capped else "none"
    yield _money(max(0, standing.left_nusd)) if limit.capped else "-"
    share = f"{used * 100 // limit.nusd} %" if limit.capped and limit.nusd else "-"
    meter = f'<meter value="{used}" max="{limit.nusd}" aria-label="used">{share}</meter> ' if limit.capped else ""
    yield f"{meter}{share}"


def _hours(running: RunningSummary, now: datetime) -> Iterator[str]:
    """
    The spend of each hour as a bar, the part that was missed in another colour.
    """
    last = now.replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in reversed(range(_HOURS))]
    sums = [running.hours.get(hour, Totals()) for hour in hours]
    largest = max(1, *(one.cost_nusd for one in sums))
    pitch = _WIDTH / _HOURS
    yield f'<h2>Spend per hour</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT + 20}" role="img" aria-label="Spend per hour">'
    for place, (hour, one) in enumerate(zip(hours, sums, strict=True)):
        if one.cost_nusd:
            title = f"{_clock(hour, '%a %H:%M')}: {dollars(one.cost_nusd)}, missed {dollars(one.missed_nusd)}"
            yield f"<g><title>{escape(title)}</title>{_bar(place * pitch, pitch, one.cost_nusd, largest, 'bar')}"
            yield f"{_bar(place * pitch, pitch, min(one.missed_nusd, one.cost_nusd), largest, 'miss')}</g>"
    yield f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"></line>'
    yield f'<text x="0" y="{_HEIGHT + 15}">{_clock(hours[0], "%a %H:%M")}</text>'
    yield f'<text x="{_WIDTH}" y="{_HEIGHT + 15}" text-anchor="end">{_clock(hours[-1], "%a %H:%M")}</text></svg>'


def _bar(x: float, pitch: float, nusd: int, largest: int, name: str) -> str:
    height = max(1.0, _HEIGHT * nusd / largest) if nusd else 0.0
    return (
        f'<rect class="{name}" x="{x + pitch * 0.1:.1f}" y="{_HEIGHT - height:.1f}" '
        f'width="{pitch * 0.8:.1f}" height="{height:.1f}"></rect>'
    )


def _sessions(running: RunningSummary, sort: str) -> Iterator[str]:
    sessions = list(reversed(running.sessions.values()))
    if sort != "last":
        sessions.sort(key=SORTS[sort], reverse=True)  # type: ignore[arg-type]
    heads = ("session", "model", _head("requests", sort), "read", _head("cost", sort), _head("missed", sort))
    yield "<h2>Sessions</h2>"
    rows = map(_session, sessions[:_MOST_SESSIONS])
    yield from _table("sessions", (*heads, "cache", _head("last", sort)), rows)
    if len(sessions) > _MOST_SESSIONS:
        yield f'<p class="note">and {len(sessions) - _MOST_SESSIONS:,} more in <a href="/-/summary">summary</a></p>'


def _head(name: str, sort: str) -> str:
    """
    The head of a column by which the table can be sorted.
    """
    if name == sort:
        return f'<span aria-current="true">{name} ▾</span>'
    return f'<a id="sort-{name}" href="?sort={name}">{name}</a>'


def _session(session: SessionSums) -> Iterator[str]:
    totals, name = session.totals, _text(session.name)
    short = f'<span title="{name}">{_text(session.name[:_SHORT_ID])}</span>'
    if session.agents:
        agents = "".join(
            f"<li>{_text(agent)}: {_money(one.cost_nusd)}, {one.requests:,} requests</li>"
            for agent, one in reversed(session.agents.items())
        )
        short += f'<details id="agents-{name}"><summary>{len(session.agents)} sub-agents</summary><ul>{agents}</ul></details>'
    yield short
    yield _text(session.model or "-")
    yield f"{totals.requests:,}"
    yield percent(totals.read_permille)
    yield _money(totals.cost_nusd)
    yield _money(totals.missed_nusd)
    yield "-" if session.warm_until is None else f"{_text(session.ttl)} until {_clock(session.warm_until, '%H:%M')}"
    yield _clock(totals.last_at)


def _models(running: RunningSummary) -> Iterator[str]:
    yield "<h2>Models</h2>"
    rows = (
        (
            _text(model or "-"),
            f"{one.requests:,}",
            short_count(one.tokens.prompt),
            short_count(one.tokens.output),
            percent(one.read_permille),
            _money(one.cost_nusd),
        )
        for model, one in reversed(running.models.items())
    )
    yield from _table("models", ("model", "requests", "prompt", "output", "read", "cost"), rows)


def _requests(recent: Sequence[Exchange]) -> Iterator[str]:
    yield "<h2>Last requests</h2>"
    heads = ("at", "model", "answer", "seconds", "read", "output", "cost", "upgrade")
    yield from _table("requests", heads, map(_request, reversed(recent[-_MOST_REQUESTS:])))


def _request(exchange: Exchange) -> Iterator[str]:
    call, answer, bill = exchange.call, exchange.answer, exchange.bill
    usage, receipt = bill.usage, bill.receipt
    yield _clock(exchange.started_at)
    yield _text(call.model or f"{call.method} {call.path[:40]}")
    yield _text(f"{answer.status or '-'}{'' if answer.outcome == 'ok' else f' {answer.outcome}'}")
    yield f"{answer.duration_ms / 1000:.1f}"
    yield "-" if usage is None else short_count(usage.tokens.read)
    yield "-" if usage is None else short_count(usage.tokens.output)
    yield "-" if bill.cost_nusd is None else _money(bill.cost_nusd)
    yield "-" if receipt is None or receipt.difference_nusd is None else dollars(receipt.difference_nusd)
