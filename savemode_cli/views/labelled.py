"""
Lines with a label before them, as receipts and banners have.

Rule of this file: lines break at blanks only, so that a URL or a command stays in one piece.
"""

import re
from collections.abc import Iterator

from typer import style

LABEL = 10
"""The width of a label, in columns, with the blanks behind it."""
_INDENT = "  "
_WORD = re.compile(r"\S+")


def labelled(label: str, text: str, width: int, colour: str = "") -> Iterator[str]:
    """
    A text behind its label.

    Args:
        label: one word, or empty in a further line below another label.
        text: one line, which is broken where it is too wide.
        width: of the screen, in columns.
        colour: of the text, as click names it; empty for none.

    Yields:
        The lines. All but the first have blanks where the label stands.
    """
    room = width - len(_INDENT) - LABEL
    name = style(f"{label:<{LABEL - 1}} ", dim=True) if label else " " * LABEL
    for part in broken(text, room):
        yield f"{_INDENT}{name}{style(part, fg=colour) if colour and part else part}".rstrip()
        name = " " * LABEL


def broken(line: str, width: int) -> Iterator[str]:
    """
    A line in parts of at most `width` columns; a single word may be wider.
    """
    start = end = 0
    for word in _WORD.finditer(line):
        if word.end() - start > width and end > start:
            yield line[start:end]
            start = word.start()
        end = word.end()
    yield line[start:end]
