"""
How measurements become numbers and numbers become a table of at most 80 columns.

Rule of this file: it prints and summarises, it never measures.
"""

import argparse
import json
import math
import sys
import textwrap
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

WIDTH = 80

__all__ = ["WIDTH", "columns", "fixed", "median", "note", "options", "percentile", "show_json", "times"]


def options(description: str | None) -> argparse.ArgumentParser:
    """
    The options every benchmark has.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run: fewer rounds, rougher numbers")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    return parser


def percentile(values: Sequence[float], percent: float) -> float:
    """
    The smallest value that at least *percent* per cent of the values do not exceed (nearest rank).
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def fixed(value: float | None, digits: int = 2, sign: str = "") -> str:
    """
    A number with a fixed count of decimals; `-` where there is none. `sign="+"` marks what is added to something.
    """
    return "-" if value is None else f"{value:{sign},.{digits}f}"


def times(part: float | None, whole: float | None) -> str:
    """
    The ratio of two measurements, as in `0.44x`; `-` where it would mean nothing.
    """
    if part is None or whole is None or whole <= 0:
        return "-"
    return f"{part / whole:.2f}x"


def columns(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    An aligned table: the first column to the left, the others to the right.

    Raises:
        ValueError: a line would be wider than 80 columns. That is a bug in the benchmark.
    """
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    lines = [title, ""]
    for row in (heads, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    widest = max(map(len, lines))
    if widest > WIDTH:
        raise ValueError(f"the table {title!r} is {widest} columns wide")
    return "\n".join(lines)


def note(text: str) -> str:
    """
    A paragraph under a table.
    """
    return textwrap.fill(" ".join(text.split()), WIDTH)


def show_json(measured: Mapping[str, Any]) -> None:
    """
    The machine's form: one object, units in the keys.
    """
    json.dump(measured, sys.stdout, indent=1)
    sys.stdout.write("\n")
