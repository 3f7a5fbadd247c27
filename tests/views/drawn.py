"""
What a view prints, as text.
"""

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console


def drawn(show: Callable[..., None], *what: Any, width: int = 80, **more: Any) -> str:
    """
    The text, blanks at the ends of lines left out; no line is wider than it may be.
    """
    out = io.StringIO()
    show(*what, console=Console(file=out, width=width, highlight=False, markup=False), **more)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(len, lines), default=0) <= width
    return "\n".join(lines)
