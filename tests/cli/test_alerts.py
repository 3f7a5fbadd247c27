"""
`savemode alerts test`.
"""

import json
from pathlib import Path

import pytest

from tests.support.command import Run, error_line
from tests.support.receiver import fake_program, receiving
from tests.support.trusting import trusted_config


def test_each_channel(savemode: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    One line each; one that fails makes the command fail.
    """
    fake_program(monkeypatch, tmp_path, "notify-send")
    with receiving() as receiver:
        trusted_config(f'[alerts]\ndesktop = true\nwebhook = "{receiver.webhook}"\n')
        done = savemode("alerts", "test")
        receiver.statuses = [404]
        failed = savemode("alerts", "test", "--json")
        where = receiver.webhook.split("/")[2]

    assert (done.code, done.out) == (0, f"desktop  sent to notifications of the desktop\nwebhook  sent to {where}\n")
    assert failed.code == 1
    assert json.loads(failed.out) == [
        {"channel": "desktop", "destination": "notifications of the desktop", "problem": None},
        {"channel": "webhook", "destination": where, "problem": f"{where} answers HTTP 404"},
    ]
    assert [alert["kind"] for alert in receiver.alerts] == ["test", "test"]


def test_without_a_channel(savemode: Run) -> None:
    """
    It says how to get one.
    """
    done = savemode("alerts", "test")

    assert done.code == 2
    assert "no alerts are configured; channels: desktop, webhook, command, apprise" in error_line(done)
