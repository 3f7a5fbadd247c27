"""
The screen that a command prints on.

Rule of this file: it knows the stream, and nothing of what is printed.
"""

import os
import sys
from typing import TYPE_CHECKING

from savemode_cli.cli.serve import wants_colour

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 80


def console() -> "Console":
    """
    Standard output, in colour where that is wanted; 80 columns, or `COLUMNS`, where it is no terminal.
    """
    from rich.console import Console

    colour = wants_colour(sys.stdout)
    return Console(
        no_color=not colour,
        force_terminal=colour,
        width=None if sys.stdout.isatty() else _columns(os.environ.get("COLUMNS", "")),
        highlight=False,
        markup=False,
        emoji=False,
    )


def _columns(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and int(text) >= WIDTH else WIDTH
