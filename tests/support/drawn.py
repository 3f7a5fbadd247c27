"""
What a view prints, as text.
"""

import io
import re
from collections.abc import Callable
from typing import Any

from savemode_cli.views.console import PrintableConsole


def drawn(show: Callable[..., None], *what: Any, width: int = 80, colour: bool = False, **more: Any) -> str:
    """
    The text. No line ends with blanks. None is wider than the screen, unless a single word is too wide for it, or it is a
    member of JSON, which is never wrapped.

    Args:
        show: the function of a view.
        what: what it shows.
        width: of the screen, in columns.
        colour: whether it is a terminal with colours.
        more: further arguments of the view.
    """
    out = io.StringIO()
    show(*what, console=PrintableConsole(file=out, width=width, no_color=not colour, force_terminal=colour), **more)
    text = out.getvalue()
    plain = _COLOURS.sub("", text).split("\n")
    assert [line for line in plain if line != line.rstrip(" ")] == []
    wide = [line for line in plain if len(line) > width and not line.lstrip().startswith('"')]
    assert [line for line in wide if max(map(len, line.split())) <= width - _LABEL] == []
    return text.removesuffix("\n")


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LABEL = 16
"""The most that stands before a word that is too wide."""
