"""
`savemode report`, as a person runs it.
"""

import csv
import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.ledgers import open_ledger
from tests.readers.test_billed import store_at, with_progress
from tests.support.command import Run, error_line, lines
from tests.support.transcripts import Transcript, a_session, usage


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """
    A folder of ten sessions with pauses, and one with sub-agents.
    """
    folder = tmp_path / "projects"
    for number in range(10):
        a_session(f"session-{number}", [600, 700, 10, 800]).write(folder / "-home-me-work")
    return with_progress(folder)


def test_overview(savemode: Run, recorded: Path) -> None:
    """
    On 80 columns, nothing on stderr.
    """
    done = savemode("report", str(recorded), "--since", "2026-11-24", "--until", "2026-11-24")

    shown = lines(done.out)
    assert (done.code, done.err) == (0, "")
    assert shown[0] == "spend from Tue 2026-11-24 00:00 to Wed 2026-11-25 00:00 (UTC)"
    assert shown[1] == "from Claude Code transcripts (12 files)"
    assert any(line.startswith("requests") and "53  11 sessions" in line for line in shown)


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("day", ["2026-11-24"]),
        ("week", ["2026-11-23"]),
        ("month", ["2026-11"]),
        ("project", ["-home-me-work", "/home/me/src/work"]),
        ("model", ["claude-opus-5-5"]),
        ("agent", ["", "both", "inside"]),
    ],
)
def test_groups(savemode: Run, recorded: Path, by: str, keys: list[str]) -> None:
    """
    By everything that it can be grouped by, with the same total, in JSON and in CSV.
    """
    report = json.loads(savemode("report", str(recorded), "--by", by, "--json").out)
    rows = list(csv.DictReader(io.StringIO(savemode("report", str(recorded), "--by", by, "--csv").out)))

    groups = report["groups"][by]
    assert sorted(group[by] for group in groups) == keys
    assert sum(group["cost_nusd"] for group in groups) == report["total"]["cost_nusd"]
    assert sum(int(row["requests"]) for row in rows) == report["total"]["requests"] == 53


def test_one_bill(savemode: Run, recorded: Path) -> None:
    """
    `replay` and `report` tell of the same dollars.
    """
    bill = json.loads(savemode("replay", str(recorded), "--json").out)["bill"]
    report = json.loads(savemode("report", str(recorded), "--by", "session", "--json").out)

    assert report["total"]["cost_nusd"] == bill["total_nusd"]


def test_own_transcripts_then_captures_then_the_ledger(savemode: Run) -> None:
    """
    Without a path: what there is, in that order.
    """
    config, data = Path(os.environ["CLAUDE_CONFIG_DIR"]), Path(os.environ["XDG_DATA_HOME"])
    assert error_line(savemode("report")).startswith(
        "error: nothing is recorded: no transcripts, no captures, and no ledger at "
    )

    now = datetime.now(UTC)
    ledger = open_ledger(f"sqlite:///{Path('ledger.db').absolute()}")
    for number in range(2):
        hold = Hold(f"h{number}", ("k",), 5, now + timedelta(hours=1), "claude-opus-5-5")
        reserve(ledger, hold, (), now)
        settle(ledger, hold.id, 10**9, "reported", now)
    ledger.close()
    shown = savemode("report", "--ledger", "sqlite:///ledger.db", "--by", "day").out
    assert " ".join(shown.split()).count("tokens read cost missed") == 1
    assert shown.splitlines()[-1].split()[3:5] == ["-", "-"], "a ledger does not know tokens"
    charged = json.loads(savemode("report", "--ledger", "sqlite:///ledger.db", "--json").out)
    assert (charged["total"]["requests"], charged["total"]["cost_usd"]) == (2, "2.000000000")
    assert charged["files"] == {"the ledger": 1}

    store_at(data / "savemode" / "captures")
    captured = json.loads(savemode("report", "--by", "day", "--json").out)
    assert captured["files"] == {"savemode captures": 1}

    Transcript("s", at=now).user().answer("1", usage()).write(config / "projects" / "-home-me-work")
    own = json.loads(savemode("report", "--json").out)
    assert (own["files"], own["total"]["requests"]) == ({"Claude Code transcripts": 1}, 1)


def test_the_last_seven_days(savemode: Run, tmp_path: Path) -> None:
    """
    Are the default, compared with the same time before; older requests are named.
    """
    now = datetime.now(UTC)
    for name, days in (("new", 0), ("old", 10)):
        Transcript(name, at=now - timedelta(days=days)).user().answer(name, usage(w5=10_000)).write(tmp_path / "p")
    report = json.loads(savemode("report", str(tmp_path / "p"), "--json").out)

    assert (report["total"]["requests"], report["before"]["requests"]) == (1, 1)
    assert "0 % more than in the same time before" in savemode("report", str(tmp_path / "p")).out


def test_html(savemode: Run, recorded: Path) -> None:
    """
    A file beside the answer; one that cannot be written is an error.
    """
    done = savemode("report", str(recorded), "--since", "2026-11-24", "--html", "report.html")

    assert done.code == 0
    assert "-home-me-work" in Path("report.html").read_text()
    missing = savemode("report", str(recorded), "--html", "no/such/folder.html")
    assert error_line(missing).startswith("error: cannot write no/such/folder.html: there is no folder no/such")


def test_a_page_that_cannot_be_written_is_refused_before_reading(
    savemode: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Reading may take a minute.
    """
    monkeypatch.setattr("savemode_cli.cli.report._report", None)
    for name in ("no/such/folder.html", str(recorded)):
        assert error_line(savemode("report", str(recorded), "--html", name)).startswith(f"error: cannot write {name}: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "person"], "--by must be one of day, week, month, project, model, session, agent (got 'person')"),
        (["--since", "soon"], "--since 'soon' is not a day or a time"),
        (["--since", "2026-11-24", "--until", "2026-11-23"], "--until is not after --since"),
        (["--timezone", "Mars"], "--timezone 'Mars' is not a time zone"),
        (["--json", "--csv"], "--json and --csv cannot be used together"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["empty"], "empty: no recorded traffic there"),
        (["--ledger", "sqlite:///none.db"], "no ledger at none.db"),
    ],
)
def test_mistakes(savemode: Run, words: list[str], said: str) -> None:
    """
    One line that says what is wrong, before anything is read.
    """
    Path("empty").mkdir()

    assert said in error_line(savemode("report", *words))
