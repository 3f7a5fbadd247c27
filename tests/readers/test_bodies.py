"""
Bodies come out of files byte for byte, with what was recorded around them.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.pricing import Usage
from savemode_cli.core.recorded import Call
from savemode_cli.readers.bodies import calls
from savemode_cli.readers.files import Kind
from savemode_cli.readers.problems import Problems

BODY = b'{"model": "m", "messages": [ ],\t"x":1e5, "x":"\\u00e9"}'
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
USAGE = {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 5}


def read(folder: Path, kind: Kind, text: bytes) -> tuple[list[Call], list[str]]:
    """
    The calls in a file of that content, and the problems met.
    """
    path, problems = folder / "made.txt", Problems()
    path.write_bytes(text)
    return list(calls(path, kind, problems)), [str(one) for one in problems.named]


def test_a_body_is_a_call(tmp_path: Path) -> None:
    """
    Nothing is known of it but itself.
    """
    assert read(tmp_path, "body", b"\xef\xbb\xbf" + BODY) == ([Call("made.txt", BODY)], [])


def test_lines_of_bodies(tmp_path: Path) -> None:
    """
    Each by its line; blank ones are none, broken ones are named.
    """
    found, problems = read(tmp_path, "bodies", b"\n".join([BODY, b"", b"{", b"[1]", b'{"a":1}', b'{"body":7}', BODY]))

    assert [call.place for call in found] == ["made.txt:1", "made.txt:6", "made.txt:7"]
    assert [call.body for call in found] == [BODY, b"7", BODY]
    assert problems == [
        "made.txt:3: not JSON",
        "made.txt:4: a field in a form that is not known",
        "made.txt:5: no request body",
    ]


def test_what_stands_around_a_body(tmp_path: Path) -> None:
    """
    All fields that the module documents.
    """
    around: dict[str, Any] = {
        "started_at": "2026-11-24T12:00:00Z",
        "duration_ms": 1500,
        "usage": USAGE,
        "session": "s",
        "anthropic_beta": "a,oauth-2025-04-20",
        "headers": {"X-Posthog-Provider": "bedrock"},
        "path": "/posthog_code/v1/messages",
        "conversation": "left alone",
    }
    line = json.dumps(around).encode()[:-1] + b', "body": ' + BODY + b"}"
    (call,), problems = read(tmp_path, "bodies", line)

    assert problems == []
    assert call == Call(
        "made.txt:1",
        BODY,
        headers=((b"x-posthog-provider", b"bedrock"),),
        path="/posthog_code/v1/messages",
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=1.5),
        usage=Usage(3, 0, 0, 7, 5),
        session="s",
        subscription=True,
    )


def test_a_body_may_be_text_and_times_may_lack_a_zone(tmp_path: Path) -> None:
    """
    As other people's recorders have it.
    """
    line = {"body": BODY.decode(), "started_at": "2026-11-24T12:00:00", "ended_at": "2026-11-24T12:00:02", "usage": {}}
    (call,), _ = read(tmp_path, "bodies", json.dumps(line).encode())

    assert (call.body, call.started_at, call.ended_at, call.usage) == (BODY, NOON, NOON + timedelta(seconds=2), None)


def test_a_file_that_is_no_body_or_is_gone_is_named(tmp_path: Path) -> None:
    """
    And nothing is raised.
    """
    assert read(tmp_path, "body", b'{"name":1}') == ([], ["made.txt: no request body"])
    problems = Problems()
    assert list(calls(tmp_path / "gone", "bodies", problems)) == []
    assert str(problems.named[0]) == "gone: no such file or directory"


@pytest.mark.parametrize(
    ("around", "problem"),
    [
        ({"started_at": "9999-12-31T23:59:59Z"}, "a time that cannot be right"),
        ({"ended_at": "0001-01-01T00:00:00+14:00"}, "a time that cannot be right"),
        ({"started_at": "2026-11-24T12:00:00Z", "duration_ms": 1e300}, "a duration that cannot be right"),
    ],
)
def test_times_that_cannot_be_right_are_named(around: dict[str, Any], problem: str, tmp_path: Path) -> None:
    """
    Rather than to fail where they are reckoned with.
    """
    line = json.dumps({**around, "body": {}}).encode()

    assert read(tmp_path, "bodies", line) == ([], [f"made.txt:1: {problem}"])


def an_entry(**more: Any) -> dict[str, Any]:
    """
    A messages call as a HAR has it, the answer as JSON.
    """
    request = {
        "method": "POST",
        "url": "https://api.anthropic.com/v1/messages?beta=true",
        "headers": [{"name": "Anthropic-Beta", "value": "b"}],
        "postData": {"text": BODY.decode()},
        **more.pop("request", {}),
    }
    answer = {
        "mimeType": "application/json",
        "text": json.dumps({"usage": USAGE, "model": "m", "stop_reason": "end_turn"}),
    }
    entry = {"startedDateTime": "2026-11-24T12:00:00.000Z", "time": 2500.5, "request": request, **more}
    return {"response": {"content": answer}, **entry}


def har(*entries: Any) -> bytes:
    """
    A file of them.
    """
    return json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=1).encode()


def test_a_har(tmp_path: Path) -> None:
    """
    Calls of messages only; the answer is metered.
    """
    others = [an_entry(request={"method": "GET"}), an_entry(request={"url": "https://a/v1/messages/count_tokens"})]
    (call,), problems = read(tmp_path, "har", har(*others, an_entry()))

    assert problems == []
    assert call == Call(
        "made.txt: entry 3",
        BODY,
        headers=((b"anthropic-beta", b"b"),),
        started_at=NOON,
        ended_at=NOON + timedelta(milliseconds=2500.5),
        usage=Usage(3, 0, 0, 7, 5),
    )


STREAM = (
    'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":3,'
    '"cache_read_input_tokens":7,"output_tokens":1}}}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


@pytest.mark.parametrize(
    ("content", "usage"),
    [
        pytest.param(
            {"mimeType": "text/event-stream; charset=utf-8", "text": STREAM}, Usage(3, 0, 0, 7, 5), id="a stream"
        ),
        pytest.param(
            {"mimeType": "text/event-stream", "text": base64.b64encode(STREAM.encode()).decode(), "encoding": "base64"},
            Usage(3, 0, 0, 7, 5),
            id="in base64, as mitmproxy writes it",
        ),
        pytest.param({"mimeType": "text/event-stream", "text": STREAM[:200]}, None, id="cut off"),
        pytest.param({"mimeType": "application/json", "text": '{"type":"error"}'}, None, id="an error"),
        pytest.param({"mimeType": "text/event-stream", "text": "?", "encoding": "base64"}, None, id="no base64"),
        pytest.param({"mimeType": "application/json"}, None, id="no text"),
        pytest.param(None, None, id="no content"),
    ],
)
def test_answers_in_a_har(content: Any, usage: Usage | None, tmp_path: Path) -> None:
    """
    Streamed or not, encoded or not; without a final count there is no bill.
    """
    (call,), _ = read(tmp_path, "har", har(an_entry(response={"content": content})))

    assert call.usage == usage


def test_what_a_har_may_lack(tmp_path: Path) -> None:
    """
    Bodies that were not recorded are named by entry; without a time there is none.
    """
    bare = {"request": {"method": "POST", "url": "https://a/v1/messages", "postData": {"text": "{}"}}}
    beta = an_entry(request={"headers": [{"name": "anthropic-beta", "value": "oauth-2025-04-20"}]})
    entries = [an_entry(request={"postData": None}), 7, an_entry(request={"url": "https://[/v1/messages"}), bare, beta]
    found, problems = read(tmp_path, "har", b"\xef\xbb\xbf" + har(*entries))

    assert problems == [
        "made.txt: entry 1: its body was not recorded",
        "made.txt: entry 2: a field in a form that is not known",
        "made.txt: entry 3: a field in a form that is not known",
    ]
    assert (found[0].started_at, found[0].ended_at, found[0].usage, found[0].subscription) == (None, None, None, False)
    assert found[1].subscription
    assert read(tmp_path, "har", b'{"log":{}}') == ([], ["made.txt: not a HAR"])


def test_a_har_that_was_emptied_meanwhile(tmp_path: Path) -> None:
    """
    Counted and named, like any other that cannot be read.
    """
    path, problems = tmp_path / "a.har", Problems()
    path.write_bytes(b"")

    assert list(calls(path, "har", problems)) == []
    assert problems.count == 1


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ({"status": 200}, [True]),
        ({"status": 429}, [False]),
        ({"status": None}, [True]),
        ({"status": 429, "usage": USAGE}, [True]),
        ({"path": "/wizard/v1/messages"}, [True]),
        ({"path": "/v1/messages/count_tokens"}, []),
    ],
    ids=str,
)
def test_lines_of_other_requests_and_of_failed_ones(
    tmp_path: Path, around: dict[str, Any], expected: list[bool]
) -> None:
    """
    What is no messages call is passed over as in a HAR; an error without usage was billed nothing.
    """
    line = json.dumps(around).encode()[:-1] + b', "body": ' + BODY + b"}"

    for kind in ("bodies", "body"):
        found, problems = read(tmp_path, kind, line)
        assert [call.answered for call in found] == expected
        assert problems == []


@pytest.mark.parametrize(("status", "expected"), [(200, True), (429, False)])
def test_entries_that_failed(tmp_path: Path, status: int, expected: bool) -> None:
    """
    By the status of the answer.
    """
    request = {"method": "POST", "url": "http://x/v1/messages", "postData": {"text": BODY.decode()}}
    har = {"log": {"entries": [{"request": request, "response": {"status": status}}]}}
    (call,), _ = read(tmp_path, "har", json.dumps(har).encode())

    assert call.answered is expected
