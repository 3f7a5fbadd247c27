"""
Sessions of transcripts, replayed by their requests where these are recorded, and by usage and times where they are not.
"""

import json
import shutil
from datetime import timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import Settings
from savemode_cli.core.replay.bodies import Judged
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.core.replay.report import summed
from savemode_cli.core.wire.usage import Tokens
from savemode_cli.prices import load_prices
from savemode_cli.readers.files import readable, walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.rebuilt import rebuilt_sessions
from savemode_cli.readers.replayed_files import (
    OTHER_BILL,
    ReplayedFiles,
    bytes_to_read,
    replay_files,
    requests_in_order,
)
from savemode_cli.readers.sessions import Work
from savemode_cli.readers.transcript_files import groups
from tests.support.command import Run, lines
from tests.support.prompts import Object, text, user
from tests.support.recording_client import NOON, RecordingSession, a_recording_session
from tests.support.transcripts import a_session


def replay(folder: Path, seen: list[Judged] | None = None, **wanted: Any) -> ReplayedFiles:
    """
    What is below a folder; all of it is told of.
    """
    files = list(readable(walk([str(folder)])))
    told: list[int] = []
    work = Work(partial(load_prices, None), Wanted(**wanted), idle_prone=False)
    judged = [] if seen is None else seen
    done = replay_files(files, Settings(), work, None, Problems(), told.append, judged.append)
    assert sum(told) == bytes_to_read(files)
    return done


def without_records(session: RecordingSession) -> RecordingSession:
    """
    The same session as an older client wrote it.
    """
    session.lines = [line for line in session.lines if not line["type"].startswith("api-")]
    return session


def test_the_bill_is_the_same_both_ways(tmp_path: Path) -> None:
    """
    Requests, tokens and dollars of what was recorded; but only the requests have breakpoints.
    """
    a_recording_session()[0].write(tmp_path / "new")
    without_records(a_recording_session()[0]).write(tmp_path / "old")
    new, old = replay(tmp_path / "new"), replay(tmp_path / "old")
    one, other = summed(new.sessions), summed(old.sessions)

    assert one.requests == other.requests == 3
    assert one.estimate("recorded").tokens == other.estimate("recorded").tokens
    assert one.bill == other.bill
    assert [way.by_requests for way in (*new.ways, *old.ways)] == [True, False]
    assert (old.bodies, [session.by_requests for session in new.sessions]) == (None, [True])
    assert new.bodies is not None
    assert (new.bodies.upgrades.bodies, new.bodies.upgrades.breakpoints) == (3, 6)


def test_an_hour_is_priced_by_breakpoints(tmp_path: Path) -> None:
    """
    After a pause of ten minutes an hour would have read what was written anew: all of it, as the hashes show.
    """
    session, _ = a_recording_session()
    session.at += timedelta(minutes=10)
    session.said(user(text("Once more.")))
    session.ask([text("Gladly.")], 0, 3950)
    session.write(tmp_path)
    (done,) = replay(tmp_path).sessions
    hour = done.total["1h"].expected_tokens(Fraction(0))

    assert (hour.write_5m_tokens, hour.read_tokens) == (0, 3000 + 3900 + 3920)


def test_a_changed_prompt_is_not_rescued(tmp_path: Path) -> None:
    """
    The same pause after a change of the system prompt: no TTL would have helped.
    """
    session, _ = a_recording_session()
    session.at += timedelta(minutes=10)
    session.system = session.system.replace("Monday", "Tuesday")
    session.said(user(text("Once more.")))
    session.ask([text("Gladly.")], 0, 3950)
    session.write(tmp_path)
    (done,) = replay(tmp_path).sessions

    assert done.total["1h"].expected_tokens(Fraction(0)).read_tokens == 3000 + 3900


def test_each_session_goes_one_way(tmp_path: Path) -> None:
    """
    One that records its requests, one that lost a message, one of an older client; each counts once.
    """
    a_recording_session()[0].write(tmp_path)
    broken, _ = a_recording_session(name="two", at=NOON + timedelta(hours=1))
    broken.lines = [line for line in broken.lines if line["type"] != "api-request-blob"]
    broken.write(tmp_path)
    a_session("three", [10]).write(tmp_path)
    done = replay(tmp_path)

    assert {way.session: (way.by_requests, way.is_recorded) for way in done.ways} == {
        "one": (True, True),
        "two": (False, True),
        "three": (False, False),
    }
    assert next(way.why for way in done.ways if way.session == "two").startswith("two.jsonl:")
    assert sorted((session.id, session.requests, session.by_requests) for session in done.sessions) == [
        ("one", 3, True),
        ("three", 2, False),
        ("two", 3, False),
    ]


def test_a_copy_of_a_folder_counts_once(tmp_path: Path) -> None:
    """
    As it does for transcripts without requests.
    """
    a_recording_session()[0].write(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "backup")
    done = replay(tmp_path)

    assert [session.requests for session in done.sessions] == [3]
    assert summed(done.sessions).estimate("recorded").tokens.read_tokens == 6900
    assert done.bodies is not None
    assert done.bodies.upgrades.bodies == 3


def test_an_answer_beyond_the_requests(tmp_path: Path) -> None:
    """
    An answer inside a record of progress is billed, and names no request: the usage of the session counts.
    """
    session, _ = a_recording_session()
    inner: Object = {"id": "msg-x", "role": "assistant", "model": "claude-opus-5-5", "content": []}
    inner["usage"] = {"input_tokens": 5, "output_tokens": 1}
    nested = {"type": "assistant", "timestamp": "2026-11-29T12:01:00.000Z", "message": inner}
    session.line("progress", uuid="p1", data={"agentId": "a", "message": nested})
    session.write(tmp_path)
    done = replay(tmp_path)

    assert [(way.by_requests, way.why) for way in done.ways] == [(False, OTHER_BILL)]
    assert [(session.requests, session.by_requests) for session in done.sessions] == [(4, False)]


def test_requests_of_all_sessions_in_order(tmp_path: Path) -> None:
    """
    Sessions that ran at the same time share what both send, so their requests are replayed as they were sent.
    """
    for number in range(3):
        session, _ = a_recording_session(name=f"s{number}", at=NOON + timedelta(seconds=3 * number))
        session.write(tmp_path)
    requests = requests_in_order(rebuilt_sessions(groups(walk([str(tmp_path)]))))
    calls = [session.call(number) for session, number in requests]
    seen: list[Judged] = []
    replay(tmp_path, seen)

    assert len(calls) == 9
    assert [call.started_at for call in calls] == sorted(call.started_at for call in calls if call.started_at)
    assert len({call.session for call in calls[:3]}) == 3
    assert [judgement.call.place for judgement in seen] == [call.place for call in calls]


def test_a_filter(tmp_path: Path) -> None:
    """
    A session of which nothing is wanted is not there; of another one the wanted requests count.
    """
    a_recording_session()[0].write(tmp_path)

    assert replay(tmp_path, session="two").sessions == []
    assert [session.requests for session in replay(tmp_path, since=NOON + timedelta(seconds=5)).sessions] == [2]


def test_the_bill_of_answers(tmp_path: Path) -> None:
    """
    How many, and their tokens.
    """
    (session,) = rebuilt_sessions(groups([a_recording_session()[0].write(tmp_path)]))

    assert session.bill == (3, Tokens(6, 3920, 0, 6900, 27))


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("", "1 session records its requests: replayed breakpoint by breakpoint"),
        ("api-", "1 session does not record its requests: replayed by usage and times"),
        ("api-request-blob", "1 session records only a part of its requests: replayed by usage and times"),
    ],
)
def test_it_says_which_way(savemode: Run, tmp_path: Path, lost: str, said: str) -> None:
    """
    In text, with a row for each session on request; and for machines.
    """
    session, _ = a_recording_session()
    if lost:
        session.lines = [line for line in session.lines if not line["type"].startswith(lost)]
    path = session.write(tmp_path)
    shown = savemode("replay", str(path), "--verbose")
    data = json.loads(savemode("replay", str(path), "--json").out)

    assert (shown.code, shown.err) == (0, "")
    assert said in lines(shown.out)
    assert ("  one  by usage" if lost else "  one  by requests") in "\n".join(lines(shown.out))
    (way,) = data["transcript_sessions"]
    assert (way["session"], way["by_requests"], way["why_not"] is None) == ("one", not lost, not lost)
    assert (data["requests"], data["upgrades"] is None) == (3, bool(lost))
