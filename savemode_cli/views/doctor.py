"""
What `savemode doctor` found, for a person and for machines.

Rule of this file: it orders nothing and judges nothing; one finding is one row, and a fix stands below its row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.views.printable import printable

Level = Literal["OK", "INFO", "WARN"]
_STYLES: dict[Level, str] = {"OK": "green", "INFO": "cyan", "WARN": "yellow"}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was looked at. `fix` is what to do about it: a must where it is a WARN, a hint where it is INFO.
    """

    level: Level
    about: str
    text: str
    fix: str = ""


def to_json(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """
    The findings for machines; `ok` is false if there is a WARN.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "savemode_version": version,
        "ok": not warnings(findings),
        "findings": [
            {"level": one.level, "about": one.about, "text": one.text, "fix": one.fix or None} for one in findings
        ],
    }


def warnings(findings: Sequence[Finding]) -> int:
    """
    How many of them are problems.
    """
    return sum(one.level == "WARN" for one in findings)


def show(findings: Sequence[Finding], version: str, console: Console) -> None:
    """
    Print a row for each finding, and the number of problems.
    """
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        words = Text(printable(one.text))
        if one.fix:
            words.append(f"\n-> {printable(one.fix)}", style="dim")
        table.add_row(Text(one.level, style=_STYLES[one.level]), Text(one.about, style="bold"), words)
    console.print(Text(f"savemode {version}", style="bold"))
    console.print(table)
    count = warnings(findings)
    console.print(f"{count or 'no'} problem{'' if count == 1 else 's'} found")
