"""
Tables that fit the screen.

Rule of this file: an amount, a time or a word is never cut or folded. Where a table is too wide, the columns that are named
as the least important ones are left out, and if that is not enough, each row becomes a block of lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column of a `Sheet`.
    """

    name: str
    right: bool = False
    """Whether its cells are flush right, as numbers are."""
    wraps: bool = False
    """Whether its cells may take several lines: it holds sentences or names."""
    shortest: int = 0
    """The width to which its cells may be cut, `…` at the end; 0: they are never cut. At most one column has it."""
    rank: int = 0
    """0: it is always shown. Otherwise it may be left out on a narrow screen, the highest rank first."""


def right(name: str, rank: int = 0) -> Column:
    """
    A column of numbers.
    """
    return Column(name, right=True, rank=rank)


class Sheet:
    """
    Rows under named columns.
    """

    def __init__(self, *columns: Column, gap: int = 2) -> None:
        """
        Args:
            columns: from left to right.
            gap: how many blanks stand between two columns.
        """
        self._columns = columns
        self._gap = gap
        self._rows: list[tuple[tuple[Text, ...], str]] = []

    def add(self, *cells: Cell, style: str = "") -> None:
        """
        Add a row.

        Args:
            cells: one for each column.
            style: of the whole row.
        """
        self._rows.append((tuple(Text(one) if isinstance(one, str) else one for one in cells), style))

    def show(self, console: Console) -> None:
        """
        Print the rows, as a table if there is room for one.
        """
        places = self._fitting(console.width)
        if places:
            console.print(self._table(places, console.width))
        else:
            self._show_blocks(console)

    def _fitting(self, width: int) -> list[int]:
        """
        The columns for which there is room; none if the important ones are too wide already.
        """
        places = list(range(len(self._columns)))
        while self._width(places) > width:
            least = max(places, key=lambda place: self._columns[place].rank)
            if not self._columns[least].rank:
                return []
            places.remove(least)
        return places

    def _width(self, places: Sequence[int]) -> int:
        return sum(map(self._least, places)) + self._gap * (len(places) - 1)

    def _least(self, place: int) -> int:
        """
        The width that a column needs: that of its widest cell or, if it wraps, of its widest word; less if it may be cut.
        """
        column = self._columns[place]
        texts = [column.name, *(cells[place].plain for cells, _ in self._rows)]
        pieces = [piece for text in texts for piece in (text.split() if column.wraps else [text])]
        return min(max(map(cell_len, pieces), default=0), column.shortest or (_WIDEST_WORD if column.wraps else _ANY))

    def _table(self, places: Sequence[int], width: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, self._gap, 0, 0))
        for place in places:
            column = self._columns[place]
            table.add_column(
                column.name,
                justify="right" if column.right else "left",
                no_wrap=not column.wraps,
                overflow="fold" if column.wraps else "ellipsis",
                min_width=self._least(place),
            )
        spare = width - self._width(places)
        for cells, style in self._rows:
            table.add_row(*(self._cut(place, cells[place], spare) for place in places), style=style)
        return table

    def _cut(self, place: int, cell: Text, spare: int) -> Text:
        if self._columns[place].shortest:
            cell = cell.copy()
            cell.truncate(self._least(place) + spare, overflow="ellipsis")
        return cell

    def _show_blocks(self, console: Console) -> None:
        """
        Print each row as its first cell and, below it, a line for each of the others that is not empty.
        """
        first, *others = enumerate(self._columns)
        label = max(cell_len(column.name) for _, column in others) + self._gap
        widths = [cell_len(cells[place].plain) for cells, _ in self._rows for place, column in others if column.right]
        for cells, style in self._rows:
            console.print(Text.assemble((f"{first[1].name} ", "dim"), cells[first[0]]), style=style)
            for place, column in others:
                if cells[place].plain:
                    blanks = max(widths, default=0) - cell_len(cells[place].plain) if column.right else 0
                    name = (f"  {column.name:<{label}}", "dim")
                    console.print(Text.assemble(name, " " * blanks, cells[place]), style=style, soft_wrap=True)


_WIDEST_WORD = 40
"""A longer word, like the name of a deployment, is folded: a table is no help if one name fills the screen."""
_ANY = 100_000
