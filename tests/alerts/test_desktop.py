"""
Notifications of the desktop, by a fake program on PATH.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from savemode_cli.alerts.desktop import deliver, run
from savemode_cli.core.budget.alerts import Alert, AlertFailed
from tests.support.receiver import fake_program

ALERT = Alert("a", "budget", "-t", "<b>80 %</b> & more", datetime(2026, 11, 24, tzinfo=UTC), {})


def test_notify_send(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The texts are arguments behind `--`, without markup.
    """
    written = fake_program(monkeypatch, tmp_path, "notify-send")
    monkeypatch.setattr(sys, "platform", "linux")
    deliver(ALERT, 20)

    assert json.loads(written.read_text()) == [
        ["--app-name=savemode", "--", "-t", "&lt;b&gt;80 %&lt;/b&gt; &amp; more"],
        "",
    ]


def test_osascript(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    On macOS; the script is fixed, and the texts are its arguments.
    """
    written = fake_program(monkeypatch, tmp_path, "osascript")
    monkeypatch.setattr(sys, "platform", "darwin")
    deliver(ALERT, 20)
    words, _ = json.loads(written.read_text())

    assert words[-2:] == ["-t", "<b>80 %</b> & more"]
    assert words[:4] == ["-e", "on run argv", "-e", words[3]]
    assert "80" not in "".join(words[:-2])


def test_failures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Each says what failed; that there is no program does not change by trying again.
    """
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AlertFailed, match="there is no program notify-send") as none:
        run(["notify-send"], 20)
    assert none.value.final
    fake_program(monkeypatch, tmp_path, "odd", code=3)
    with pytest.raises(AlertFailed, match="odd exits with 3") as code:
        run(["odd"], 20)
    assert not code.value.final
    (tmp_path / "text").write_text("\x7f nothing that runs")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(AlertFailed, match="cannot run text: "):
        run(["text"], 20)
    (tmp_path / "slow").write_text("#!/bin/sh\nwhile :; do /bin/sleep 1; done\n")
    (tmp_path / "slow").chmod(0o755)
    with pytest.raises(AlertFailed, match=r"slow takes longer than 0\.1 s"):
        run(["slow"], 0.1)
