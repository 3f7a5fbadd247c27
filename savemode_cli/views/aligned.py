"""
Columns of text, aligned, without a blank at the end of a line.

Rule of this file: it aligns what it is given. Amounts have four decimals, so that their points stand below each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Cell:
    """
    One cell of a table.
    """

    text: str
    style: str = ""
    """Its colour, as Rich names it."""


Row = Sequence[Cell | str]


def money(nusd: int) -> str:
    """
    An amount for people: `$12.3457`, to four decimals.
    """
    units = (abs(nusd) + 50_000) // 100_000
    return f"{'-' if nusd < 0 and units else ''}${units // 10_000:,}.{units % 10_000:04d}"


def signed_money(nusd: int) -> str:
    """
    A difference for people: `+$0.0312`, `-$12.3457`; `$0.0000` for none.
    """
    text = money(nusd)
    return text if text.startswith("-") or text == "$0.0000" else f"+{text}"


def aligned(rows: Sequence[Row], right: Sequence[int] = (), indent: int = 2) -> list[Text]:
    """
    The lines of a table.

    Args:
        rows: the cells, row by row. A row may be shorter than others.
        right: the columns that are aligned at their end.
        indent: how many blanks precede a line.
    """
    table = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    widths = [max(len(row[column].text) for row in table if column < len(row)) for column in range(_columns(table))]
    return [_line(row, widths, right, indent) for row in table]


def _columns(table: Sequence[Sequence[Cell]]) -> int:
    return max((len(row) for row in table), default=0)


def _line(row: Sequence[Cell], widths: Sequence[int], right: Sequence[int], indent: int) -> Text:
    line = Text(" " * indent)
    for column, cell in enumerate(row):
        blanks = " " * (widths[column] - len(cell.text))
        line.append("  " if column else "")
        line.append(blanks if column in right else "")
        line.append(cell.text, cell.style)
        line.append("" if column in right else blanks)
    line.rstrip()
    return line


def show_table(rows: Sequence[Row], console: Console, right: Sequence[int] = ()) -> None:
    """
    Print a table.

    Args:
        rows: the cells, row by row.
        console: where to print it.
        right: the columns that are aligned at their end.
    """
    for line in aligned(rows, right):
        console.print(line, soft_wrap=True)
