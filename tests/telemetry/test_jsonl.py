"""
Events in a file.
"""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.telemetry.jsonl import File, lines
from savemode_cli.telemetry.outlet import Undelivered


def test_events_are_appended_a_line_each(tmp_path: Path) -> None:
    """
    Whatever stood there stays; only the owner reads it.
    """
    path = tmp_path / "events.jsonl"
    File(path).deliver([{"n": 1}, {"n": 2}], 1.0)
    File(path).deliver([{"text": "a\nb"}], 1.0)

    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"n": 1}, {"n": 2}, {"text": "a\nb"}]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    """
    With the path and the system's word.
    """
    with pytest.raises(Undelivered, match=r"events\.jsonl cannot be written: no such file or directory"):
        File(tmp_path / "nowhere" / "events.jsonl").deliver([{}], 1.0)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """
    Somebody may have put it there: nothing is written where it leads.
    """
    (tmp_path / "theirs").write_text("")
    (tmp_path / "events.jsonl").symlink_to("theirs")
    with pytest.raises(Undelivered, match="cannot be written: it is a symbolic link; name the file itself"):
        File(tmp_path / "events.jsonl").deliver([{}], 1.0)

    assert (tmp_path / "theirs").read_text() == ""


def test_an_existing_file_is_closed_to_others(tmp_path: Path) -> None:
    """
    Its lines stay.
    """
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n")
    path.chmod(0o644)
    File(path).deliver([{}], 1.0)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "{}\n{}\n"


def test_half_a_batch_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A full disk takes the beginning: left there, it would be written twice once there is room.
    """
    path = tmp_path / "events.jsonl"
    File(path).deliver([{"n": 1}], 1.0)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    with pytest.raises(Undelivered, match="the disk is full"):
        File(path).deliver([{"n": 2}], 1.0)

    assert path.read_text() == '{"n":1}\n'


def test_a_disk_that_fails_is_a_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And no end of the telemetry.
    """

    def fail(*_arguments: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(Undelivered, match="input/output error"):
        File(tmp_path / "events.jsonl").deliver([{}], 1.0)


def test_no_events_are_no_lines() -> None:
    """
    Not even an empty one.
    """
    assert lines([]) == b""
