"""
Calls in HTTP Archives of any recorder.
"""

import base64
import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.readers.problems import Problems
from tests.readers.test_bodies import BODY, NOON, USAGE, read
from tests.support.reading import calls

RECORDERS = Path(__file__).parents[1] / "data" / "recorders"


def an_entry(**more: Any) -> dict[str, Any]:
    """
    A messages call as a HAR contains it, with the answer as JSON.
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
    A file with these entries.
    """
    return json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=1).encode()


def test_a_har(tmp_path: Path) -> None:
    """
    Only messages calls are read, and the usage comes from the answer.
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
        usage=Usage(Tokens(3, 0, 0, 7, 5)),
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
            {"mimeType": "text/event-stream; charset=utf-8", "text": STREAM},
            Usage(Tokens(3, 0, 0, 7, 5)),
            id="a stream",
        ),
        pytest.param(
            {"mimeType": "text/event-stream", "text": base64.b64encode(STREAM.encode()).decode(), "encoding": "base64"},
            Usage(Tokens(3, 0, 0, 7, 5)),
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
    Streamed or not, encoded or not; without final counts there is no bill.
    """
    (call,), _ = read(tmp_path, "har", har(an_entry(response={"content": content})))

    assert call.usage == usage


def test_missing_bodies_and_times(tmp_path: Path) -> None:
    """
    A missing body is listed with its entry; a missing time is None.
    """
    bare = {"request": {"method": "POST", "url": "https://a/v1/messages", "postData": {"text": "{}"}}}
    beta = an_entry(request={"headers": [{"name": "anthropic-beta", "value": "oauth-2025-04-20"}]})
    entries = [an_entry(request={"postData": None}), 7, an_entry(time=1e300), bare, beta]
    found, problems = read(tmp_path, "har", b"\xef\xbb\xbf" + har(*entries))

    assert problems == [
        "made.txt: entry 1: its body was not recorded",
        "made.txt: entry 2: a field in an unknown form",
        "made.txt: entry 3: a field in an unknown form",
    ]
    assert (found[0].started_at, found[0].ended_at, found[0].usage, found[0].subscription) == (None, None, None, False)
    assert found[1].subscription
    assert read(tmp_path, "har", b'{"log":{}}') == ([], ["made.txt: not a HAR"])


def test_a_har_that_was_emptied_meanwhile(tmp_path: Path) -> None:
    """
    It is listed like any other unreadable file.
    """
    path, problems = tmp_path / "a.har", Problems()
    path.write_bytes(b"")

    assert list(calls(path, "har", problems)) == []
    assert problems.count == 1


@pytest.mark.parametrize(("status", "expected"), [(200, True), (429, False)])
def test_entries_that_failed(tmp_path: Path, status: int, expected: bool) -> None:
    """
    The status of the answer decides.
    """
    request = {"method": "POST", "url": "http://x/v1/messages", "postData": {"text": BODY.decode()}}
    har = {"log": {"entries": [{"request": request, "response": {"status": status}}]}}
    (call,), _ = read(tmp_path, "har", json.dumps(har).encode())

    assert call.answered is expected


def in_lines(data: bytes) -> str:
    """
    Base64 in lines of 76 characters, as MIME wraps it.
    """
    return base64.encodebytes(data).decode()


@pytest.mark.parametrize("wrap", [lambda data: base64.b64encode(data).decode(), in_lines], ids=["one line", "lines"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("said", [False, True], ids=["no header", "header"])
def test_bodies_in_base64(tmp_path: Path, wrap: Any, packed: bool, said: bool) -> None:
    """
    In one line or in many, decoded or in their content encoding, with or without its header.
    """
    pack = gzip.compress if packed else bytes
    header = [{"name": "Content-Encoding", "value": "gzip"}] if said else []
    entry = an_entry(
        request={"headers": header, "postData": {"text": wrap(pack(BODY)), "encoding": "base64"}},
        response={
            "headers": header,
            "content": {"mimeType": "text/event-stream", "text": wrap(pack(STREAM.encode())), "encoding": "base64"},
        },
    )
    (call,), problems = read(tmp_path, "har", har(entry))

    assert problems == []
    assert (call.body, call.usage, call.encoded) == (BODY, Usage(Tokens(3, 0, 0, 7, 5)), packed or said)


@pytest.mark.parametrize(
    ("request_", "text", "problem"),
    [
        pytest.param({"headers": [{"name": "content-encoding", "value": "gzip"}]}, BODY.decode(), None, id="decoded"),
        pytest.param({"headers": [{"name": "content-encoding", "value": "identity"}]}, BODY.decode(), None, id="plain"),
        pytest.param(
            {"headers": [{"name": "content-encoding", "value": "gzip"}]},
            gzip.compress(BODY).decode("utf-8", "replace"),
            "its body was compressed, and the recorder did not record its bytes",
            id="bytes forced into text",
        ),
    ],
)
def test_a_request_that_was_compressed(
    request_: dict[str, Any], text: str, problem: str | None, tmp_path: Path
) -> None:
    """
    `serve` forwards such a request unchanged. If the recorder destroyed its bytes, the problem says so.
    """
    found, problems = read(tmp_path, "har", har(an_entry(request={**request_, "postData": {"text": text}})))

    assert problems == ([] if problem is None else [f"made.txt: entry 1: {problem}"])
    assert [(call.body, call.encoded) for call in found] == (
        [] if problem else [(BODY, request_["headers"][0]["value"] == "gzip")]
    )


@pytest.mark.parametrize(
    ("name", "compressed", "problems", "others"),
    [
        ("mitmproxy.har", [False, False, False, False, True, True], 0, 2),
        ("playwright.har", [False, False], 1, 1),
        ("playwright-attach/playwright.har", [False, False, True], 0, 1),
    ],
)
def test_files_of_real_recorders(name: str, compressed: list[bool], problems: int, others: int) -> None:
    """
    mitmproxy 11.0.2 and Playwright 1.65.2 with Chromium 156, with and without streaming and compression.
    """
    met = Problems()
    found = list(calls(RECORDERS / name, "har", met))

    assert [call.encoded for call in found] == compressed
    assert {call.usage for call in found} == {Usage(Tokens(3, 11, 0, 7, 5))}
    assert {json.loads(call.body)["messages"][0]["content"] for call in found} == {"Hello, h\u00e9"}
    assert all(call.started_at and call.ended_at and call.started_at < call.ended_at for call in found)
    assert (met.count, met.other_requests) == (problems, others)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "link", "gone", "", "..", "folder", "x\0y"])
def test_attached_bodies_are_beside_the_archive(name: str, tmp_path: Path) -> None:
    """
    A name with a path is ignored, because an archive is not trusted.
    """
    (tmp_path / "secret").write_bytes(BODY)
    folder = tmp_path / "archive"
    (folder / "folder").mkdir(parents=True)
    (folder / "link").symlink_to("../secret")
    (folder / "body.json").write_bytes(BODY)

    assert len(read(folder, "har", har(an_entry(request={"postData": {"_file": "body.json", "text": ""}})))[0]) == 1
    assert read(folder, "har", har(an_entry(request={"postData": {"_file": name}})))[0] == []


def test_an_entry_by_itself(tmp_path: Path) -> None:
    """
    One entry on each line, as some recorders write it, or a single entry.
    """
    line = json.dumps(an_entry()).encode()

    assert len(read(tmp_path, "bodies", line + b"\n" + line)[0]) == 2
    assert len(read(tmp_path, "body", line)[0]) == 1


@pytest.mark.parametrize(
    ("own", "path"),
    [
        ({"product": "wizard", "session": "0123"}, "/wizard/v1/messages"),
        ({}, "/v1/messages"),
    ],
)
def test_an_older_savemode_export(own: dict[str, Any], path: str, tmp_path: Path) -> None:
    """
    It contains no capture, but the product and the session.
    """
    (call,), _ = read(tmp_path, "har", har(an_entry(_savemode=own)))

    assert (call.path, call.session) == (path, own.get("session"))


@pytest.mark.parametrize(
    ("capture", "problem"), [({"schema": 99}, "written by a newer savemode"), ({}, "cannot be read"), (7, "cannot")]
)
def test_a_damaged_or_newer_savemode_export(capture: Any, problem: str, tmp_path: Path) -> None:
    """
    It is listed, and not read as another format.
    """
    found, problems = read(tmp_path, "har", har(an_entry(_savemode={"capture": capture})))

    assert found == []
    assert problem in problems[0]


def test_an_archive_in_utf_16(tmp_path: Path) -> None:
    """
    From an old PowerShell's redirected output, and from memory.
    """
    path = tmp_path / "made.txt"
    path.write_bytes(har(an_entry()).decode().encode("utf-16"))

    assert len(list(calls(path, "har", Problems()))) == 1
