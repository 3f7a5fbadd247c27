"""
The file of a trial: what is in it, who can read it, and what damages it.
"""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.exchange.trial import TrialRequest
from savemode_cli.proxy import trial_file
from savemode_cli.proxy.trial_file import TrialFile

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_request(session: str = "s", minutes: int = 0) -> TrialRequest:
    """
    One of a held-out session.
    """
    return TrialRequest(session, "hold-out", NOON + timedelta(minutes=minutes), 1000, 500)


def test_added_requests_can_be_read(tmp_path: Path) -> None:
    """
    This also works with two writers. Only the owner can read the file.
    """
    path = tmp_path / "state" / "trial.jsonl"
    TrialFile(path).add([a_request("a"), a_request("b")])
    TrialFile(path).add([a_request("c")])

    assert [one.session for one in TrialFile(path).read()] == ["a", "b", "c"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(TrialFile(tmp_path / "none").read()) == []


def test_damaged_lines(tmp_path: Path) -> None:
    """
    They are left out and counted.
    """
    file = TrialFile(tmp_path / "trial.jsonl")
    file.add([a_request()])
    good = file.path.read_bytes()
    naive = good.replace(b"12:00:00Z", b"12:00:00")
    file.path.write_bytes(good + b"{\n" + b"\xff\n" + naive + good.replace(b"hold-out", b"neither") + good)

    assert len(list(file.read())) == 2
    assert file.malformed == 4


def test_compact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A long file becomes one line for each session, with the same sums; a short one stays.
    """
    file = TrialFile(tmp_path / "state" / "trial.jsonl")
    file.add([a_request("a", 5), a_request("b"), a_request("a", 3), a_request("a", 9)])
    before = file.path.read_bytes()
    file.compact()
    assert file.path.read_bytes() == before
    monkeypatch.setattr(trial_file, "COMPACT_BYTES", 10)
    file.compact()

    assert list(file.read()) == [
        TrialRequest("a", "hold-out", NOON + timedelta(minutes=3), 3000, 1500, requests=3),
        TrialRequest("b", "hold-out", NOON, 1000, 500),
    ]
    assert sorted(path.name for path in file.path.parent.iterdir()) == ["trial.jsonl", "trial.lock"]


def test_what_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One error with the place and a way out: a link, a folder, a file that is too large.
    """
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"cannot write .*link\.jsonl"):
        TrialFile(tmp_path / "link.jsonl").add([a_request()])
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(ConfigError, match="cannot read"):
        list(TrialFile(tmp_path).read())
    monkeypatch.setattr(trial_file, "MAX_FILE_BYTES", 3)
    (tmp_path / "large.jsonl").write_text("12345")
    with pytest.raises(ConfigError, match="too large"):
        list(TrialFile(tmp_path / "large.jsonl").read())
