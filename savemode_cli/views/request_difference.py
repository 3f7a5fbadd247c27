"""
Two requests as the prompt cache sees them, on 80 columns and as JSON.

Rule of this file: it computes nothing, and shows one line of text of each side at most.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.diagnosis.causes import json_path
from savemode_cli.core.diagnosis.comparison import Comparison, ParameterChange, Place, Side
from savemode_cli.core.diagnosis.excerpt import Excerpt
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.views.printable import printable

MOST_PLACES = 12
"""How many places are shown as text; JSON has all."""


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A comparison, and what the requests are called.
    """

    comparison: Comparison
    before: str
    """What the earlier request is called."""
    after: str
    with_text: bool = True
    """Whether texts are shown."""


def show(shown: Shown, console: Console) -> None:
    """
    Print what differs, in the order in which the cache evaluates it.
    """
    found = shown.comparison
    console.print(Text(printable(f"{shown.after}  against {shown.before}"), style="bold"))
    if found.is_same:
        console.print("The cache sees no difference.")
    for change in found.parameters:
        console.print(_parameter(change))
    for place in found.places[:MOST_PLACES]:
        console.print()
        for line in _place(place, shown.with_text):
            console.print(line)
    hidden = len(found.places) - MOST_PLACES
    if hidden > 0:
        console.print(f"\nand {hidden:,} more; --json shows all", style="dim")
    console.print()
    console.print(_sums(found))
    console.print("token counts are estimates", style="dim")


def _parameter(change: ParameterChange) -> Text:
    before, after = (printable(value or "absent") for value in (change.before, change.after))
    lost = {"tools": "everything", "system": "the system prompt and messages", "messages": "the messages"}[change.level]
    return Text(f"{change.name}: {before} -> {after}", style="yellow") + Text(f"  loses {lost}", style="dim")


def _place(place: Place, with_text: bool) -> Iterator[Text]:
    to = "" if place.last == place.path else f" to {json_path(place.last)}"
    count = "" if place.blocks == 1 else f", {place.blocks:,} blocks"
    words = ", only numbers, dates or IDs differ" if place.values_only else ""
    yield Text(f"@@ {json_path(place.path)}{to}", style="cyan") + Text(
        f"  {place.kind}{words}{count}, {_tokens(place)}", style="dim"
    )
    if with_text and place.excerpt is not None:
        yield from _lines(place, place.excerpt)


def _lines(place: Place, excerpt: Excerpt) -> Iterator[Text]:
    if place.kind in ("edited", "re-rendered", "removed"):
        yield Text(f"- {printable(excerpt.before)}", style="red")
    if place.kind != "removed":
        yield Text(f"+ {printable(excerpt.after)}", style="green" if place.kind != "reordered" else "")


def _tokens(place: Place) -> str:
    before, after = place.tokens_before, place.tokens_after
    if before and after and before != after:
        return f"{before:,} -> {after:,} tokens"
    return f"{max(before, after):,} tokens"


def _sums(found: Comparison) -> Table:
    blocks = f"{found.shared_blocks:,} of {found.before.blocks:,} blocks"
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(style="dim")
    table.add_row("same from the start", f"{blocks}, {found.shared_tokens:,} of {found.before.tokens:,} tokens")
    table.add_row("read if sent next", f"{found.readable_tokens:,} of {found.after.tokens:,} tokens")
    table.add_row("breakpoints before", _breakpoints(found.before))
    table.add_row("breakpoints after", _breakpoints(found.after))
    return table


def _breakpoints(side: Side) -> str:
    return ", ".join(f"{json_path(path)} {lifetime}" for path, lifetime in side.breakpoints) or "none"


def to_json(shown: Shown) -> dict[str, Any]:
    """
    The comparison for machines.
    """
    found = shown.comparison
    return {
        "schema_version": SCHEMA_VERSION,
        "before": {"name": shown.before, **_side(found.before)},
        "after": {"name": shown.after, **_side(found.after)},
        "same": found.is_same,
        "loses": found.loses,
        "shared_blocks": found.shared_blocks,
        "shared_tokens_estimated": found.shared_tokens,
        "readable_tokens_estimated": found.readable_tokens,
        "parameters": [
            {"name": one.name, "level": one.level, "before": one.before or None, "after": one.after or None}
            for one in found.parameters
        ],
        "places": [_place_json(place, shown.with_text) for place in found.places],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "model": side.model,
        "blocks": side.blocks,
        "tokens_estimated": side.tokens,
        "breakpoints": [{"at": json_path(path), "ttl": lifetime} for path, lifetime in side.breakpoints],
    }


def _place_json(place: Place, with_text: bool) -> dict[str, Any]:
    excerpt = place.excerpt if with_text else None
    return {
        "kind": place.kind,
        "at": json_path(place.path),
        "to": json_path(place.last),
        "blocks": place.blocks,
        "type": place.type or None,
        "values_only": place.values_only,
        "tokens_before_estimated": place.tokens_before,
        "tokens_after_estimated": place.tokens_after,
        "difference": None if excerpt is None else {"before": excerpt.before, "after": excerpt.after},
    }
