"""
The pieces of HTML of which the page of a running proxy is made.

Rule of this file: text of others is escaped here.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape

from savemode_cli.core.money.amounts import dollars
from savemode_cli.views.printable import printable

_CENT = 10_000_000


def text(value: object) -> str:
    """
    Text of others as HTML.
    """
    return escape(printable(str(value)))


def money(nusd: int) -> str:
    """
    An amount in whole cents, rounded down, or with four decimals below a cent; and all of these for whoever points at it.
    """
    shown = f"${nusd // _CENT // 100:,}.{nusd // _CENT % 100:02}" if nusd >= _CENT else dollars(nusd)
    return f'<span data-nusd="{nusd}" title="{escape(dollars(nusd))}">{escape(shown)}</span>'


def clock(at: datetime | None, form: str = "%H:%M:%S") -> str:
    """
    A time of the proxy's own time zone, `-` for none.
    """
    return "-" if at is None else f"{at.astimezone():{form}}"


def table(name: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """
    A table of cells that are HTML already, the first of each row being its head. It has a scroll bar of its own.
    """
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table id="{name}"><thead><tr>'
    yield "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for first, *cells in rows:
        yield f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    yield "</tbody></table></div>"


def section(name: str, title: str, parts: Iterable[str], note: str = "") -> Iterator[str]:
    """
    A part of the page with its heading.

    Args:
        name: its ID.
        title: its heading.
        parts: its content, as HTML.
        note: a short text beside the heading, as HTML.
    """
    beside = f' <span class="note">{note}</span>' if note else ""
    yield f'<section id="{name}-part" class="card {name}" aria-labelledby="{name}-title">'
    yield f'<h2 id="{name}-title">{title}{beside}</h2>'
    yield from parts
    yield "</section>"
