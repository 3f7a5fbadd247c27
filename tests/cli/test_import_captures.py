"""
`savemode captures import`, as a person runs it.
"""

import json
from pathlib import Path

import pytest

from tests.support.command import Run, error_line, lines
from tests.support.recording_client import a_recording_session
from tests.support.transcripts import a_session


@pytest.fixture
def transcripts(tmp_path: Path) -> Path:
    """
    A session that records its requests, one that lost a message, and one of an older client.
    """
    folder = tmp_path / "projects" / "work"
    a_recording_session()[0].write(folder)
    broken, _ = a_recording_session(name="two")
    broken.lines = [line for line in broken.lines if line["type"] != "api-request-blob"]
    broken.write(folder)
    a_session("three", [10]).write(folder)
    return folder.parent


def test_requests_are_stored_once(savemode: Run, transcripts: Path, tmp_path: Path) -> None:
    """
    They can be listed, shown and replayed; the second time nothing is new; what is left out is said.
    """
    store = str(tmp_path / "store")
    done = savemode("captures", "import", str(transcripts), "--dir", store)

    assert (done.code, done.out) == (0, "")
    assert f"3 requests of 1 session imported into {store}" in done.err
    assert "1 session left out: no requests are recorded" in done.err
    assert "1 session left out: two.jsonl:" in done.err
    assert "3 exchanges of 1 session" in savemode("captures", "list", "--dir", store).out
    shown = lines(savemode("captures", "show", "2", "--diff", "--dir", store).out)
    assert "capture 2  against capture 1" in shown
    assert "3 requests on 2026-11-29" in savemode("replay", store).out
    again = json.loads(savemode("captures", "import", str(transcripts), "--dir", store, "--json").out)
    assert again == {
        "schema_version": 1,
        "imported": 0,
        "already_stored": 3,
        "without_answer": 0,
        "sessions": 1,
        "sessions_without_requests": 1,
        "sessions_incomplete": 1,
        "problems": again["problems"],
    }
    assert again["problems"][0].startswith("two.jsonl:")


def test_nothing_to_import_makes_no_store(savemode: Run, transcripts: Path, tmp_path: Path) -> None:
    """
    Nor does something that is no transcript.
    """
    store = tmp_path / "store"
    done = savemode("captures", "import", str(transcripts / "work" / "three.jsonl"), "--dir", str(store))
    (tmp_path / "body.json").write_text('{"model": "m", "messages": []}')

    assert done.code == 0
    assert done.err.startswith("0 requests of 0 sessions imported")
    assert not store.exists()
    assert "no transcripts" in error_line(savemode("captures", "import", str(tmp_path / "body.json")))
    assert "no such file or folder" in error_line(savemode("captures", "import", str(tmp_path / "absent")))
