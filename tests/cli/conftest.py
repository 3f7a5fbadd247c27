"""
What a test of a command gets.
"""

import pytest

from tests.cli.command import Run, runner


@pytest.fixture
def savemode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """
    The command, in this process.
    """
    return runner(monkeypatch, capsys)
