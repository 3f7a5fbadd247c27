"""
The one request that a command needs, from any kind of file.
"""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.errors import BadInput
from savemode_cli.core.replay.recording import Call
from savemode_cli.readers.one_call import nth_call
from savemode_cli.readers.problems import Problems
from tests.cli.test_diff_request import BODY
from tests.readers.test_calls import a_capture
from tests.readers.test_har import RECORDERS
from tests.support.recorded import CAPTURE


def found(raw: bytes, nth: int = 1) -> Call:
    """
    The call in a file with this content.
    """
    Path("body.json").write_bytes(raw)
    return nth_call("body.json", io.BytesIO(), nth, Problems())


def har(*texts: str | None) -> dict[str, Any]:
    """
    A recording of requests with these bodies.
    """
    entries = [
        {"request": {"method": "POST", "url": "https://a/v1/messages", **({"postData": {"text": one}} if one else {})}}
        for one in texts
    ]
    return {"log": {"version": "1.2", "entries": entries}}


@pytest.mark.parametrize(
    "raw",
    [
        BODY,
        b'{"body": ' + BODY.strip() + b', "headers": {}}',
        b'{ "id": 1,\n"body":' + BODY.strip() + b"}",
        json.dumps({"body": BODY.decode()}).encode(),
        json.dumps(har(None, BODY.decode(), "{}")).encode(),
        json.dumps(har(BODY.decode())["log"]["entries"][0]).encode(),
    ],
    ids=["bare", "wrapped", "wrapped, spaced", "string", "har", "har entry"],
)
def test_body_is_found(raw: bytes) -> None:
    """
    A plain body, a wrapped one, one in a string, or one in a recording: the bytes are unchanged.
    """
    assert found(raw).body.strip() == BODY.strip()


@pytest.mark.parametrize(
    ("raw", "place", "what"),
    [
        (b'{"messages": [', ":1:15", "expecting value"),
        (b'{"messages": [],}', ":1:1", "expecting property name"),
        ('{"messages": [],\n "é": NaN}'.encode(), ":2:7", "invalid character"),
        (b'{"messages": Infinity}', ":1:14", "invalid character"),
        (b'\xef\xbb\xbf{"messages": []}', ":1:1", "a byte order mark"),
        ('{"messages":\n "é\udcff"}'.encode(errors="surrogateescape"), ":2:4", "a byte that is not UTF-8"),
        (b'{"messages": "\\\\ud800 \\uD83D\\uDE00 \\udc00"}', ":1:36", "a lone surrogate\n"),
        (b'{"messages": "a\tb"}', ":1:16", "invalid control character\n"),
        (b'{"messages": [1e999]}', "", "number out of range\n"),
        (b"", "", "the file is empty\n"),
        (b" \n", "", "the file is empty\n"),
    ],
)
def test_bad_json(raw: bytes, place: str, what: str) -> None:
    """
    Invalid JSON is one error line with its position in characters, and the cause.
    """
    with pytest.raises(BadInput) as raised:
        found(raw)

    assert f"{raised.value.message}\n".startswith(f"body.json{place}")
    assert f": not valid JSON: {what}" in f"{raised.value.message}\n"
    assert raised.value.hint


def test_deep_nesting() -> None:
    """
    A hundred thousand brackets are an error and not a crash.
    """
    with pytest.raises(BadInput, match="nested too deeply") as raised:
        found(b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    assert raised.value.hint


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"[1]", "body.json: expected a JSON object, found an array"),
        (b"1.5", "body.json: expected a JSON object, found a number"),
        (b"null", "body.json: expected a JSON object, found null"),
        (b"true", "body.json: expected a JSON object, found a boolean"),
        (b'"x"', "body.json: expected a JSON object, found a string"),
        (b'{"body": 5}', "body.json (body): expected a JSON object, found a number"),
        (b'{"body": "{oops"}', "body.json (body):1:2: not valid JSON"),
        (json.dumps(har('{"messages": [')).encode(), "body.json: entry 1:1:15: not valid JSON"),
        (json.dumps(har(None)).encode(), "body.json: entry 1: its body was not recorded"),
        (b'{"log": 5}', "body.json: not a HAR"),
        (b'{"log": {"entries": [5, {"request": 5}]}}', "body.json: entry 1: a field in an unknown form"),
        (b'{"log": {"entries": [{"request": {"method": "GET"}}]}}', "body.json: no model call in 1 request"),
        (b'{"log": {"entries": []}}', "body.json: no model call in 0 requests"),
        (b'{"path": "/v1/complete", "body": {}}', "body.json: no model call in 1 request"),
        (
            b'{"type":"summary","leafUuid":"u"}\n{"sessionId":"s"}\n',
            "body.json: this transcript does not record its requests",
        ),
    ],
)
def test_no_body_in_it(raw: bytes, said: str) -> None:
    """
    If JSON contains no request body, the error says what it contains instead.
    """
    with pytest.raises(BadInput) as raised:
        found(raw)

    assert said in raised.value.message


LINES = (
    b"".join(
        json.dumps({"path": path, "body": {"messages": [], "n": n}}).encode() + b"\n"
        for n, path in enumerate(
            ["/v1/messages?beta=true", "/v1/messages/count_tokens", "/v1/messages", "/wizard/v1/messages"]
        )
    )
    + b"{broken\n"
)


@pytest.mark.parametrize(("nth", "number", "place"), [(1, 0, 1), (2, 2, 3), (3, 3, 4)])
def test_model_calls_are_counted_from_one(nth: int, number: int, place: int) -> None:
    """
    Other requests do not count; the place is that of the record.
    """
    call = found(LINES, nth)

    assert json.loads(call.body)["n"] == number
    assert call.place == f"body.json:{place}"


@pytest.mark.parametrize(
    ("raw", "nth", "said"),
    [
        (LINES, 4, "body.json has only 3 model calls, not 4"),
        (BODY, 2, "body.json has only 1 model call, not 2"),
        (b"{broken\n" + LINES[:0] + b'{"path": "/v1/models", "body": {}}\n', 1, "body.json:1: not JSON"),
    ],
)
def test_a_number_that_is_not_there(raw: bytes, nth: int, said: str) -> None:
    """
    The error says how many calls there are.
    """
    with pytest.raises(BadInput) as raised:
        found(raw, nth)

    assert raised.value.message == said


def test_what_is_read_before_it_is_counted() -> None:
    """
    An invalid record before the call is listed, and the call is found.
    """
    Path("x").write_bytes(b'{"messages": []}\n{broken\n{"messages": [1]}\n')
    problems = Problems()

    assert nth_call("x", io.BytesIO(), 2, problems).body == b'{"messages": [1]}'
    assert [str(one) for one in problems.named] == ["x:2: not JSON"]


@pytest.mark.parametrize("raw", [LINES, BODY, json.dumps(har(BODY.decode())).encode()], ids=["lines", "body", "har"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_standard_input_is_read_like_a_file(raw: bytes, mark: bytes) -> None:
    """
    This holds for every format, except that a plain body must not have a byte order mark, because the API refuses it.
    """
    if raw is BODY and mark:
        with pytest.raises(BadInput, match="stdin:1:1: not valid JSON: a byte order mark"):
            nth_call("-", io.BytesIO(mark + raw), 1, Problems())
        return
    Path("body.json").write_bytes(mark + raw)

    piped = nth_call("-", io.BytesIO(mark + raw), 1, Problems())
    read = nth_call("body.json", io.BytesIO(), 1, Problems())
    assert replace(piped, place="") == replace(read, place="")
    assert piped.place.startswith("stdin")


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_capture_store(what: str, tmp_path: Path) -> None:
    """
    By its folder or by its file.
    """
    store = CaptureStore.make(tmp_path / "kept")
    store.append(a_capture(path="/v1/messages/count_tokens"))
    store.append(a_capture(path="/wizard/v1/messages", product="wizard"))
    path = tmp_path / "kept" if what == "folder" else store.path
    call = nth_call(str(path), io.BytesIO(), 1, Problems())
    store.close()

    assert call.place.endswith(": capture 2")
    assert call.path == "/wizard/v1/messages"


@pytest.mark.parametrize("name", ["vcrpy.yaml", "claude-tap.jsonl", "mitmproxy.har", "vcr-ruby.yml"])
def test_files_of_real_recorders(name: str) -> None:
    """
    They are read as replay reads them.
    """
    call = nth_call(str(RECORDERS / name), io.BytesIO(), 2, Problems())

    assert json.loads(call.body)["model"] == "claude-opus-5-5"


@pytest.mark.skipif(not CAPTURE.exists(), reason="no recorded traffic at hand")
def test_recorded_traffic() -> None:
    """
    Lines of another recorder.
    """
    assert nth_call(str(CAPTURE), io.BytesIO(), 72, Problems()).place == "capture.jsonl:72"
