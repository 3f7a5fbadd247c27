"""
Calls in the records of claude-tap.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.readers.problems import Problems
from tests.readers.test_bodies import BODY, USAGE, read
from tests.readers.test_har import RECORDERS
from tests.support.reading import calls, format_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_record(body: bytes = BODY, **more: Any) -> bytes:
    """
    One record; the body of the request is given as bytes.
    """
    request = {
        "method": "POST",
        "path": "/v1/messages?beta=true",
        "headers": {"Anthropic-Beta": "a"},
        "body": 0,
        **more.pop("request", {}),
    }
    answer = {"status": 200, "body": {"type": "message", "model": "m", "stop_reason": "end_turn", "usage": USAGE}}
    record = {
        "timestamp": "2026-11-24T12:00:00+00:00",
        "duration_ms": 1500,
        "request": request,
        "response": answer,
        "capture": {"client": "claude", "proxy_mode": "reverse"},
        **more,
    }
    return json.dumps(record).encode().replace(b'"body": 0', b'"body": ' + body)


def test_a_real_file() -> None:
    """
    A file of claude-tap 0.1.146: JSON and streamed answers, compressed or not, compressed requests, and calls that count
    tokens.
    """
    path, problems = RECORDERS / "claude-tap.jsonl", Problems()
    found = list(calls(path, format_of(path), problems))

    assert [call.encoded for call in found] == [False, False, False, False, True, True]
    assert {call.usage for call in found} == {Usage(Tokens(3, 11, 0, 7, 5))}
    assert {json.loads(call.body)["messages"][0]["content"] for call in found} == {"Hello, h\u00e9"}
    assert (problems.count, problems.other_requests) == (0, 2)


def test_a_record(tmp_path: Path) -> None:
    """
    The body byte for byte; the time is the end of the answer.
    """
    (call,), problems = read(tmp_path, "bodies", a_record() + b"\n" + a_record(request={"method": "GET"}))

    assert problems == []
    assert (call.place, call.body, call.path) == ("made.txt:1", BODY, "/v1/messages")
    assert call.headers == ((b"anthropic-beta", b"a"),)
    assert (call.started_at, call.ended_at) == (NOON - timedelta(seconds=1.5), NOON)
    assert (call.usage, call.answered, call.encoded) == (Usage(Tokens(3, 0, 0, 7, 5)), True, False)


@pytest.mark.parametrize(
    ("more", "usage", "answered"),
    [
        ({"response": {"status": 529, "body": {"type": "error"}}}, None, False),
        ({"response": {"status": 200, "body": None}}, None, True),
        ({"response": {"status": 200, "body": "<html>"}}, None, True),
        ({"response": {"status": 200, "body": {"type": "message", "content": []}}}, None, True),
        ({"response": None, "timestamp": None}, None, True),
    ],
)
def test_answers_without_a_bill(more: dict[str, Any], usage: Usage | None, answered: bool, tmp_path: Path) -> None:
    """
    An error, an answer that is not JSON, an incomplete answer, no answer.
    """
    (call,), _ = read(tmp_path, "body", a_record(**more))

    assert (call.usage, call.answered) == (usage, answered)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (a_record(b"null"), "its body was not recorded"),
        (a_record(b'"text"'), "its body was not recorded"),
        (a_record(duration_ms=-1), "an impossible duration"),
        (a_record(timestamp="0001-01-01T00:00:00Z"), "an impossible time"),
        (a_record(timestamp=7), "a field in an unknown form"),
        (b'{"request": 7}', "a field in an unknown form"),
    ],
)
def test_unreadable_interactions_are_listed(record: bytes, problem: str, tmp_path: Path) -> None:
    """
    Each problem names its line.
    """
    assert read(tmp_path, "bodies", record) == ([], [f"made.txt:1: {problem}"])
