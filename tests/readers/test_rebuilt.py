"""
Requests that are rebuilt from transcripts that record them.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from savemode_cli.core.errors import BadInput
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.prices import load_prices
from savemode_cli.readers.diagnosed import Reading, bodies_at, diagnosed_requests
from savemode_cli.readers.files import readable, walk
from savemode_cli.readers.one_call import nth_call
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.rebuilt import rebuilt_sessions
from savemode_cli.readers.recorded_requests import message_hash
from savemode_cli.readers.transcript_files import groups
from tests.support.prompts import Object, call, result, text, user
from tests.support.recording_client import CONTEXT, NOON, RecordingSession, a_recording_session


def rebuilt(*paths: Path) -> list[list[Call] | None]:
    """
    The requests of each session.
    """
    return [None if session.problem else list(session.calls()) for session in rebuilt_sessions(groups(paths))]


def sent_body(call: Call) -> Object:
    """
    The body without the block that replaces the client's attribution.
    """
    body: Object = json.loads(call.body)
    assert body["system"].pop(0)["text"].startswith("x-anthropic-billing-header")
    return body


def test_bodies_are_those_that_were_sent(tmp_path: Path) -> None:
    """
    Messages from lines, blobs and answers over several lines; breakpoints, times, usage, betas, and the session.
    """
    session, bodies = a_recording_session()
    (calls,) = rebuilt(session.write(tmp_path))

    assert calls is not None
    assert [sent_body(one) for one in calls] == bodies
    assert [one.usage and one.usage.tokens.read for one in calls] == [0, 3000, 3900]
    assert calls[0].started_at == NOON
    assert calls[0].ended_at == NOON + timedelta(seconds=4)
    assert dict(calls[0].headers) == {b"x-claude-code-session-id": b"one", b"anthropic-beta": b"b1,b2"}
    assert all(one.answered for one in calls)


def test_results_of_parallel_calls(tmp_path: Path) -> None:
    """
    They stand in lines of their own, and were sent as one message.
    """
    session, _ = a_recording_session()
    session.said(user(text("Both.")))
    session.ask([call("toolu_2"), call("toolu_3")], 3920, 20)
    results = [result("toolu_2", "One. " * 90), result("toolu_3", "Two. " * 90)]
    for block in results:
        session.line("user", uuid=block["tool_use_id"], message=user(block))
    session.messages.append(user(*results))
    body = session.ask([text("Done.")], 3940, 30)
    (calls,) = rebuilt(session.write(tmp_path))

    assert calls is not None
    assert sent_body(calls[-1]) == body


def test_an_attempt_without_an_answer(tmp_path: Path) -> None:
    """
    It was not billed, and the session is rebuilt anyway.
    """
    session, _ = a_recording_session()
    session.lines = [line for line in session.lines if line.get("requestRef") != session.last]
    (calls,) = rebuilt(session.write(tmp_path))

    assert calls is not None
    assert [one.answered for one in calls] == [True, True, False]


@pytest.mark.parametrize("lost", ["api-request-blob", "api-request-shape", "user"])
def test_nothing_is_guessed(tmp_path: Path, lost: str) -> None:
    """
    If a part is missing or differs from what was sent, only the usage of the session is read.
    """
    session, _ = a_recording_session()
    whole = session.lines
    session.lines = [line for line in whole if line["type"] != lost]
    assert rebuilt(session.write(tmp_path)) == [None]
    session.lines = json.loads(json.dumps(whole).replace("A reminder.", "Another one."))
    assert rebuilt(session.write(tmp_path)) == [None]


def test_answers_that_name_no_request(tmp_path: Path) -> None:
    """
    Older versions wrote such a session, or a part of it.
    """
    session, _ = a_recording_session()
    session.ask([text("More.")], 3900, 20, requestRef=None)

    assert rebuilt(session.write(tmp_path)) == [None]


def test_a_fork_begins_with_a_copy(tmp_path: Path) -> None:
    """
    The copied answers belong to the origin, whether or not its file exists.
    """
    session, _ = a_recording_session()
    fork = RecordingSession("two", lines=[line for line in session.lines if not line["type"].startswith("api-")])
    fork.lines = [{**line, "sessionId": "two"} for line in fork.lines]
    fork.messages, fork.at = list(session.messages), session.at
    fork.line("api-request-blob", hash=message_hash(CONTEXT), message=CONTEXT)
    fork.said(user(text("And now?")))
    body = fork.ask([text("Nothing.")], 3920, 30)
    path = fork.write(tmp_path)
    (alone,) = rebuilt(path)

    assert [sent_body(one) for one in alone or []] == [body]
    assert sorted(len(calls or ()) for calls in rebuilt(session.write(tmp_path), path)) == [1, 3]


def test_causes_are_exact(tmp_path: Path) -> None:
    """
    The date in the system prompt is found with its text; block positions include the client's attribution.
    """
    session, _ = a_recording_session()
    session.system = session.system.replace("Monday", "Tuesday")
    session.said(user(text("Once more.")))
    session.ask([text("Gladly.")], 0, 3950)
    session.write(tmp_path)
    files = list(readable(walk([str(tmp_path)])))
    reading = Reading()
    found = list(diagnosed_requests(files, load_prices(None), "llm_gateway", PRODUCTS, reading))
    (miss,) = found[-1].verdict.misses

    assert (miss.cause, miss.at, miss.values_only) == ("system_changed", "system[2].text", True)
    assert (reading.rebuilt, reading.transcripts, [one.is_inferred for one in found]) == (1, 0, [False] * 4)
    assert bodies_at(files, {found[-1].place})[found[-1].place].count(b"Tuesday") == 1


def test_one_request_of_a_transcript(tmp_path: Path) -> None:
    """
    Selected by its number; a transcript without requests is an error with a hint.
    """
    session, bodies = a_recording_session()
    path = session.write(tmp_path)

    assert sent_body(nth_call(str(path), None, 2, Problems())) == bodies[1]  # type: ignore[arg-type]
    session.lines = [line for line in session.lines if not line["type"].startswith("api-")]
    with pytest.raises(BadInput, match="does not record its requests"):
        nth_call(str(session.write(tmp_path)), None, 1, Problems())  # type: ignore[arg-type]
