"""
`savemode auto`: what is known can be shown, taught and deleted.
"""

import json
from pathlib import Path

import pytest

from savemode_cli.config.folders import user_state
from tests.support.command import Run, error_line
from tests.support.transcripts import a_session


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """
    A folder with a transcript.
    """
    folder = tmp_path / "projects" / "-home-me-work"
    a_session("session-0", [600, 700, 10, 800]).write(folder)
    return folder.parent


def test_nothing_is_known(savemode: Run) -> None:
    """
    What is chosen then is shown.
    """
    done = savemode("auto", "show")

    assert done.code == 0
    assert "conversations     0        -        -        -  1h" in done.out
    assert "nothing is known of your pauses yet" in done.out
    assert json.loads(savemode("auto", "show", "--json").out) == {"schema_version": 1, "persons": []}
    assert savemode("auto", "forget").err.splitlines() == ["nothing was known"]


def test_learn_show_forget(savemode: Run, record: Path) -> None:
    """
    Learning the same twice changes nothing, and nothing of the record but amounts is kept.
    """
    done = savemode("auto", "learn", str(record))
    first = json.loads(savemode("auto", "show", "--json").out)
    savemode("auto", "learn", str(record))

    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("learned from 1 session;")
    assert first == json.loads(savemode("auto", "show", "--json").out)
    (person,) = first["persons"]
    assert person["situations"]["start"]["runs"] == 1
    assert person["situations"]["start"]["with_5m_nusd"] > 0
    assert "session-0" not in (user_state() / "auto.json").read_text()
    assert savemode("auto", "forget").err.splitlines() == ["forgotten"]
    assert json.loads(savemode("auto", "show", "--json").out)["persons"] == []


def test_persons(savemode: Run, record: Path) -> None:
    """
    Each has a history of their own.
    """
    savemode("auto", "learn", str(record), "--person", "alice")
    savemode("auto", "learn", str(record))

    assert "the latest runs of alice, and what is chosen next" in savemode("auto", "show", "--person", "alice").out
    assert savemode("auto", "forget", "--person", "alice").err.splitlines() == ["forgotten of alice"]
    assert [one["person"] for one in json.loads(savemode("auto", "show", "--json").out)["persons"]] == [""]


def test_what_cannot_be(savemode: Run, tmp_path: Path) -> None:
    """
    One line each, with a way out.
    """
    (tmp_path / "empty").mkdir()
    assert "no recorded traffic" in error_line(savemode("auto", "learn", str(tmp_path / "empty")))
    assert error_line(savemode("auto", "forget", "--person", "bob")).startswith("error: nothing is known of bob")
    (user_state()).mkdir(parents=True, exist_ok=True)
    (user_state() / "auto.json").write_text("not JSON")
    assert "is damaged" in error_line(savemode("auto", "show"))
    assert savemode("auto", "forget").err.splitlines() == ["forgotten"]
    assert savemode("auto", "show").code == 0
