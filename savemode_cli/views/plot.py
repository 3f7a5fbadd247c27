"""
A growing spend as a small picture made of characters.

Rule of this file: it scales what it is given to the cells it has, and computes no figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from savemode_cli.core.tiers import usd

ROWS = 10
_LEVELS = " ▁▂▃▄▅▆▇█"
_PLAIN = str.maketrans("▁▂▃▄▅▆▇█·┄│└─", "______##.-|+-")
_LABEL = 9


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A line across the picture, with what stands at its end.
    """

    nusd: int
    text: str


def plot(
    curve_nusd: Sequence[int],
    ghost_nusd: Sequence[int],
    marks: Sequence[Mark],
    columns: int,
    ends: tuple[str, str],
    *,
    unicode: bool = True,
) -> list[str]:
    """
    The lines of a picture of `columns` by ten cells: the curve as an area, the ghost as dots above it, the marks as
    lines behind both; what is higher than half again the highest mark is cut off.

    `ends` stand below the first and the last column. Without `unicode` only ASCII is used.
    """
    cap = max(mark.nusd for mark in marks)
    top = max(cap * 9 // 8, *curve_nusd, min(max(ghost_nusd), cap * 3 // 2))
    at_row = {_row(mark.nusd, top): mark for mark in sorted(marks, key=lambda mark: mark.nusd)}
    lines = []
    for row in reversed(range(ROWS)):
        mark = at_row.get(row)
        cells = [_cell(row, column, curve_nusd, ghost_nusd, top) for column in range(columns)]
        if mark is not None:
            cells = [cell if cell != " " else "┄" for cell in cells]
        value = "" if mark is None else _short(mark.nusd)
        lines.append(f"{value:>{_LABEL}} │{''.join(cells)} {'' if mark is None else mark.text}".rstrip())
    lines.append(f"{'$0':>{_LABEL}} └{'─' * columns}")
    lines.append(f"{'':>{_LABEL}}  {ends[0]}{ends[1]:>{columns - len(ends[0])}}")
    return lines if unicode else [line.translate(_PLAIN) for line in lines]


def _row(nusd: int, top: int) -> int:
    return min(ROWS - 1, nusd * ROWS // top)


def _cell(row: int, column: int, curve: Sequence[int], ghost: Sequence[int], top: int) -> str:
    if column >= len(curve):
        return " "
    eighths = curve[column] * ROWS * 8 // top - row * 8
    if eighths > 0:
        return _LEVELS[min(8, eighths)]
    return "·" if curve[column] < ghost[column] <= top and _row(ghost[column], top) == row else " "


def _short(nusd: int) -> str:
    text = f"${usd(nusd)}"
    return text if len(text) <= _LABEL else text.partition(".")[0]
