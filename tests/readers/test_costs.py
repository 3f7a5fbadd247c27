"""
A simulated budget on recorded traffic.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.readers.costs import recorded_costs, recorded_files
from savemode_cli.readers.problems import Problems
from tests.builders import a_price
from tests.core.replay.test_bodies import a_body
from tests.support.command import Run, error_line
from tests.support.recorded import TRACES
from tests.support.transcripts import NOON, Transcript, a_session, usage

PRICES = PriceTable([a_price()])


def test_costs_by_time(tmp_path: Path) -> None:
    """
    Each answer of all sessions once: 3 input, 7 output and the cached tokens, at Opus 5.5's prices.
    """
    Transcript("late").wait(hours=1).user().answer("1", usage(read=100_000)).write(tmp_path)
    early = Transcript("early").user().answer("2", usage(w1=1000))
    early.write(tmp_path)
    early.write(tmp_path, "copy.jsonl")
    problems = Problems()
    found = recorded_costs(recorded_files(str(tmp_path)), PRICES, problems)

    assert [(one.at, one.cost_nusd, one.duration) for one in found] == [
        (NOON, 3 * 4000 + 1000 * 8000 + 7 * 20_000, timedelta(seconds=3)),
        (NOON + timedelta(hours=1), 3 * 4000 + 100_000 * 200 + 7 * 20_000, timedelta(seconds=3)),
    ]
    assert problems.count == 0


def test_progress_reports_every_byte(tmp_path: Path) -> None:
    """
    At the end, all bytes of every kind of file are reported.
    """
    Transcript("s").user().answer("1", usage(read=100_000)).write(tmp_path)
    (tmp_path / "more.jsonl").write_bytes((tmp_path / "s.jsonl").read_bytes().replace(b'"s"', b'"t"'))
    files = recorded_files(str(tmp_path))
    read: list[int] = []
    recorded_costs(files, PRICES, Problems(), advance=read.append)

    assert sum(read) == sum(path.stat().st_size for path, _ in files) > 0


def test_replay_and_simulate_budget_show_the_same_bill(savemode: Run, tmp_path: Path) -> None:
    """
    Including output, web searches, an advisor and a sub-agent.
    """
    folder = tmp_path / "projects"
    made = a_session("s", [600, 10])
    beside = {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 9000, "output_tokens": 80}
    made.answer(
        "advised", usage(w5=9, out=70) | {"iterations": [beside], "server_tool_use": {"web_search_requests": 2}}
    )
    made.write(folder)
    Transcript("s", "a1").user().answer("agent", usage(w1=700)).write(folder, "s/subagents/workflows/w/agent-a1.jsonl")
    whole = json.loads(savemode("replay", str(folder), "--json").out)["bill"]
    trace = json.loads(savemode("simulate-budget", "--budget", "1", "--trace", str(folder), "--json").out)

    assert whole["total_nusd"] == whole["prompts_nusd"] + whole["output_nusd"]
    assert whole["total_nusd"] == sum(window["offered_nusd"] for window in trace["windows"])
    assert whole["prompts_beside_answers_nusd"] == 9000 * 5000


@pytest.mark.skipif(not TRACES.exists(), reason="needs recorded traffic")
@pytest.mark.parametrize("name", ["entireio-cli", "marot-spotter"])
def test_the_two_commands_agree_on_recorded_traffic(name: str, savemode: Run) -> None:
    """
    They agree to the nano-dollar.
    """
    folder = str(TRACES / "transcripts" / name)
    whole = json.loads(savemode("replay", folder, "--json").out)["bill"]
    trace = json.loads(savemode("simulate-budget", "--budget", "1", "--trace", folder, "--json").out)

    assert whole["total_nusd"] == sum(window["offered_nusd"] for window in trace["windows"])


def test_bodies_with_a_bill(tmp_path: Path) -> None:
    """
    Bodies without a bill are listed.
    """
    around = {"started_at": "2026-11-24T12:00:00Z", "usage": {"input_tokens": 10, "output_tokens": 1}}
    rows = [{**around, "body": json.loads(a_body(1))}, {"body": {}, "usage": around["usage"]}, {"body": {}}]
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = Problems()
    (one,) = recorded_costs(recorded_files(str(tmp_path)), PRICES, problems)

    assert (one.at, one.cost_nusd, one.duration) == (NOON, 10 * 4000 + 20_000, timedelta())
    assert [str(problem) for problem in problems.named] == [
        "calls.jsonl:2: no time was recorded",
        "calls.jsonl:3: no usage was recorded",
    ]


def test_trace_of_costs_is_not_recorded_traffic(tmp_path: Path) -> None:
    """
    A trace of costs is read as before.
    """
    costs = tmp_path / "costs.jsonl"
    costs.write_text('{"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12"}\n')

    assert recorded_files(str(costs)) == recorded_files("-") == recorded_files(str(tmp_path / "gone")) == []


def test_the_command(savemode: Run, tmp_path: Path) -> None:
    """
    A folder of transcripts with a cap; invalid lines are listed, and configured prices are used.
    """
    folder = tmp_path / "projects"
    path = a_session("s", [600] * 9).write(folder)
    path.write_text(path.read_text() + "{\n")
    done = savemode("simulate-budget", "--budget", "1", "--trace", str(folder), "--json")
    data = json.loads(done.out)

    assert (done.code, data["windows"][0]["requests"], data["would_refuse"]) == (0, 10, True)
    assert data["malformed"] == [{"line": 30, "problem": "s.jsonl: not JSON"}]
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "claude-opus-5-5"\ninput = 0.01\noutput = 0.02\n')
    cheap = savemode("simulate-budget", "--budget", "1", "--trace", str(folder), "--json", "--price-file", str(prices))
    assert json.loads(cheap.out)["would_refuse"] is False


def test_an_empty_folder(savemode: Run, tmp_path: Path) -> None:
    """
    An empty folder is not a trace.
    """
    (tmp_path / "empty").mkdir()

    assert "cannot read" in error_line(savemode("simulate-budget", "--budget", "1", "--trace", str(tmp_path / "empty")))
