"""
`savemode replay` on recorded bodies, as a user runs it.
"""

import json
from pathlib import Path

import pytest

from savemode_cli.core.upgrade.edits import revert
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller
from savemode_cli.readers import replayed_bodies as replay_bodies
from savemode_cli.readers.problems import Problems
from tests.core.replay.test_bodies import a_body, conversation
from tests.support.command import Run, error_line, lines
from tests.support.reading import calls


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """
    A file of a conversation with its bills; the lines are in the order in which the answers ended.
    """
    made = []
    for call in conversation([10.0] * 12 + [400.0] * 9):
        assert call.usage is not None
        assert call.started_at is not None
        assert call.ended_at is not None
        usage = {
            "input_tokens": call.usage.tokens.input,
            "cache_creation_input_tokens": call.usage.tokens.write_5m,
            "cache_read_input_tokens": call.usage.tokens.read,
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
    The totals of the upgrader, the grade, the policies.
    """
    done = savemode("replay", str(recorded), "--product", "posthog_code")
    said = lines(done.out)

    assert (done.code, done.err) == (0, "")
    assert said[0].startswith("22 bodies, ")
    assert said[0].endswith(" MB: 22 would change")
    assert said[1] == "  44 of 44 breakpoints upgraded to 1 hour"
    assert "1 session, 22 requests on 2026-11-24" in said
    assert "  hit or miss right  100.0 %  of 21 requests" in said
    assert any(line.startswith("  all 1h") and "-$" in line for line in said)


def test_rows(savemode: Run, recorded: Path) -> None:
    """
    One row for each body, in the order of sending; also as JSON.
    """
    said = lines(savemode("replay", str(recorded), "-v", "--ttl-policy", "always").out)
    data = json.loads(savemode("replay", str(recorded), "-v", "--json").out)

    assert said[0] == "calls.jsonl:2                 claude-opus-5-5       2 of 2 upgraded"
    assert [one["place"] for one in data["bodies"]][:3] == ["calls.jsonl:2", "calls.jsonl:1", "calls.jsonl:3"]
    assert data["upgrades"]["skips"] == {"product": 22}
    assert "bodies" not in json.loads(savemode("replay", str(recorded), "--json").out)


def test_bodies_are_written_as_they_would_be_sent(savemode: Run, recorded: Path, tmp_path: Path) -> None:
    """
    Byte for byte what `serve` would send; undoing the edits gives the recorded bytes.
    """
    folder = tmp_path / "new" / "out"
    assert savemode("replay", str(recorded), "--ttl-policy", "always", "--out", str(folder)).code == 0
    written = sorted(folder.iterdir())
    originals = {call.place: call.body for call in calls(recorded, "bodies", Problems())}

    assert [file.name for file in written][:2] == ["000001-calls.jsonl-2.json", "000002-calls.jsonl-1.json"]
    assert len(written) == 22
    assert {one.stat().st_mode & 0o777 for one in (folder, folder.parent)} == {0o700}
    assert {one.stat().st_mode & 0o777 for one in written} == {0o600}
    for file in written:
        original = originals[f"calls.jsonl:{file.stem.rpartition('-')[2]}"]
        edits = transform(original, Policy("always"), Caller("x", idle_prone=False)).edits
        assert len(edits) == 2
        assert revert(file.read_bytes(), edits) == original


def test_bodies_without_a_bill(savemode: Run, tmp_path: Path) -> None:
    """
    They are upgraded; the output gives no cost, and says why.
    """
    for number in range(3):
        (tmp_path / f"{number}.json").write_bytes(a_body(number + 1))
    said = lines(savemode("replay", str(tmp_path), "--ttl-policy", "always").out)

    assert said[0].endswith("3 would change")
    assert "No matching request has recorded usage." in said
    assert "3 bodies not in the costs: the time of sending was not recorded" in said


def test_a_folder_that_is_in_use_is_left_alone(savemode: Run, recorded: Path, tmp_path: Path) -> None:
    """
    Nothing is overwritten; a write that fails is an error.
    """
    assert "is not empty" in error_line(savemode("replay", str(recorded), "--out", str(recorded.parent)))
    assert "cannot write to" in error_line(savemode("replay", str(recorded), "--out", str(recorded)))


def test_a_disk_that_fills_up(savemode: Run, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error says how many bodies were written.
    """

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replay_bodies, "write_new", full)
    done = savemode("replay", str(recorded), "--out", str(tmp_path / "out"))

    assert "no space left on device" in error_line(done)
    assert "0 bodies were written" in done.err


def test_bodies_beside_the_archive_that_names_them_count_once(savemode: Run) -> None:
    """
    Playwright stores bodies as files next to its archive, and each of them is also a request body by itself.
    """
    from tests.readers.test_har import RECORDERS

    data = json.loads(savemode("replay", str(RECORDERS / "playwright-attach"), "--json").out)

    assert (data["upgrades"]["bodies"], data["copies"], data["ignored_files"]) == (3, 2, 3)
    assert data["bodies_without_cost"] == {}


def test_transcripts_and_bodies_together(savemode: Run, recorded: Path) -> None:
    """
    One report for both.
    """
    from tests.support.transcripts import a_session

    a_session("s", [10]).write(recorded.parent)
    data = json.loads(savemode("replay", str(recorded.parent), "--json").out)

    assert (data["sessions"], data["requests"], data["upgrades"]["bodies"]) == (2, 24, 22)
