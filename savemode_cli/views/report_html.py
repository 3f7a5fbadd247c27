"""
A report as one HTML file: tables, bars, and nothing from anywhere else.

Rule of this file: it shows the sums of a `Breakdown`. All text is escaped, there is no script, and the page may load nothing.
"""

from collections.abc import Iterator, Sequence
from html import escape

from savemode_cli.core.exchange.totals import PERIODS, By, Totals, tokens_json
from savemode_cli.core.money.amounts import dollars
from savemode_cli.views.money import percent
from savemode_cli.views.printable import printable
from savemode_cli.views.report import Report, dearest_miss, notes, shown_key

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #2563eb; --miss: #d97706 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere }
td { font-variant-numeric: tabular-nums } dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dd { margin: 0; font-weight: 600 } svg { width: 100%; height: auto } .bar { fill: var(--bar) } .miss { fill: var(--miss) }
text { fill: currentColor; font: 11px system-ui, sans-serif } .note { opacity: .75 }
"""
_WIDTH, _HEIGHT = 900, 200
_MOST_ROWS = 500


def html(report: Report) -> str:
    """
    The whole page.
    """
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>savemode report</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
        f"<h1>What was spent</h1>\n<p>{escape(_span(report))}</p>",
        *_total(report),
        *(part for dimension in _shown(report) for part in _group(report, dimension)),
        *(f'<p class="note">{escape(printable(note))}</p>' for note in notes(report)),
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _shown(report: Report) -> Iterator[By]:
    """
    The dimensions to show: of several periods only the days.
    """
    return (one for one in report.breakdown.groups if one not in PERIODS or one == (report.by or "day"))


def _span(report: Report) -> str:
    total = report.breakdown.total
    first, last = report.since or total.first_at, report.until or total.last_at
    if first is None or last is None:
        return f"No billed request ({report.zone_name})."
    return f"{first.astimezone(report.zone):%Y-%m-%d} to {last.astimezone(report.zone):%Y-%m-%d} ({report.zone_name})"


def _total(report: Report) -> Iterator[str]:
    total = report.breakdown.total
    rows = [("Spent", dollars(total.cost_nusd)), ("Requests", f"{total.requests:,}")]
    if report.before is not None:
        rows.append(("In the same time before", dollars(report.before.cost_nusd)))
    rows += [
        ("Prompt tokens", f"{total.tokens.prompt:,}"),
        ("Read from the cache", percent(total.read_permille)),
        ("Output tokens", f"{total.tokens.output:,}"),
    ]
    rows += [(f"Missed: {cause}", dollars(missed.nusd)) for cause, missed in sorted(total.missed.items())]
    if total.receipts:
        rows.append(("Upgraded TTLs made it", f"{dollars(abs(total.difference_nusd))} {_direction(total)}"))
    if report.breakdown.dearest_miss is not None:
        rows.append(("Most expensive miss", dearest_miss(report.breakdown.dearest_miss, report.zone)))
    yield "<dl>"
    yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    yield "</dl>"


def _direction(total: Totals) -> str:
    return "cheaper" if total.difference_nusd <= 0 else "more expensive"


def _group(report: Report, dimension: By) -> Iterator[str]:
    rows = report.breakdown.sorted(dimension)
    if not rows or [key for key, _ in rows] == [None]:
        return
    yield f"<h2>By {dimension}</h2>"
    if dimension in PERIODS:
        yield _chart(rows)
    counters = [name.removesuffix("_tokens").replace("_", " ") for name in tokens_json(rows[0][1].tokens)]
    heads = (dimension, "requests", *counters, "read", "cost", "missed")
    yield '<div class="wide"><table>\n<thead><tr>'
    yield "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    yield "</tr></thead>\n<tbody>"
    for key, totals in rows[:_MOST_ROWS]:
        yield _row(report, dimension, key, totals)
    yield "</tbody></table></div>"
    if len(rows) > _MOST_ROWS:
        yield f'<p class="note">and {len(rows) - _MOST_ROWS:,} more, which --csv and --json list</p>'


def _row(report: Report, dimension: By, key: str | None, totals: Totals) -> str:
    name = shown_key(dimension, key)
    project = report.breakdown.projects.get(key or "", "") if dimension == "session" else ""
    cells = (
        f"{totals.requests:,}",
        *(f"{count:,}" for count in tokens_json(totals.tokens).values()),
        percent(totals.read_permille),
        dollars(totals.cost_nusd),
        dollars(totals.missed_nusd),
    )
    label = escape(printable(f"{name} {project}".rstrip()))
    return f"<tr><td>{label}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _chart(rows: Sequence[tuple[str | None, Totals]]) -> str:
    """
    The spend of each period as a bar, the part that was missed in another colour.
    """
    largest = max(1, *(totals.cost_nusd for _, totals in rows))
    pitch = _WIDTH / len(rows)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 20}" role="img" aria-label="Spend over time">']
    for place, (key, totals) in enumerate(rows):
        x, width = pitch * place + pitch * 0.1, pitch * 0.8
        title = f"{key or ''}: {dollars(totals.cost_nusd)}, missed {dollars(totals.missed_nusd)}"
        parts.append(f"<g><title>{escape(title)}</title>{_bar(x, width, totals.cost_nusd, largest, 'bar')}")
        parts.append(f"{_bar(x, width, min(totals.missed_nusd, totals.cost_nusd), largest, 'miss')}</g>")
    parts.append(f'<text x="0" y="{_HEIGHT + 15}">{escape(rows[0][0] or "")}</text>')
    parts.append(f'<text x="{_WIDTH}" y="{_HEIGHT + 15}" text-anchor="end">{escape(rows[-1][0] or "")}</text>')
    return "\n".join([*parts, "</svg>"])


def _bar(x: float, width: float, nusd: int, largest: int, name: str) -> str:
    height = _HEIGHT * nusd / largest
    return (
        f'<rect class="{name}" x="{x:.1f}" y="{_HEIGHT - height:.1f}" width="{width:.1f}" height="{height:.1f}"></rect>'
    )
