"""
`savemode statusline` through the command line.
"""

import io

import pytest

from tests.support.command import Run


def test_it_prints_the_line(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As without it.
    """
    monkeypatch.setattr("savemode_cli.statusline._read_status", dict)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    done = savemode("statusline")

    assert (done.code, done.out) == (0, "no savemode proxy\n")


def test_help_shows_the_setting(savemode: Run) -> None:
    """
    To copy.
    """
    assert '"statusLine": {"type": "command", "command": "savemode statusline"}' in savemode("statusline", "--help").out
