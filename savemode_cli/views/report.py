"""
What was spent, as text on 80 columns, as JSON and as CSV.

Rule of this file: it prints the sums of a `Breakdown`, and computes none. Names in it are from files of others.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.exchange.totals import PERIODS, BilledRequest, Breakdown, By, Totals, tokens_json
from savemode_cli.core.money.amounts import dollars, exact_usd
from savemode_cli.core.wire.usage import Tokens
from savemode_cli.views.money import percent
from savemode_cli.views.plot import bar
from savemode_cli.views.printable import printable

SCHEMA_VERSION = 1
UNKNOWN = "(not recorded)"
_MAIN = "main conversation"
_BAR_COLUMNS = 16
_LABEL_COLUMNS = 34
_MOST_ROWS = 30
_MOST_PERIODS = 14
_OVERVIEW_ROWS: tuple[tuple[By, int], ...] = (("project", 4), ("model", 3), ("session", 3))
_MOST_PROBLEMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    The sums, and the facts around them that are shown with them.
    """

    breakdown: Breakdown
    by: By | None
    """What it is grouped by; None for the overview."""
    since: datetime | None
    until: datetime | None
    """The first moment that does not count any more."""
    before: Totals | None = None
    """The same length of time before it; None if it is not compared."""
    last_at: datetime | None = None
    """The time of the last request that is recorded, whether it counts or not."""
    zone: tzinfo | None
    """The time zone of days; None for the system's."""
    zone_name: str
    sources: Mapping[str, int] = field(default_factory=dict)
    """How many files were read, by what they are called."""
    copies: int = 0
    """How many requests were left out because another record holds them too."""
    unusable: int = 0
    """How many recorded requests have no time, or no usage."""
    malformed: int = 0
    """How many records could not be read."""
    problems: Sequence[str] = ()
    """The first of those records."""


def show(report: Report, console: Console) -> None:
    """
    Print it: the sums first, then the tables, then what is not in them.
    """
    console.print(Text(_title(report), style="bold"))
    if report.sources:
        console.print(Text(f"from {_sources(report.sources)}", style="dim"))
    if not report.breakdown.total.requests and not report.breakdown.total.cost_nusd:
        console.print(_nothing(report))
        _show_notes(report, console)
        return
    console.print()
    _show_total(report, console)
    for dimension, most in _tables(report):
        if set(report.breakdown.groups[dimension]) != {None}:
            console.print()
            _show_table(report, dimension, most, console)
    _show_dearest_miss(report, console)
    _show_notes(report, console)


def _tables(report: Report) -> Sequence[tuple[By, int]]:
    """
    The dimensions to print, each with the number of its rows. Of a long time there are weeks or months instead of days.
    """
    if report.by is not None:
        return ((report.by, len(report.breakdown.groups[report.by]) if report.by in PERIODS else _MOST_ROWS),)
    groups = report.breakdown.groups
    period = next((period for period in PERIODS if len(groups[period]) <= _MOST_PERIODS), PERIODS[-1])
    return ((period, len(groups[period])), *_OVERVIEW_ROWS)


def _title(report: Report) -> str:
    total = report.breakdown.total
    first, last = report.since or total.first_at, total.last_at
    if report.until is not None or last is None:
        last = report.until
    since = "" if first is None else f" from {_stamp(first, report.zone)}"
    return f"spend{since}{'' if last is None else f' to {_stamp(last, report.zone)}'} ({report.zone_name})"


def _stamp(at: datetime, zone: tzinfo | None) -> str:
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M}"


def _sources(sources: Mapping[str, int]) -> str:
    return ", ".join(f"{title} ({count:,} file{'' if count == 1 else 's'})" for title, count in sources.items())


def _nothing(report: Report) -> str:
    if report.last_at is None:
        return "no billed request is recorded there"
    day = f"{report.last_at.astimezone(report.zone):%Y-%m-%d}"
    return f"no billed request in that time; the last is of {day}: --since {day}"


def _show_total(report: Report, console: Console) -> None:
    breakdown, total = report.breakdown, report.breakdown.total
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("spent", Text(dollars(total.cost_nusd), "bold"), _compared(total, report.before))
    sessions = len(set(breakdown.groups.get("session", {})) - {None})
    grid.add_row("requests", f"{total.requests:,}", _count(sessions, "session") if sessions else "")
    if total.tokens.prompt:
        of = f"of {short_count(total.tokens.prompt)} prompt tokens; {short_count(total.tokens.output)} of output"
        grid.add_row("read from cache", percent(total.read_permille), of)
    if total.missed:
        grid.add_row("missed reads", Text(dollars(total.missed_nusd), "yellow"), _causes(total))
    if total.receipts:
        saved = total.difference_nusd <= 0
        words = f"by upgraded TTLs, from the receipts of {_count(total.receipts, 'request')}"
        grid.add_row("saved" if saved else "lost", dollars(abs(total.difference_nusd)), words)
    console.print(grid)


def _compared(total: Totals, before: Totals | None) -> str:
    if before is None or not before.cost_nusd:
        return ""
    change = (total.cost_nusd - before.cost_nusd) * 100 // before.cost_nusd
    words = f"{abs(change):,} % {'more' if change >= 0 else 'less'}"
    return f"{words} than in the same time before ({dollars(before.cost_nusd)})"


def _causes(total: Totals) -> str:
    causes = sorted(total.missed.items(), key=lambda item: -item[1].nusd)
    return ", ".join(f"{cause} {dollars(missed.nusd)}" for cause, missed in causes)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _show_table(report: Report, dimension: By, most: int, console: Console) -> None:
    rows = report.breakdown.sorted(dimension)
    shown = rows[:most]
    largest = max(totals.cost_nusd for _, totals in rows)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    table.add_column(dimension, no_wrap=True, max_width=_LABEL_COLUMNS)
    for head in ("requests", "tokens", "read", "cost", "missed"):
        table.add_column(head, justify="right", no_wrap=True)
    if dimension in PERIODS:
        table.add_column("", no_wrap=True, max_width=_BAR_COLUMNS)
    for key, totals in shown:
        table.add_row(
            _label(report, dimension, key, totals),
            f"{totals.requests:,}",
            short_count(_all(totals.tokens)) if _all(totals.tokens) else "-",
            percent(totals.read_permille),
            dollars(totals.cost_nusd),
            dollars(totals.missed_nusd) if totals.missed else "-",
            *([Text(bar(totals.cost_nusd, largest, _BAR_COLUMNS), "blue")] if dimension in PERIODS else []),
        )
    console.print(table)
    if len(shown) < len(rows):
        rest = sum(totals.cost_nusd for _, totals in rows[len(shown) :])
        how = f"add --by {dimension}" if report.by is None else "--csv and --json list all"
        words = f"and {len(rows) - len(shown):,} more: {dollars(rest)} ({how})"
        console.print(Text(words, style="dim"))


def _label(report: Report, dimension: By, key: str | None, totals: Totals) -> str:
    name = shown_key(dimension, key)
    if dimension == "day" and key is not None:
        return f"{datetime.fromisoformat(key):%a} {key}"
    if dimension == "session" and key is not None:
        began = "" if totals.first_at is None else f"{totals.first_at.astimezone(report.zone):%m-%d %H:%M} "
        return printable(f"{began}{key[:8]} {_short_path(report.breakdown.projects.get(key, ''), 13)}".rstrip())
    return printable(_short_path(name, _LABEL_COLUMNS)) if dimension == "project" else printable(name)


def shown_key(dimension: By, key: str | None) -> str:
    """
    A group's name for people.
    """
    if key is None:
        return UNKNOWN
    return _MAIN if dimension == "agent" and not key else key


def _short_path(path: str, columns: int) -> str:
    """
    The end of a path: what tells projects apart.
    """
    if len(path) <= columns:
        return path
    name = path.rstrip("/").rpartition("/")[2]
    return name if len(name) <= columns else f"…{name[-columns + 1 :]}"


def _all(tokens: Tokens) -> int:
    return tokens.prompt + tokens.output


def short_count(count: int) -> str:
    """
    A count in at most five characters: `999`, `12.3k`, `4.5M`.
    """
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            tenths = count * 10 // unit
            return f"{tenths // 10}.{tenths % 10}{name}" if tenths < 1000 else f"{tenths // 10}{name}"
    return str(count)


def _show_dearest_miss(report: Report, console: Console) -> None:
    request = report.breakdown.dearest_miss
    if request is None:
        return
    console.print()
    console.print(Text(f"most expensive miss: {dearest_miss(request, report.zone)}", "bold"))
    console.print("  next: savemode replay (what another TTL would have cost)")


def dearest_miss(request: BilledRequest, zone: tzinfo | None) -> str:
    """
    One missed read in a sentence.
    """
    names = (printable(request.session or "")[:8], _short_path(printable(request.project or ""), _LABEL_COLUMNS))
    where = " in ".join(filter(None, names))
    agent = f", sub-agent {_short_path(printable(request.agent), _LABEL_COLUMNS)}" if request.agent else ""
    return (
        f"{dollars(request.missed_nusd)} on {_stamp(request.at, zone)}, {request.missed_tokens:,} tokens, "
        f"{request.missed[0].cause}{f' (session {where}{agent})' if where else ''}"
    )


def _show_notes(report: Report, console: Console) -> None:
    for line in notes(report):
        console.print(Text(printable(line), style="dim"))
    for problem in report.problems[:_MOST_PROBLEMS]:
        console.print(Text(f"  {printable(problem)}", style="dim"))


def notes(report: Report) -> list[str]:
    """
    What is not, or not exactly, in the sums: a sentence each.
    """
    total = report.breakdown.total
    models = ", ".join(sorted(report.breakdown.unpriced_models)[:3])
    beside = _all(total.beside)
    pairs = (
        (beside, f"{beside:,} tokens of compactions and advisors are in the dollars, not in the tokens"),
        (
            total.unlisted_nusd,
            f"{dollars(total.unlisted_nusd)} is the client's own count for calls without a recorded answer",
        ),
        (
            total.unpriced_requests,
            f"unpriced: {_count(total.unpriced_requests, 'request')} of {models or 'no model'}, "
            "counted at the highest known price (--price-file)",
        ),
        (
            total.partial_requests,
            f"the record of {_count(total.partial_requests, 'answer')} ends early: their output tokens are too few",
        ),
        (report.copies, f"left out: {_count(report.copies, 'copy').replace('copys', 'copies')} of the same request"),
        (report.unusable, f"left out: {_count(report.unusable, 'request')} without a time or a usage"),
        (report.malformed, f"could not be read: {_count(report.malformed, 'record')}"),
    )
    return [words for count, words in pairs if count]


def to_json(report: Report) -> dict[str, Any]:
    """
    The report for machines.
    """
    breakdown, miss = report.breakdown, report.breakdown.dearest_miss
    return {
        "schema_version": SCHEMA_VERSION,
        "by": report.by,
        "since": None if report.since is None else report.since.isoformat(),
        "until": None if report.until is None else report.until.isoformat(),
        "timezone": report.zone_name,
        "files": dict(report.sources),
        "total": breakdown.total.to_json(),
        "before": None if report.before is None else report.before.to_json(),
        "groups": {
            dimension: [
                {dimension: key, **_session_json(breakdown, dimension, key), **totals.to_json()}
                for key, totals in breakdown.sorted(dimension)
            ]
            for dimension in breakdown.groups
        },
        "dearest_miss": None if miss is None else _miss_json(miss),
        "unpriced_models": sorted(breakdown.unpriced_models),
        "copies": report.copies,
        "unusable": report.unusable,
        "malformed": report.malformed,
        "problems": list(report.problems),
    }


def _session_json(breakdown: Breakdown, dimension: By, key: str | None) -> dict[str, Any]:
    return {"project": breakdown.projects.get(key or "")} if dimension == "session" else {}


def _miss_json(request: BilledRequest) -> dict[str, Any]:
    return {
        "at": request.at.isoformat(),
        "project": request.project,
        "session": request.session,
        "agent": request.agent,
        "model": request.model,
        "cause": request.missed[0].cause,
        "tokens": request.missed_tokens,
        "cost_nusd": request.missed_nusd,
        "cost_usd": exact_usd(request.missed_nusd),
    }


def to_csv(report: Report, dimension: By) -> str:
    """
    The groups of one dimension, a row for each, with a row of names above them.
    """
    out = io.StringIO()
    counters = list(tokens_json(report.breakdown.total.tokens))
    names = [dimension, "requests", *counters, "web_searches", "cost_usd", "missed_tokens", "missed_usd"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, "difference_usd", "unpriced_requests"])
    for key, totals in report.breakdown.sorted(dimension):
        missed_tokens = sum(missed.tokens for missed in totals.missed.values())
        amounts = (exact_usd(totals.cost_nusd), missed_tokens, exact_usd(totals.missed_nusd))
        counts = tokens_json(totals.tokens).values()
        more = (exact_usd(totals.difference_nusd), totals.unpriced_requests)
        writer.writerow([_cell(key), totals.requests, *counts, totals.web_searches, *amounts, *more])
    return out.getvalue()


def _cell(key: str | None) -> str:
    """
    A name as a cell. A name that a spreadsheet would take for a formula gets a quote before it.
    """
    text = printable(key or "")
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
