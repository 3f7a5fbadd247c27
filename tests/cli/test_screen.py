"""
The screen: plain and 80 columns where there is no terminal.
"""

import pytest

from savemode_cli.cli.screen import console


@pytest.mark.parametrize(("columns", "width"), [("", 80), ("120", 120), ("40", 80), ("wide", 80), ("-1", 80)])
def test_width(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    """
    `COLUMNS` may make it wider; nonsense is no width.
    """
    monkeypatch.setenv("COLUMNS", columns)
    screen = console()

    assert (screen.width, screen.no_color, screen.is_terminal) == (width, True, False)
