"""
Where the command `savemode` starts.

Rule of this file: it imports nothing before it knows what for. `savemode statusline` runs after every answer of a client, so it
starts without the machinery of the other commands.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # without `typing`, which `statusline` would wait for
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """
    Run the command, and leave with its exit code.
    """
    if sys.argv[1:] == ["statusline"]:
        from savemode_cli.statusline import main as print_line  # noqa: PLC0415 - see the rule

        print_line()
        sys.exit(0)
    from savemode_cli.cli import main as run  # noqa: PLC0415

    run()
