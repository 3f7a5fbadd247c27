"""
`savemode report --trial`: its file, its options and its errors. `tests/proxy/test_trial.py` plays trials.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.config.folders import user_state
from savemode_cli.core.exchange.trial import TrialRequest
from savemode_cli.core.upgrade.hold_out import GROUPS
from savemode_cli.proxy.trial_file import TrialFile
from tests.support.command import Run, error_line

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_without_a_trial(savemode: Run) -> None:
    """
    It says how to begin one, and that is no error.
    """
    done = savemode("report", "--trial")

    assert "savemode run --save --hold-out 0.1 -- claude" in done.out
    assert done.code == 0


def test_a_span(savemode: Run) -> None:
    """
    Sessions count by the day of their beginning.
    """
    TrialFile(user_state() / "trial.jsonl").add(
        TrialRequest(f"{group} {day}", group, NOON + timedelta(days=day), 1000, 500)
        for group in GROUPS
        for day in range(9)
    )
    result = json.loads(savemode("report", "--trial", "--since", "2026-11-25", "--until", "2026-11-30", "--json").out)

    assert [group["sessions"] for group in result["groups"].values()] == [6, 6]
    assert result["difference_nusd"] == 0
    assert "--until is not after" in savemode("report", "--trial", "--since", "2026-11-25", "--until", "2026-11-24").err


def test_damaged_lines_are_named(savemode: Run) -> None:
    """
    In a line of their own, and in JSON.
    """
    user_state().mkdir(parents=True)
    (user_state() / "trial.jsonl").write_text("{\n")

    assert "1 damaged lines of" in savemode("report", "--trial").err
    assert json.loads(savemode("report", "--trial", "--json").out)["malformed_lines"] == 1


@pytest.mark.parametrize("words", [("PATH",), ("--by", "day"), ("--csv",), ("--html", "a.html")])
def test_what_a_trial_does_not_take(savemode: Run, words: tuple[str, ...]) -> None:
    """
    One clear error.
    """
    assert "exclude each other" in error_line(savemode("report", "--trial", *words))
