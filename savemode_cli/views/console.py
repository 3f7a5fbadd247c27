"""
A Rich console that prints only printable text and our own styles, and keeps what people copy in one piece.

Rule of this file: it changes how something is printed, never what. Markup, emoji codes and highlighting are off: text
from elsewhere is never read as an instruction.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from savemode_cli.views.printable import printable_lines


class PrintableConsole(Console):
    """
    A console whose lines have no trailing blanks, and which breaks lines at blanks only.

    A word that is wider than the screen stays in one piece, for a URL, a path or JSON that is broken in two cannot be
    copied. Characters that are not printable are escaped as the last step before the screen.
    """

    def __init__(self, **options: Any) -> None:
        """
        Args:
            options: those of `rich.console.Console`.
        """
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    def print(self, *objects: Any, **options: Any) -> None:
        """
        Print as the parent does, without trailing blanks and without cutting or breaking words.

        Args:
            objects: what to print, each on lines of its own.
            options: those of `rich.console.Console.print`, but for `end` and `sep`.
        """
        super().print(*(_Tidy(one) for one in objects or ("",)), **{"crop": False} | options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """
        Render as the parent does. Only control codes of Rich itself, such as those of a progress bar, pass as they are.
        """
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


class _Tidy:
    """
    Something to print, without the blanks at the ends of its lines.
    """

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = Text(renderable) if isinstance(renderable, str) else renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        shown = self._renderable
        if isinstance(shown, Table):
            keep_words(shown, console)
        if isinstance(shown, Text) and not options.no_wrap:
            shown, options = wrapped(shown, options.max_width), options.update(no_wrap=True, overflow="ignore")
        for line in Segment.split_lines(console.render(shown, options)):
            yield from _without_trailing_blanks(line)
            yield Segment.line()


def wrapped(text: Text, width: int) -> Text:
    """
    A text with line breaks where it is too wide; a word that is wider than a line stays in one piece.

    Args:
        text: one paragraph for each line. The further lines of a paragraph are indented as its first line is.
        width: in columns.
    """
    lines = []
    for paragraph in text.split("\n", allow_blank=True):
        indent = " " * (len(paragraph.plain) - len(paragraph.plain.lstrip(" ")))
        first, *more = paragraph.divide(_breaks(paragraph.plain, indent, width))
        lines += [first, *(Text(indent) + line for line in more)]
    return Text("\n").join(lines)


def _breaks(line: str, indent: str, width: int) -> Iterator[int]:
    """
    The offsets at which a line is too wide and a word begins.
    """
    start, room = 0, width
    for word in _WORD.finditer(line):
        if cell_len(line[start : word.end()]) > room and line[start : word.start()].strip():
            yield word.start()
            start, room = word.start(), width - len(indent)


_WORD = re.compile(r"\S+")


def keep_words(table: Table, console: Console) -> None:
    """
    Make the columns of a table at least as wide as their longest word, except those that may `fold` one.

    Args:
        table: the table, with all its rows.
        console: where it will be printed.
    """
    for column in table.columns:
        if column.overflow != "fold":
            cells = [column.header, *column.cells] if table.show_header else [*column.cells]
            measured = [Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), cell) for cell in cells]
            column.min_width = max((one.maximum if column.no_wrap else one.minimum for one in measured), default=0)


_ANY_WIDTH = 100_000


def _without_trailing_blanks(line: list[Segment]) -> list[Segment]:
    line = list(line)
    while line and not line[-1].control:
        text = line[-1].text.rstrip(" ")
        if text:
            line[-1] = Segment(text, line[-1].style)
            break
        line.pop()
    return line
