"""
Misses of the prompt cache on 80 columns, and the same for machines: the dearest first, sums by cause, what to do.

Rule of this file: it computes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.diagnosis.causes import ADVICE
from savemode_cli.core.diagnosis.excerpt import Excerpt
from savemode_cli.core.diagnosis.report import Diagnosed, Report
from savemode_cli.core.money.amounts import amounts, dollars
from savemode_cli.views.misses import describe
from savemode_cli.views.printable import printable

SCHEMA_VERSION = 1
_MOST_PROBLEMS = 5
_MOST_DISPUTED = 5

_UNUSABLE = {
    "no time": "the time of sending was not recorded",
    "no usage": "the bill was not recorded",
    "no messages body": "not a messages call",
    "failed": "refused or failed, and not billed",
    "too many blocks": "more than 8,192 blocks",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A report and what is shown with it.
    """

    report: Report
    rows: Sequence[Diagnosed]
    """The requests that are shown, the dearest first."""
    excerpts: Mapping[str, Excerpt]
    """What changed in them, by place."""
    transcripts: int = 0
    """How many sessions were read without requests."""
    rebuilt: int = 0
    """How many sessions of transcripts record their requests."""
    unusable: Mapping[str, int] = field(default_factory=dict)
    """How many calls could not be judged, by the reason."""
    malformed: int = 0
    """How many records could not be read."""
    problems: Sequence[str] = ()
    """The first of those records, each with its place and what is wrong."""


def show(shown: Shown, console: Console) -> None:
    """
    Print a report.
    """
    report = shown.report
    console.print(_headline(report), soft_wrap=True)
    for number, row in enumerate(shown.rows, 1):
        for line in _row(number, row, shown.excerpts.get(row.place)):
            console.print(line, soft_wrap=True)
    hidden = len(report.missed) - len(shown.rows)
    if hidden:
        console.print(f"\nand {hidden:,} more; --top 0 shows all", style="dim")
    if report.causes:
        console.print()
        console.print(_sums(report))
        console.print("\nwhat to do", style="bold")
        advice = Table.grid(padding=(0, 2, 0, 0))
        advice.add_column(no_wrap=True)
        advice.add_column()
        for cause, _ in report.by_cause():
            advice.add_row(cause, ADVICE[cause])
        console.print(advice)
    for note in _notes(shown):
        console.print(note, style="dim")


def _headline(report: Report) -> Text:
    if not report.requests:
        return Text("No request with a bill was found.")
    requests = "1 request" if report.requests == 1 else f"{report.requests:,} requests"
    whole = f"{requests} cost {dollars(report.cost_nusd)}"
    if not report.causes:
        return Text(f"{whole}. Nothing was missed: {report.read_tokens:,} tokens were read from the cache.")
    again = Text(dollars(report.missed_nusd), style="bold yellow")
    rest = (
        f" of it was paid again,\nfor {report.missed_tokens:,} of {report.expected_tokens:,} tokens"
        " that could have been read from the cache."
    )
    return Text(f"{whole}; ") + again + Text(rest)


def _row(number: int, row: Diagnosed, excerpt: Excerpt | None) -> Iterator[Text]:
    verdict = row.verdict
    amount = dollars(verdict.cost_nusd)
    started = f"{row.started_at:%Y-%m-%d %H:%M:%S}"
    yield (
        Text(f"\n{number}. ", style="dim")
        + Text(amount, style="bold")
        + Text(f" for {verdict.missed_tokens:,} tokens, {started}, {row.model}")
    )
    yield Text(f"   {'session ' + row.session if row.is_inferred else row.place}", style="dim")
    if row.diagnosis is not None:
        yield Text(f"   {_by_the_api(row)}", style="dim")
    for miss in verdict.misses:
        share = f" ({miss.tokens:,} tokens)" if len(verdict.misses) > 1 else ""
        yield Text(f"   {describe(miss)}{share}")
        if excerpt is not None and miss.change is not None:
            yield Text(f"     - {excerpt.before}" if excerpt.before else "     - (nothing)", style="red")
            yield Text(f"     + {excerpt.after}" if excerpt.after else "     + (nothing)", style="green")


def _by_the_api(row: Diagnosed) -> str:
    """
    What the API says of a request, and whether that is what we say.
    """
    diagnosis = row.diagnosis
    if diagnosis is None:
        return ""
    tokens = "" if diagnosis.missed_tokens is None else f", about {diagnosis.missed_tokens:,} tokens"
    agreed = {True: "; agrees", False: "; disagrees", None: ""}[row.agreed]
    return f"the API says: {printable(diagnosis.reason)}{tokens}{agreed}"


def _sums(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cause")
    for name in ("requests", "tokens", "paid again"):
        table.add_column(name, justify="right")
    for cause, total in report.by_cause():
        table.add_row(cause, f"{total.requests:,}", f"{total.tokens:,}", dollars(total.cost_nusd))
    if report.unexplained_tokens:
        table.add_row("(too little to be a miss)", "", f"{report.unexplained_tokens:,}", "")
    return table


def _notes(shown: Shown) -> Iterator[str]:
    yield from _about_agreement(shown.report)
    if shown.rebuilt:
        yield f"\n{_sessions(shown.rebuilt)} of transcripts that record their requests: causes are exact."
    if shown.transcripts:
        yield (
            f"\n{_sessions(shown.transcripts)} of transcripts without requests: only usage and times are known,"
            " so the cause is expired, model_changed, compacted or unknown."
        )
    for reason, count in shown.unusable.items():
        yield f"left out: {count:,} ({_UNUSABLE.get(reason, reason)})"
    if shown.malformed:
        yield f"not read: {shown.malformed:,}; first: {shown.problems[0]}"


def _about_agreement(report: Report) -> Iterator[str]:
    if not report.diagnosed:
        return
    requests = "1 request" if report.diagnosed == 1 else f"{report.diagnosed:,} requests"
    share = report.agreed * 100 / report.diagnosed
    yield f"\nthe API's own diagnosis of {requests} names the same cause for {report.agreed:,} ({share:.0f} %)"
    for row in report.disputed[:_MOST_DISPUTED]:
        ours = ", ".join(miss.cause for miss in row.verdict.misses) or "nothing was missed"
        yield f"  {row.place}: {ours}; {_by_the_api(row)}"


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count:,} sessions"


def to_json(shown: Shown) -> dict[str, Any]:
    """
    A report for machines.
    """
    report = shown.report
    return {
        "schema_version": SCHEMA_VERSION,
        "requests": report.requests,
        "requests_without_body": report.inferred,
        "requests_with_misses": len(report.missed),
        **amounts(cost=report.cost_nusd, missed=report.missed_nusd),
        "expected_tokens": report.expected_tokens,
        "read_tokens": report.read_tokens,
        "missed_tokens": report.missed_tokens,
        "unexplained_tokens": report.unexplained_tokens,
        "causes": [
            {
                "cause": cause,
                "requests": total.requests,
                "missed_tokens": total.tokens,
                **amounts(cost=total.cost_nusd),
                "advice": ADVICE[cause],
            }
            for cause, total in report.by_cause()
        ],
        "rows": [_row_json(row, shown.excerpts.get(row.place)) for row in shown.rows],
        "api_diagnosed_requests": report.diagnosed,
        "api_agreed_requests": report.agreed,
        "api_disputed": [_disputed_json(row) for row in report.disputed],
        "sessions_rebuilt": shown.rebuilt,
        "sessions_without_requests": shown.transcripts,
        "unusable": dict(shown.unusable),
        "problems": list(shown.problems[:_MOST_PROBLEMS]),
    }


def _row_json(row: Diagnosed, excerpt: Excerpt | None) -> dict[str, Any]:
    return {
        "at": row.started_at.isoformat(timespec="milliseconds"),
        "place": row.place,
        "session": row.session,
        "session_key": row.session_key or None,
        "model": row.model,
        "without_body": row.is_inferred,
        "request_cost_nusd": row.cost_nusd,
        "api_diagnosis": None if row.diagnosis is None else row.diagnosis.to_json(),
        "api_agrees": row.agreed,
        **row.verdict.to_json(),
        "difference": None if excerpt is None else {"before": excerpt.before, "after": excerpt.after},
    }


def _disputed_json(row: Diagnosed) -> dict[str, Any]:
    return {
        "place": row.place,
        "causes": [miss.cause for miss in row.verdict.misses],
        "api_diagnosis": None if row.diagnosis is None else row.diagnosis.to_json(),
    }
