"""
The screen: plain and 80 columns where there is no terminal.
"""

import json
import subprocess
import sys

import pytest

from savemode_cli.cli.screen import console
from tests.support.planted import FORGED, PLANT, unprintable
from tests.support.processes import environment


@pytest.mark.parametrize(
    ("columns", "width"), [("", 80), ("120", 120), ("60", 60), ("12", 40), ("0", 80), ("wide", 80), ("-1", 80)]
)
def test_width(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    """
    `COLUMNS` says how wide it is, and at least 40 columns are used; nonsense is not a width.
    """
    monkeypatch.setenv("COLUMNS", columns)
    screen = console()

    assert (screen.width, screen.no_color, screen.is_terminal) == (width, True, False)


@pytest.mark.parametrize(
    "code",
    [
        "guard_tracebacks(); raise ValueError(PLANT)",
        "guard_tracebacks(); t = threading.Thread(target=lambda: int(PLANT)); t.start(); t.join()",
        "guard_tracebacks(); t = threading.Thread(target=lambda: {}[PLANT + 'x']); t.start(); t.join()",
        "guard_logs(); logging.getLogger('any').error('%s', PLANT)",
        "guard_logs(); logging.getLogger('asyncio').warning('x', exc_info=OSError(PLANT))",
    ],
)
def test_what_nobody_foresaw_is_printable(code: str) -> None:
    """
    Tracebacks and logs of libraries, in which a peer's text may stand.
    """
    names = "import logging, threading\nfrom savemode_cli.cli.screen import guard_logs, guard_tracebacks\n"
    words = [sys.executable, "-c", f"{names}PLANT = {json.dumps(PLANT)}\n{code}"]
    said = subprocess.run(words, capture_output=True, env=environment(), check=False).stderr

    assert b"hidden" in said
    assert unprintable(said) - {FORGED} == set()
