"""
Captured exchanges as a table, and one of them in full.

Rule of this file: what was said is never printed here; bodies go out as bytes, on their own, where they are asked for.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.capture import Capture
from savemode_cli.core.exchange import SCHEMA_VERSION
from savemode_cli.core.tiers import dollars
from savemode_cli.core.transform import describe
from savemode_cli.views.terminal import printable

Row = tuple[int, Capture]

_COLUMNS = ("no.", "started (UTC)", "model", "status", "sent", "got", "cost", "session")
_UNITS = ("B", "KB", "MB", "GB", "TB")


def row_json(number: int, capture: Capture) -> dict[str, Any]:
    """
    An exchange for machines, as a request line has it, with its number in the store.
    """
    return {
        **capture.exchange.to_json(),
        "number": number,
        "ended_at": _iso(capture.ended_at),
        "answered_by": capture.answered_by,
        "upstream": capture.upstream,
        "budget": capture.budget,
        "budget_after": capture.budget_after,
    }


def whole_json(number: int, capture: Capture) -> dict[str, Any]:
    """
    The same with the headers that were kept, and how much there is of each body.
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
    What a store holds, for machines.
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
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    cells = [_cells(number, capture) for number, capture in rows]
    for place, name in enumerate(_COLUMNS):
        # Where it is tight the words give way: a time or an amount cut short would be another one.
        gives = name in ("model", "status")
        least = None if gives else max(len(one[place]) for one in (_COLUMNS, *cells))
        justify: Literal["left", "right"] = "right" if name in ("no.", "sent", "got", "cost") else "left"
        table.add_column(name, justify=justify, no_wrap=not gives, overflow="ellipsis", min_width=least)
    for one, (_, capture) in zip(cells, rows, strict=True):
        good = capture.exchange.outcome == "ok"
        table.add_row(
            *(
                Text(text, style="red" if name == "status" and not good else "")
                for name, text in zip(_COLUMNS, one, strict=True)
            )
        )
    console.print(table)


def _cells(number: int, capture: Capture) -> tuple[str, ...]:
    exchange = capture.exchange
    return (
        str(number),
        f"{exchange.started_at.astimezone(UTC):%m-%d %H:%M:%S}",
        _short(exchange.model or exchange.path, 20),
        str(exchange.status or "-") if exchange.outcome == "ok" else exchange.outcome,
        size(exchange.request_bytes),
        size(exchange.response_bytes),
        "-" if exchange.cost_nusd is None else _money(exchange.cost_nusd),
        _short(exchange.session or "-", 8),
    )


def show_stats(stats: Any, console: Console) -> None:
    """
    Print what there is in all.
    """
    exchanges = "1 exchange" if stats.exchanges == 1 else f"{stats.exchanges} exchanges"
    sessions = "1 session" if stats.sessions == 1 else f"{stats.sessions} sessions"
    held = f"{size(stats.kept_bytes)} of bodies in {size(stats.file_bytes)} on disk"
    console.print(f"{exchanges} of {sessions}, {held}", style="dim")


def show_whole(number: int, capture: Capture, console: Console) -> None:
    """
    Print one exchange: what its request line said, its edits, its receipt, the headers that were kept.
    """
    for name, value in _facts(number, capture):
        console.print(Text(f"{name:<12}", style="dim") + Text(printable(value)), soft_wrap=True)
    parts = (
        ("edits", [describe(one) for one in capture.exchange.edits]),
        ("skips", [describe(one) for one in capture.exchange.skips]),
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
    yield "exchange", f"{number} ({exchange.id})"
    yield "started", f"{_iso(exchange.started_at)}, took {_took(exchange.duration_ms)}"
    yield "request", f"{exchange.method} {exchange.path}, {_body(capture.request_body, exchange.request_bytes)}"
    yield "answer", f"{exchange.status or 'none'}, {_body(capture.response_body, exchange.response_bytes)}"
    yield "outcome", f"{exchange.outcome}{f': {exchange.error}' if exchange.error else ''}"
    yield "model", _model(exchange.model, capture.answered_by)
    yield "session", exchange.session or "none"
    yield "product", exchange.product or "none"
    yield "gate", f"{'on' if exchange.gate.on else 'off'}: {exchange.gate.why}"
    if exchange.usage is not None:
        usage = exchange.usage
        yield (
            "tokens",
            f"{usage.input_tokens:,} in, {usage.cache_read_tokens:,} read, "
            f"{usage.cache_write_5m_tokens:,} written for 5m, "
            f"{usage.cache_write_1h_tokens:,} for 1h, {usage.output_tokens:,} out",
        )
    if exchange.settlement is not None:
        priced = _PRICED.get(exchange.price_state or "exact", "")
        yield "cost", f"{dollars(exchange.settlement.nusd)} ({exchange.settlement.basis}{priced})"
    if exchange.receipt is not None:
        difference = exchange.receipt.difference_nusd
        why = f"; {exchange.receipt.why}" if exchange.receipt.why else ""
        yield "vs 5m", f"{'n/a' if difference is None else _signed(difference)}{why}"


_PRICED = {
    "unpriced": "; no price is known for the model: the dearest known one",
    "fallback": "; the price is that of the model's plain name",
}
"""What a cost rests on besides its counts, where that is not the model's own price."""


def _took(duration_ms: float) -> str:
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s"


def _model(asked: str | None, answered_by: str | None) -> str:
    name = asked or "none"
    return name if answered_by in (None, asked) else f"{name}, answered by {answered_by}"


def _body(body: bytes | None, sent_bytes: int) -> str:
    return size(sent_bytes) if body is not None or not sent_bytes else f"{size(sent_bytes)}, not kept"


def _signed(nusd: int) -> str:
    if not nusd:
        return "the same"
    return f"{dollars(nusd)} more" if nusd > 0 else f"{dollars(-nusd)} less"


def _money(nusd: int) -> str:
    return f"${nusd / 1e9:.4f}"


def size(count: int) -> str:
    """
    A number of bytes in the unit that suits it, thousands.
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
