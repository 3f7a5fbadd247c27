"""
A client's count has no time, so it is placed between the records before and after it.
"""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.recording import Session, StatedCost
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.cost_lines import CostLines
from savemode_cli.readers.files import walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group
from tests.support.command import Run
from tests.support.transcripts import NOON, Transcript, usage

STARTED_MS = 1_795_932_619_903


def count(made: Transcript, dollars: float, **more: object) -> Transcript:
    """
    The line that a client writes at the end of a run, without a time, an ID and a parent.
    """
    line = {"type": "cost-state", "sessionId": made.session, "totalCostUSD": dollars, "startTime": STARTED_MS}
    made.lines.append({**line, "modelUsage": {}, "hasUnknownModelCost": False, "uuid": made.lines[-1]["uuid"], **more})
    return made


def read(folder: Path) -> list[Session]:
    """
    The sessions below a folder.
    """
    ids = Ids()
    return [read_group(group, ids, Problems()) for group in groups(walk([str(folder)]))]


def written(made: Transcript, folder: Path, name: str | None = None) -> Path:
    """
    A file whose counts do not have the ID that connects other lines.
    """
    path = made.write(folder, name)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["type"] == "cost-state":
            del line["uuid"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_count_stands_between_two_records(tmp_path: Path) -> None:
    """
    A count is written twice at the end of a run, and again after a resumed run; the end of a sub-agent does not affect
    it.
    """
    made = Transcript("s").user().answer("1", usage(w5=9))
    count(count(made, 0.5), 0.5).wait(hours=1)
    made.user().answer("2", usage(read=9))
    written(count(made, 0.75, hasUnknownModelCost=True), tmp_path)
    agent = Transcript("s", "a", NOON + timedelta(hours=3)).user().answer("3", usage(w5=9))
    count(agent, 99).write(tmp_path, "s/subagents/agent-a.jsonl")
    (session,) = read(tmp_path)
    first, later = NOON + timedelta(seconds=3), NOON + timedelta(hours=1, seconds=3)

    early = StatedCost(500_000_000, first, first, later, STARTED_MS)
    last = later + timedelta(seconds=3)
    assert session.stated == (early, early, StatedCost(750_000_000, last, last, None, STARTED_MS, certain=False))


def test_a_fork_names_its_origin(tmp_path: Path) -> None:
    """
    The fork also has the end of the last answer that it copies from the main conversation.
    """
    origin = Transcript("a").user().answer("1", usage(w5=9)).user().answer("2", usage(read=9))
    origin.write(tmp_path)
    fork = Transcript("a").user().answer("1", usage(w5=9))
    fork.session = "b"
    fork.wait(hours=1).user().answer("3", usage(read=9)).write(tmp_path)
    first, second = read(tmp_path)

    assert (first.copied, second.copied) == ((), (("a", NOON + timedelta(seconds=3)),))


@pytest.mark.parametrize("dollars", [-1, 1e12, None])
def test_implausible_counts_are_ignored(dollars: float | None, tmp_path: Path) -> None:
    """
    They are ignored.
    """
    made = Transcript("s").user().answer("1", usage(w5=9))
    written(count(made, 0, totalCostUSD=dollars), tmp_path)

    assert read(tmp_path)[0].stated == ()


def test_a_count_of_another_form_is_not_an_answer(tmp_path: Path) -> None:
    """
    It is ignored, and the rest of the file is read.
    """
    made = Transcript("s").user().answer("1", usage(w5=9))
    written(count(made, 0, totalCostUSD="much").user().answer("2", usage(read=9)), tmp_path)
    (session,) = read(tmp_path)

    assert (session.stated, len(session.requests)) == ((), 2)


def test_a_count_alone_has_no_time() -> None:
    """
    It is left out. The time of a later record is used if there is no earlier one; an impossible time is not used.
    """
    lines = CostLines()
    lines.take(b'{"totalCostUSD":1}')
    assert lines.stated() == ()
    lines.record(NOON.replace(year=1))
    assert lines.stated() == ()
    lines.record(NOON)
    assert lines.stated() == (StatedCost(1_000_000_000, NOON, None, NOON, None),)
    with pytest.raises(msgspec.DecodeError):
        lines.take(b"{")


@given(st.integers(0, 10**13))
def test_dollars_to_the_nano_dollar(nusd: int) -> None:
    """
    A double has more digits than nano-dollars need.
    """
    lines = CostLines()
    lines.record(NOON)
    lines.take(json.dumps({"totalCostUSD": nusd / 1e9}).encode())

    assert lines.stated()[0].total_nusd == nusd


@pytest.fixture
def a_week(tmp_path: Path) -> Path:
    """
    The files of Claude Code 2.1.332 for a session of two runs with a compaction after them, which is resumed, and for a
    fork of it, made after the compaction, with a run and a compaction of its own.

    Opus 5.5 costs $4, $20, $5 and $0.20 per million tokens. The answers cost 120 + 5000 + 140 (thousand nano-dollars),
    then 120 + 200 + 140; the origin's compaction costs half a cent, the fork's a quarter.
    """
    folder = tmp_path / "projects"
    first, next_ = {"w5": 1000, "plain": 30}, {"read": 1000, "plain": 30}
    origin = Transcript("a").user().answer("1", usage(**first))
    count(origin, 0.00526).wait(minutes=1)
    origin.user().answer("2", usage(**next_))
    count(origin, 0.00572).wait(minutes=1)
    count(origin.user("/compact"), 0.01072).wait(minutes=1)
    shared = len(origin.lines)
    origin.user().answer("3", usage(**next_))
    written(count(origin, 0.01118), folder)
    fork = Transcript("b", at=origin.at)
    fork.lines = [{**line, "sessionId": "b"} for line in origin.lines[2:shared] if line["type"] != "cost-state"]
    fork.wait(minutes=5).user().answer("4", usage(**next_))
    written(count(fork, 0.01368), folder)
    return folder


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_compactions_cost(savemode: Run, a_week: Path, jobs: str) -> None:
    """
    Three quarters of a cent: each compaction once, and the fork's count is not added to its origin's.
    """
    bill = json.loads(savemode("replay", str(a_week), "--json", "--jobs", jobs).out)["bill"]

    assert bill["cost_state_only_nusd"] == 7_500_000
    assert bill["total_nusd"] == 5_260_000 + 3 * 460_000 + 7_500_000
    assert bill["cost_state_only_share"] == pytest.approx(7_500_000 / bill["total_nusd"])


def test_a_trace_has_them_too(savemode: Run, a_week: Path) -> None:
    """
    At the time of the count: both commands show the same bill.
    """
    bill = json.loads(savemode("replay", str(a_week), "--json").out)["bill"]
    trace = json.loads(savemode("simulate-budget", "--budget", "1", "--trace", str(a_week), "--json").out)

    assert sum(window["offered_nusd"] for window in trace["windows"]) == bill["total_nusd"]


def test_other_prices_change_no_count(savemode: Run, a_week: Path, tmp_path: Path) -> None:
    """
    The client uses the prices of the price page, whatever the user pays.
    """
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "claude-opus-5-5"\ninput = 2\noutput = 10\n')
    bill = json.loads(savemode("replay", str(a_week), "--json", "--price-file", str(prices)).out)["bill"]

    assert bill["cost_state_only_nusd"] == 7_500_000


@pytest.mark.parametrize("words", [["--since", "2026-11-24"], ["--model", "opus"], ["--session", "a"]])
def test_a_part_of_a_record_has_no_count(savemode: Run, a_week: Path, words: list[str]) -> None:
    """
    The lines have no times, and count the whole record.
    """
    assert json.loads(savemode("replay", str(a_week), "--json", *words).out)["bill"]["cost_state_only_nusd"] == 0


def test_a_fork_that_only_compacts(savemode: Run, tmp_path: Path) -> None:
    """
    It has no answer of its own, so it is not a session with requests.
    """
    folder = tmp_path / "projects"
    origin = Transcript("a").user().answer("1", usage(w5=1000, plain=30))
    written(count(origin, 0.00526), folder)
    fork = Transcript("b", at=origin.at)
    fork.lines = [{**line, "sessionId": "b"} for line in origin.lines[:-1]]
    written(count(fork.user("/compact"), 0.01026), folder)
    data = json.loads(savemode("replay", str(folder), "--json").out)

    assert (data["sessions"], data["requests"], data["copies"]) == (1, 1, 1)
    assert data["bill"]["cost_state_only_nusd"] == 5_000_000


def test_a_model_without_a_price(savemode: Run, tmp_path: Path) -> None:
    """
    The counts cannot be compared, and the output says so.
    """
    made = Transcript("s").user().answer("1", usage(w5=9), model="claude-unknown")
    written(count(made, 1), tmp_path / "projects")
    done = savemode("replay", str(tmp_path / "projects"))
    bill = json.loads(savemode("replay", str(tmp_path / "projects"), "--json").out)["bill"]

    assert "cost-state lines of 1 session are left out: the price of a model is unknown" in " ".join(done.out.split())
    assert (bill["cost_state_only_nusd"], bill["cost_state_not_compared_sessions"]) == (0, 1)
