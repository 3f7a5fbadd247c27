"""
Growing amounts and counts as small pictures made of characters.

Rule of this file: it scales what it is given to the cells it has, and computes no figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from savemode_cli.core.money.amounts import usd

ROWS = 10
_LEVELS = " ▁▂▃▄▅▆▇█"
_PLAIN = str.maketrans("▁▂▃▄▅▆▇█·┄│└─▏▎▍▌▋▊▉", "______##.-|+-|||||##")
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


@dataclass(frozen=True, slots=True)
class Curve:
    """
    One of several amounts that grow side by side: a value per column, the character that draws it, its name.
    """

    nusd: Sequence[int]
    mark: str
    name: str


def curves(together: Sequence[Curve], columns: int, ends: tuple[str, str]) -> list[str]:
    """
    The lines of a picture in which each curve is drawn by its own character; where they meet, the first one is seen.

    Every character is ASCII but the frame; names stand where their curves end.
    """
    top = max(1, *(max(curve.nusd) for curve in together))
    rows = [[" "] * columns for _ in range(ROWS)]
    names: dict[int, list[str]] = {}
    for curve in reversed(together):
        for column, nusd in enumerate(curve.nusd):
            rows[_row(max(nusd, 0), top)][column] = curve.mark
    for curve in together:
        names.setdefault(_row(max(curve.nusd[-1], 0), top), []).append(curve.mark)
    lines = []
    for row in reversed(range(ROWS)):
        value = _short(top) if row == ROWS - 1 else _short(top // 2) if row == ROWS // 2 - 1 else ""
        lines.append(f"{value:>{_LABEL}} │{''.join(rows[row])} {' '.join(names.get(row, []))}".rstrip())
    lines.append(f"{'$0':>{_LABEL}} └{'─' * columns}")
    lines.append(f"{'':>{_LABEL}}  {ends[0]}{ends[1]:>{columns - len(ends[0])}}")
    return lines


def plain(lines: Sequence[str]) -> list[str]:
    """
    The same lines in ASCII.
    """
    return [line.translate(_PLAIN) for line in lines]


def bar(value: int, largest: int, columns: int) -> str:
    """
    A bar of at most so many columns, in eighths; the least there is where there is anything at all.
    """
    if value <= 0 or largest <= 0:
        return ""
    eighths = max(1, value * columns * 8 // largest)
    return _WIDTHS[-1] * (eighths // 8) + (_WIDTHS[eighths % 8 - 1] if eighths % 8 else "")


_WIDTHS = "▏▎▍▌▋▊▉█"
