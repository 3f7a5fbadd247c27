"""
`savemode why`, as a person runs it.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.exchange.observed import Content
from tests.builders import a_capture_of, a_usage, an_observed
from tests.support.command import Run, error_line
from tests.support.prompts import MARK, MODEL, encoded, text, user
from tests.support.transcripts import a_session

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def body(day: int, **more: Any) -> dict[str, Any]:
    """
    A request with a date in its system prompt.
    """
    system = [text(f"You are good. Today is 2026-11-{day}. " + "Read it all. " * 600, **MARK)]
    return {"model": MODEL, "max_tokens": 9, "system": system, "messages": [user(text("Hello."))], **more}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """
    A file of three requests: the second is the first one of a new day, the third comes too late.
    """
    rows = [(0, 24, {"cache_creation_input_tokens": 5000}), (2, 25, {"cache_creation_input_tokens": 5000})]
    rows += [(20, 25, {"cache_creation_input_tokens": 5000})]
    lines = [
        {"started_at": f"2026-11-24T12:{minute:02d}:00Z", "usage": {"input_tokens": 4, **usage}, "body": body(day)}
        for minute, day, usage in rows
    ]
    file = tmp_path / "calls.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def test_the_dearest_first_with_the_byte(savemode: Run, recorded: Path) -> None:
    """
    What it cost, the place, what changed there, the sums, and what to do.
    """
    done = savemode("why", str(recorded))

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 requests cost $0.0750; $0.0480 of it was paid again,\nfor 10,000 of 10,000 tokens")
    assert "system_changed at system[0].text: edited, only numbers, dates or IDs" in done.out
    assert "- ...good. Today is 2026-11-24. Read" in done.out
    assert "+ ...good. Today is 2026-11-25. Read" in done.out
    assert "expired at system[0]: idle for 17 min, cached for 5m; 1h would have been long enough" in done.out
    assert done.out.index("what to do") < done.out.index("system_changed  Move what changes")


def test_for_machines(savemode: Run, recorded: Path) -> None:
    """
    The sums are those of the rows, to the token and the nano-dollar.
    """
    report = json.loads(savemode("why", str(recorded), "--json").out)
    rows, causes = report["rows"], report["causes"]

    assert [row["misses"][0]["cause"] for row in rows] == ["system_changed", "expired"]
    assert sum(cause["missed_tokens"] for cause in causes) == report["missed_tokens"] == 10_000
    assert sum(cause["cost_nusd"] for cause in causes) == report["missed_nusd"]
    assert sum(row["cost_nusd"] for row in rows) == report["missed_nusd"]
    assert rows[0]["compared_with"] == "calls.jsonl:1"
    assert rows[0]["difference"]["after"].startswith("...good. Today is 2026-11-25")


def test_without_text(savemode: Run, recorded: Path) -> None:
    """
    Nothing of what was said is shown.
    """
    assert "Today is" in savemode("why", str(recorded)).out
    assert "Today is" not in savemode("why", str(recorded), "--no-text").out
    assert "Today is" not in savemode("why", str(recorded), "--no-text", "--json").out


def test_fewer(savemode: Run, recorded: Path) -> None:
    """
    The dearest, and those from a time on; what came before is compared with all the same.
    """
    one = savemode("why", str(recorded), "--top", "1").out
    assert "and 1 more; --top 0 shows all" in one
    assert "\n2. " not in one
    late = json.loads(savemode("why", str(recorded), "--since", "2026-11-24T12:10", "--json").out)

    assert (late["requests"], [row["misses"][0]["cause"] for row in late["rows"]]) == (1, ["expired"])


@pytest.mark.parametrize(
    ("words", "code"),
    [((), 0), (("--check",), 1), (("--check", "--budget", "0.04"), 1), (("--check", "--budget", "0.05"), 0)],
)
def test_check(savemode: Run, recorded: Path, words: tuple[str, ...], code: int) -> None:
    """
    It exits with 1 if more was missed than the budget allows.
    """
    assert savemode("why", str(recorded), *words).code == code


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--budget", "5"), "--budget without --check"),
        (("--check", "--budget", "-5"), "is not an amount"),
        (("--since", "yesterday"), "--since 'yesterday'"),
        (("nowhere.jsonl",), "'nowhere.jsonl' is not a file, and there are no captures"),
        ((), "there are no captures"),
    ],
)
def test_mistakes(savemode: Run, words: tuple[str, ...], problem: str) -> None:
    """
    One line with a way out.
    """
    assert problem in error_line(savemode("why", *words))


def test_no_traffic(savemode: Run, tmp_path: Path) -> None:
    """
    A folder without records is a mistake; records without bills are counted.
    """
    (tmp_path / "notes.md").write_text("not ours")
    assert "no recorded traffic" in error_line(savemode("why", str(tmp_path)))
    (tmp_path / "body.json").write_bytes(encoded(body(24)))

    out = savemode("why", str(tmp_path)).out
    assert out.startswith("No request with a bill was found.")
    assert "left out: 1 (the time of sending was not recorded)" in out


def test_transcripts(savemode: Run, tmp_path: Path) -> None:
    """
    Usage and times show what they can, and it says so.
    """
    a_session("one", [600, 10]).write(tmp_path)
    done = savemode("why", str(tmp_path))

    assert done.code == 0
    assert "session one" in done.out
    assert "expired: idle for 10 min, cached for 5m; 1h would have been long enough" in done.out
    assert "only usage and times are known" in done.out


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """
    Captures of two sessions; the second misses.
    """
    folder = tmp_path / "captures"
    folder.mkdir(mode=0o700)
    kept = CaptureStore.make(folder)
    rows = [("old", 0, 24), ("old", 1, 25), ("new", 60, 25), ("new", 62, 26)]
    for number, (session, minute, day) in enumerate(rows, 1):
        start = NOON + timedelta(minutes=minute)
        named = body(day, metadata={"user_id": json.dumps({"session_id": session})})
        observed = an_observed(
            content=Content((), encoded(named)),
            id=f"req_sm_{number:020x}",
            started_at=start,
            usage=a_usage(4, 5000, 0, 0, 5),
            session=f"key-{session}",
        )
        kept.append(a_capture_of(observed))
    kept.close()
    return folder


@pytest.mark.parametrize(
    ("words", "requests", "places"),
    [
        ((), 2, [4]),
        (("2",), 1, [2]),
        ((f"req_sm_{4:020x}",), 1, [4]),
        (("old",), 2, [2]),
        (("key-new",), 2, [4]),
        (("1", "4"), 2, [4]),
    ],
)
def test_captures(savemode: Run, store: Path, words: tuple[str, ...], requests: int, places: list[int]) -> None:
    """
    The last session; an exchange by number or ID; a session by the beginning of its key.
    """
    report = json.loads(savemode("why", *words, "--dir", str(store), "--json").out)

    assert report["requests"] == requests
    assert [row["place"].rpartition(" ")[2] for row in report["rows"]] == [str(place) for place in places]


def test_an_exchange_that_is_not_there(savemode: Run, store: Path) -> None:
    """
    It says where to look.
    """
    assert "no such file, exchange or session" in error_line(savemode("why", "99", "--dir", str(store)))
