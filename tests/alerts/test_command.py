"""
A command of the person's own.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from savemode_cli.alerts.command import command
from savemode_cli.config import Settings
from savemode_cli.core.budget.alerts import sample_alert
from tests.support.receiver import fake_program

ALERT = sample_alert(datetime(2026, 11, 24, tzinfo=UTC))


def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    It gets the alert on stdin, and its own arguments only.
    """
    written = fake_program(monkeypatch, tmp_path, "my-alert")
    command(Settings(alerts_command="my-alert 'two words' $HOME"))(ALERT, 20)
    words, given = json.loads(written.read_text())

    assert words == ["two words", "$HOME"]
    assert json.loads(given) == ALERT.to_json()
