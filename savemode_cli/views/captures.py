"""
Captured exchanges as a table, and one of them in full.

Rule of this file: no prompt and no answer is printed here. Bodies are printed as bytes, on their own, on request.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.core.money.amounts import dollars
from savemode_cli.core.upgrade.edits import describe
from savemode_cli.views.money import amount, saved
from savemode_cli.views.printable import printable
from savemode_cli.views.request import short_model, status
from savemode_cli.views.tables import Column, Sheet, right

Row = tuple[int, Capture]

_COLUMNS = ("no.", "started (UTC)", "model", "status", "sent", "got", "cost", "session")
_UNITS = ("B", "KB", "MB", "GB", "TB")


def row_json(number: int, capture: Capture) -> dict[str, Any]:
    """
    An exchange as JSON: what its request line has, and its number in the store.
    """
    return {
        **capture.exchange.to_json(),
        "number": number,
        "ended_at": _iso(capture.ended_at),
        "answered_by": capture.exchange.answer.answered_by,
        "upstream": capture.upstream,
    }


def whole_json(number: int, capture: Capture) -> dict[str, Any]:
    """
    The same with the headers that were kept, and the size of each body.
    """
    bodies = (("request", capture.request_body), ("response", capture.response_body))
    return {
        **row_json(number, capture),
        "request_headers": [list(one) for one in capture.request_headers],
        "response_headers": [list(one) for one in capture.response_headers],
        **{f"{name}_kept_bytes": None if body is None else len(body) for name, body in bodies},
    }


def stats_json(stats: Any) -> dict[str, Any]:
    """
    What a store holds, as JSON.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "exchanges": stats.exchanges,
        "sessions": stats.sessions,
        "kept_bytes": stats.kept_bytes,
        "file_bytes": stats.file_bytes,
        "oldest": None if stats.oldest is None else _iso(stats.oldest),
        "newest": None if stats.newest is None else _iso(stats.newest),
    }


def show_rows(rows: Sequence[Row], console: Console) -> None:
    """
    Print the exchanges, one a line.
    """
    sheet = Sheet(
        right("no."),
        Column("started (UTC)"),
        Column("model"),
        Column("status"),
        right("sent", rank=2),
        right("got", rank=3),
        right("cost"),
        Column("session", shortest=8, rank=1),
        gap=1,
    )
    for number, capture in rows:
        exchange = capture.exchange
        sheet.add(
            str(number),
            f"{exchange.started_at.astimezone(UTC):%m-%d %H:%M:%S}",
            _short(short_model(exchange.call.model) if exchange.call.model else printable(exchange.call.path), 20),
            Text(status(exchange), style="" if exchange.answer.outcome == "ok" else "red"),
            size(exchange.call.request_bytes),
            size(exchange.answer.response_bytes),
            amount(exchange.bill.cost_nusd),
            printable(exchange.call.session or "-"),
        )
    sheet.show(console)


def show_stats(stats: Any, console: Console) -> None:
    """
    Print how much a store holds.
    """
    exchanges = "1 exchange" if stats.exchanges == 1 else f"{stats.exchanges} exchanges"
    sessions = "1 session" if stats.sessions == 1 else f"{stats.sessions} sessions"
    bodies = f"{size(stats.kept_bytes)} of bodies in {size(stats.file_bytes)} on disk"
    console.print(f"{exchanges} of {sessions}, {bodies}", style="dim")


def show_whole(number: int, capture: Capture, console: Console) -> None:
    """
    Print one exchange: the facts of its request line, its edits, its receipt, and the headers that were kept.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in _facts(number, capture):
        grid.add_row(name, Text(printable(value)))
    console.print(grid)
    parts = (
        ("edits", [describe(one) for one in capture.exchange.upgrade.edits]),
        ("skips", [describe(one) for one in capture.exchange.upgrade.skips]),
        ("request headers", [f"{name}: {value}" for name, value in capture.request_headers]),
        ("response headers", [f"{name}: {value}" for name, value in capture.response_headers]),
    )
    for title, lines in parts:
        if lines:
            console.print(Text(f"\n{title}", style="dim"))
            for one in lines:
                console.print(Text(f"  {printable(one)}"), soft_wrap=True)


def _facts(number: int, capture: Capture) -> Iterable[tuple[str, str]]:
    exchange = capture.exchange
    call, bill, answer = exchange.call, exchange.bill, exchange.answer
    gate = exchange.upgrade.gate
    yield "exchange", f"{number} ({exchange.id})"
    yield "started", f"{_iso(exchange.started_at)}, took {_took(answer.duration_ms)}"
    yield "request", f"{call.method} {call.path}, {_body(capture.request_body, call.request_bytes)}"
    yield "answer", f"{answer.status or 'none'}, {_body(capture.response_body, answer.response_bytes)}"
    yield "outcome", f"{answer.outcome}{f': {answer.error}' if answer.error else ''}"
    yield "model", _model(call.model, answer.answered_by)
    yield "session", call.session or "none"
    yield "product", call.product or "none"
    yield "upgrades", f"{'on' if gate.on else 'off'}: {gate.why}"
    if bill.usage is not None:
        usage = bill.usage
        yield (
            "tokens",
            f"{usage.tokens.read:,} read from the cache, {usage.tokens.write_5m:,} written for 5 minutes, "
            f"{usage.tokens.write_1h:,} for 1 hour, {usage.tokens.input:,} uncached input, "
            f"{usage.tokens.output:,} output",
        )
    if bill.settlement is not None:
        priced = _PRICED.get(bill.price_state or "exact", "")
        yield "cost", f"{dollars(bill.settlement.nusd)} ({_BASES[bill.settlement.basis]}{priced})"
    if bill.receipt is not None:
        difference = bill.receipt.difference_nusd
        why = f"; {bill.receipt.why}" if bill.receipt.why else ""
        yield "vs 5m", f"{'n/a' if difference is None else saved(difference)}{why}"


_BASES = {
    "reported": "reported by the API",
    "estimated": "estimated",
    "held": "the reserved amount, because the bill is unknown",
    "none": "nothing was billed",
}
"""What a cost is based on."""

_PRICED = {
    "unpriced": "; the model has no known price: the highest known one is used",
    "fallback": "; the price is that of the model's plain name",
}
"""Which price was used, where it is not the model's own."""


def _took(duration_ms: float) -> str:
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s"


def _model(asked: str | None, answered_by: str | None) -> str:
    name = asked or "none"
    return name if answered_by in (None, asked) else f"{name}, answered by {answered_by}"


def _body(body: bytes | None, sent_bytes: int) -> str:
    return size(sent_bytes) if body is not None or not sent_bytes else f"{size(sent_bytes)}, not kept"


def size(count: int) -> str:
    """
    A number of bytes in a readable unit; 1 KB is 1,000 bytes.
    """
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return (
        f"{count} B" if not unit else f"{value:.1f} {_UNITS[unit]}" if value < 9.95 else f"{value:.0f} {_UNITS[unit]}"
    )


def _short(text: str, length: int) -> str:
    text = printable(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds")
