"""
What is told once by all processes of this machine while their ledger does not answer.

Rule of this file: it writes empty files, whose names are IDs of alerts. If none can be written, everybody tells.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from savemode_cli.private import make_folder

_KEPT_S = 24 * 3600.0
"""How long a file is kept, in seconds: longer than the longest time in which an alert is told once."""


def is_first(folder: Path, name: str) -> bool:
    """
    Whether this process is the first of this machine to claim a name. True where that cannot be known.

    Args:
        folder: where the claims are.
        name: the ID of an alert.
    """
    try:
        make_folder(folder)
        os.close(os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError:
        return True
    _forget_old(folder)
    return True


def _forget_old(folder: Path) -> None:
    oldest = time.time() - _KEPT_S
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                if entry.name.startswith("alert_") and entry.stat(follow_symlinks=False).st_mtime < oldest:
                    Path(entry.path).unlink()
