"""
Findings as rows and as JSON.
"""

from savemode_cli.views.doctor import Finding, show, to_json, warnings
from tests.support.drawn import drawn

FOUND = [
    Finding("OK", "port", "free"),
    Finding("WARN", "ledger", "locked\x1b[31m", "wait"),
    Finding("INFO", "gate", "closed " * 30, "open it"),
]


def test_rows() -> None:
    """
    A row each, a fix below it, and nothing that paints the terminal.
    """
    text = drawn(lambda console: show(FOUND, "1.2.3", console))

    assert text.splitlines()[0] == "savemode 1.2.3"
    assert "-> wait" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[-1] == "1 problem found"


def test_json() -> None:
    """
    `ok` is false where something is to be mended.
    """
    assert warnings(FOUND) == 1
    assert to_json(FOUND, "1.2.3")["ok"] is False
    assert to_json(FOUND[:1], "1.2.3")["findings"] == [{"level": "OK", "about": "port", "text": "free", "fix": None}]
