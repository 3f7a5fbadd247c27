"""
A budget rehearsed on recorded traffic.
"""

import json
from datetime import timedelta
from pathlib import Path

from savemode_cli.cli.recorded_costs import recorded_costs, recorded_files
from savemode_cli.core.pricing import PriceTable
from savemode_cli.readers.problems import Problems
from tests.builders import a_price
from tests.cli.command import Run, error_line
from tests.core.test_body_replay import a_body
from tests.transcripts import NOON, Transcript, a_session, usage

PRICES = PriceTable([a_price()])


def test_costs_by_time(tmp_path: Path) -> None:
    """
    Of all sessions, each answer once: 3 input, 7 output tokens and what was cached, at Opus 5.5's prices.
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


def test_bodies_with_a_bill(tmp_path: Path) -> None:
    """
    Those without one are named.
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


def test_other_files_are_none(tmp_path: Path) -> None:
    """
    A trace of costs is read as before.
    """
    costs = tmp_path / "costs.jsonl"
    costs.write_text('{"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12"}\n')

    assert recorded_files(str(costs)) == recorded_files("-") == recorded_files(str(tmp_path / "gone")) == []


def test_the_command(savemode: Run, tmp_path: Path) -> None:
    """
    A folder of transcripts against a cap; broken lines are named, prices of one's own count.
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


def test_a_folder_of_nothing(savemode: Run, tmp_path: Path) -> None:
    """
    Is no trace.
    """
    (tmp_path / "empty").mkdir()

    assert "cannot read" in error_line(savemode("simulate-budget", "--budget", "1", "--trace", str(tmp_path / "empty")))
