"""
What `serve` and `simulate-upstream` print when they start.

Rule of this file: the line to copy is last.
"""

from collections.abc import Sequence

from typer import style

from savemode_cli.core.upgrade.gate import GateState
from savemode_cli.views.labelled import labelled
from savemode_cli.views.printable import printable


def banner(version: str, url: str, rows: Sequence[tuple[str, str]], *, width: int = 80, base_url: str = "") -> str:
    """
    The banner.

    Args:
        version: of savemode.
        url: where it listens.
        rows: labels, each with its text. A row with an empty label continues the one above.
        width: of the screen, in columns.
        base_url: what clients must be given, if that is not the URL.
    """
    lines = [style(f"savemode {version}", bold=True)]
    for label, text in [("address", url), *rows]:
        lines += labelled(label, printable(text), width)
    return "\n".join([*lines, "", f"  export ANTHROPIC_BASE_URL={base_url or url}", ""])


def gate_words(gate: GateState) -> str:
    """
    Whether upgrades are switched on for all requests, and why.
    """
    return f"on: {gate.why}" if gate.on else f"off unless a request switches them on: {gate.why}"
