"""
Bodies are read byte for byte, with the recorded facts about them.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.readers.problems import Problems
from tests.support.reading import calls

BODY = b'{"model": "m", "messages": [ ],\t"x":1e5, "x":"\\u00e9"}'
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
USAGE = {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 5}


def read(folder: Path, kind: str, text: bytes) -> tuple[list[Call], list[str]]:
    """
    The calls in a file with this content, and the problems.
    """
    path, problems = folder / "made.txt", Problems()
    path.write_bytes(text)
    return list(calls(path, kind, problems)), [str(one) for one in problems.named]


def test_a_body_is_a_call(tmp_path: Path) -> None:
    """
    Only the body is known.
    """
    assert read(tmp_path, "body", b"\xef\xbb\xbf" + BODY) == ([Call("made.txt", BODY)], [])


def test_lines_of_bodies(tmp_path: Path) -> None:
    """
    Each call has its line number; blank lines are ignored, and invalid lines are listed.
    """
    found, problems = read(tmp_path, "bodies", b"\n".join([BODY, b"", b"{", b"[1]", b'{"a":1}', b'{"body":7}', BODY]))

    assert [call.place for call in found] == ["made.txt:1", "made.txt:6", "made.txt:7"]
    assert [call.body for call in found] == [BODY, b"7", BODY]
    assert problems == [
        "made.txt:3: not JSON",
        "made.txt:4: a field in an unknown form",
        "made.txt:5: no request body",
    ]


def test_all_documented_fields(tmp_path: Path) -> None:
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
        headers=((b"x-posthog-provider", b"bedrock"), (b"anthropic-beta", b"a,oauth-2025-04-20")),
        path="/posthog_code/v1/messages",
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=1.5),
        usage=Usage(Tokens(3, 0, 0, 7, 5)),
        session="s",
        subscription=True,
    )


@pytest.mark.parametrize(
    ("around", "path"),
    [
        ({"path": "/v1/messages?beta=true"}, "/v1/messages"),
        ({"url": "https://api.anthropic.com/v1/messages?beta=true"}, "/v1/messages"),
        ({"path": "/wizard/v1/messages?x"}, "/wizard/v1/messages"),
        ({"path": "/v1/messages", "product": "wizard"}, "/wizard/v1/messages"),
        ({"product": "wizard"}, "/wizard/v1/messages"),
    ],
)
def test_target_and_product(around: dict[str, Any], path: str, tmp_path: Path) -> None:
    """
    A query, a whole URL, and the product if the recorder has named it.
    """
    line = json.dumps(around).encode()[:-1] + b', "body": ' + BODY + b"}"
    (call,), problems = read(tmp_path, "bodies", line)

    assert (call.path, problems) == (path, [])


@pytest.mark.parametrize(
    "around", [{"path": "/v1/complete"}, {"method": "GET"}, {"path": "/v1/messages/count_tokens?beta=true"}]
)
def test_other_requests_are_counted(around: dict[str, Any], tmp_path: Path) -> None:
    """
    They are not silently ignored.
    """
    path, problems = tmp_path / "x", Problems()
    path.write_bytes(json.dumps({**around, "body": {}}).encode())

    assert list(calls(path, "body", problems)) == []
    assert (problems.count, problems.other_requests) == (0, 1)


def test_headers_in_any_form(tmp_path: Path) -> None:
    """
    A value that is a list or a number does not invalidate the line; signs of a subscription in the headers are used.
    """
    headers = {"Anthropic-Beta": ["a", "oauth-2025-04-20"], "content-length": 7}
    (call,), _ = read(tmp_path, "body", json.dumps({"headers": headers, "body": {}}).encode())

    assert call.subscription
    assert call.headers[2] == (b"content-length", b"7")


def test_a_body_in_base64(tmp_path: Path) -> None:
    """
    savemode's export writes a body that is not JSON like this.
    """
    assert read(tmp_path, "body", b'{"body_base64": "e30="}')[0][0].body == b"{}"
    assert read(tmp_path, "body", b'{"body_base64": "e"}') == ([], ["made.txt: no request body"])


def test_two_objects_on_a_line(tmp_path: Path) -> None:
    """
    A stopped writer leaves them. Both are read, and an incomplete one is listed.
    """
    found, problems = read(tmp_path, "bodies", BODY + BODY + b"\n" + BODY + b'{"mess')

    assert [call.place for call in found] == ["made.txt:1", "made.txt:1", "made.txt:2"]
    assert [call.body for call in found] == [BODY] * 3
    assert problems == ["made.txt:2: not JSON"]


def test_a_body_may_be_text_and_times_may_lack_a_zone(tmp_path: Path) -> None:
    """
    Some recorders write such records.
    """
    line = {"body": BODY.decode(), "started_at": "2026-11-24T12:00:00", "ended_at": "2026-11-24T12:00:02", "usage": {}}
    (call,), _ = read(tmp_path, "bodies", json.dumps(line).encode())

    assert (call.body, call.started_at, call.ended_at, call.usage) == (BODY, NOON, NOON + timedelta(seconds=2), None)


def test_unreadable_files_are_listed(tmp_path: Path) -> None:
    """
    No exception is raised.
    """
    assert read(tmp_path, "body", b'{"name":1}') == ([], ["made.txt: no request body"])
    problems = Problems()
    assert list(calls(tmp_path / "gone", "bodies", problems)) == []
    assert str(problems.named[0]) == "gone: no such file or directory"


@pytest.mark.parametrize(
    ("around", "problem"),
    [
        ({"started_at": "9999-12-31T23:59:59Z"}, "an impossible time"),
        ({"ended_at": "0001-01-01T00:00:00+14:00"}, "an impossible time"),
        ({"started_at": "2026-11-24T12:00:00Z", "duration_ms": 1e300}, "an impossible duration"),
    ],
)
def test_impossible_times_are_listed(around: dict[str, Any], problem: str, tmp_path: Path) -> None:
    """
    They would fail in later arithmetic.
    """
    line = json.dumps({**around, "body": {}}).encode()

    assert read(tmp_path, "bodies", line) == ([], [f"made.txt:1: {problem}"])


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
    Other requests are skipped as in a HAR; an error without usage was not billed.
    """
    line = json.dumps(around).encode()[:-1] + b', "body": ' + BODY + b"}"

    for kind in ("bodies", "body"):
        found, problems = read(tmp_path, kind, line)
        assert [call.answered for call in found] == expected
        assert problems == []
