"""
The output of `savemode trust`: what a config file would do, and which files are trusted.

Rule of this file: the value of each option is shown exactly as it is in the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.views.printable import printable

State = Literal["trusted", "changed", "missing"]
_STYLES: dict[State, str] = {"trusted": "green", "changed": "yellow", "missing": "dim"}
_WORDS: dict[State, str] = {
    "trusted": "trusted",
    "changed": "changed since, not trusted",
    "missing": "the file does not exist",
}
_MAX_VALUE = 200


@dataclass(frozen=True, slots=True)
class TrustedFile:
    """
    A file that was trusted, and its state today.
    """

    path: str
    trusted_at: datetime
    state: State


def show_effects(
    path: str, table: Mapping[str, Any], effects: Mapping[str, str], harmless: Sequence[str], console: Console
) -> None:
    """
    Print each option of a file with its value and its effect, the most serious first.

    Args:
        path: the path of the file.
        table: the content of the file.
        effects: the effect of each option, in the order in which options are shown.
        harmless: the names of the options that take effect even if the file is not trusted.
        console: where to print.
    """
    console.print(Text(f"{printable(path)} sets:", style="bold"))
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name in sorted(table, key=list(effects).index):
        value = json.dumps(table[name], default=str, ensure_ascii=False)
        excerpt = value if len(value) <= _MAX_VALUE else f"{value[:_MAX_VALUE]}..."
        words = Text(f"{name} = {printable(excerpt)}\n")
        words.append(effects[name], style="dim" if name in harmless else "yellow")
        words.append(" (also without trust)" if name in harmless else "", style="dim")
        grid.add_row(" ", words)
    console.print(grid)


def show_files(files: Sequence[TrustedFile], console: Console) -> None:
    """
    Print the trusted files, one per line.
    """
    if not files:
        console.print("no config file is trusted")
        return
    for file in files:
        state = Text(_WORDS[file.state], style=_STYLES[file.state])
        when = f"{file.trusted_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        console.print(Text.assemble(printable(file.path), "  ", (when, "dim"), "  ", state), soft_wrap=True)


def files_json(files: Sequence[TrustedFile]) -> dict[str, Any]:
    """
    The trusted files, as JSON.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "files": [
            {"path": file.path, "state": file.state, "trusted_at": file.trusted_at.astimezone(UTC).isoformat()}
            for file in files
        ],
    }
