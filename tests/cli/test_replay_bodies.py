"""
`savemode replay` on recorded bodies, as a person runs it.
"""

import json
from pathlib import Path

import pytest

from savemode_cli.cli import replay_bodies
from savemode_cli.core.caller import Caller
from savemode_cli.core.transform import Policy, revert, transform
from savemode_cli.readers.bodies import calls
from savemode_cli.readers.problems import Problems
from tests.cli.command import Run, error_line, lines
from tests.core.test_body_replay import a_body, conversation


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """
    A file of a conversation with its bills, lines in the order in which the answers ended.
    """
    made = []
    for call in conversation([10] * 12 + [400] * 9):
        assert call.usage is not None
        assert call.started_at is not None
        assert call.ended_at is not None
        usage = {
            "input_tokens": call.usage.input_tokens,
            "cache_creation_input_tokens": call.usage.cache_write_5m_tokens,
            "cache_read_input_tokens": call.usage.cache_read_tokens,
            "output_tokens": 1,
        }
        around = {"started_at": call.started_at.isoformat(), "ended_at": call.ended_at.isoformat(), "usage": usage}
        made.append(json.dumps(around).encode()[:-1] + b', "body": ' + call.body + b"}\n")
    made[0], made[1] = made[1], made[0]
    path = tmp_path / "recorded" / "calls.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"".join(made))
    return path


def test_bills_are_replayed(savemode: Run, recorded: Path) -> None:
    """
    The upgrader's totals, the grade, the policies.
    """
    done = savemode("replay", str(recorded), "--product", "posthog_code")
    said = lines(done.out)

    assert (done.code, done.err) == (0, "")
    assert said[0].startswith("22 bodies, ")
    assert said[0].endswith(" MB: 22 would change")
    assert said[1] == "  44 of 44 breakpoints raised to 1 hour"
    assert "1 session, 22 requests on 2026-11-24" in said
    assert "  hit or miss right  100.0 %  of 21 requests" in said
    assert any(line.startswith("  all 1h") and line.endswith("cheaper") for line in said)


def test_rows(savemode: Run, recorded: Path) -> None:
    """
    One for each body, in the order of sending; for machines too.
    """
    said = lines(savemode("replay", str(recorded), "-v", "--ttl-policy", "always").out)
    data = json.loads(savemode("replay", str(recorded), "-v", "--json").out)

    assert said[0] == "calls.jsonl:2                 claude-opus-5-5       2 of 2 raised"
    assert [one["place"] for one in data["bodies"]][:3] == ["calls.jsonl:2", "calls.jsonl:1", "calls.jsonl:3"]
    assert data["upgrades"]["skips"] == {"product": 22}
    assert "bodies" not in json.loads(savemode("replay", str(recorded), "--json").out)


def test_bodies_are_written_as_they_would_be_sent(savemode: Run, recorded: Path, tmp_path: Path) -> None:
    """
    Byte for byte what `serve` would send; taking the edits back gives what was recorded.
    """
    folder = tmp_path / "new" / "out"
    assert savemode("replay", str(recorded), "--ttl-policy", "always", "--out", str(folder)).code == 0
    written = sorted(folder.iterdir())
    originals = {call.place: call.body for call in calls(recorded, "bodies", Problems())}

    assert [file.name for file in written][:2] == ["000001-calls.jsonl-2.json", "000002-calls.jsonl-1.json"]
    assert len(written) == 22
    for file in written:
        original = originals[f"calls.jsonl:{file.stem.rpartition('-')[2]}"]
        edits = transform(original, Policy("always"), Caller("x", idle_prone=False)).edits
        assert len(edits) == 2
        assert revert(file.read_bytes(), edits) == original


def test_bodies_without_a_bill(savemode: Run, tmp_path: Path) -> None:
    """
    Go through the upgrader; nothing is said about cost, and why.
    """
    for number in range(3):
        (tmp_path / f"{number}.json").write_bytes(a_body(number + 1))
    said = lines(savemode("replay", str(tmp_path), "--ttl-policy", "always").out)

    assert said[0].endswith("3 would change")
    assert "no request that is wanted has a bill" in said
    assert "3 bodies are in no cost: the time of sending was not recorded" in said


def test_a_folder_that_is_in_use_is_left_alone(savemode: Run, recorded: Path, tmp_path: Path) -> None:
    """
    Nothing is overwritten; what cannot be written is said.
    """
    assert "is not empty" in error_line(savemode("replay", str(recorded), "--out", str(recorded.parent)))
    assert "cannot write to" in error_line(savemode("replay", str(recorded), "--out", str(recorded)))


def test_a_disk_that_fills_up(savemode: Run, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Says how far it came.
    """

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replay_bodies.Path, "write_bytes", full)
    done = savemode("replay", str(recorded), "--out", str(tmp_path / "out"))

    assert "no space left on device" in error_line(done)
    assert "0 bodies were written" in done.err


def test_transcripts_and_bodies_together(savemode: Run, recorded: Path) -> None:
    """
    One report.
    """
    from tests.transcripts import a_session

    a_session("s", [10]).write(recorded.parent)
    data = json.loads(savemode("replay", str(recorded.parent), "--json").out)

    assert (data["sessions"], data["requests"], data["upgrades"]["bodies"]) == (2, 24, 22)
