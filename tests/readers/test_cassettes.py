"""
Calls in VCR cassettes.
"""

import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.readers import cassettes
from savemode_cli.readers.cassettes import cassette_calls
from savemode_cli.readers.problems import Problems
from tests.readers.test_bodies import BODY, NOON, USAGE
from tests.readers.test_har import RECORDERS
from tests.support.reading import calls, format_of
from tests.support.recorded import TRACES

GO = """---
version: 2
interactions:
    - id: 0
      request:
        body: '{"messages":[],"model":"m"}'
        form: {}
        headers:
            Content-Type:
                - application/json
        url: https://api.anthropic.com/v1/messages
        method: POST
      response:
        body: '{"type":"message","model":"m","stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":5}}'
        headers:
            Date:
                - Tue, 24 Nov 2026 12:00:00 GMT
        status: 200 OK
        code: 200
        duration: 1.5s
"""


def played(text: bytes | str) -> tuple[list[Call], list[str], int]:
    """
    The calls of a cassette, the problems, and the number of other requests.
    """
    problems = Problems()
    raw = text.encode() if isinstance(text, str) else text
    found = list(cassette_calls(BytesIO(raw), Path("c.yaml"), problems))
    return found, [str(one) for one in problems.named], problems.other_requests


def a_cassette(*interactions: Any) -> str:
    """
    A cassette as vcrpy writes it.
    """
    return str(yaml.dump({"interactions": list(interactions), "version": 1}))


def an_interaction(request: dict[str, Any] | None = None, **response: Any) -> dict[str, Any]:
    """
    One call and its answer.
    """
    answer = json.dumps({"type": "message", "model": "m", "stop_reason": "end_turn", "usage": USAGE})
    asked = {"method": "POST", "uri": "https://api.anthropic.com/v1/messages?beta=true", "body": BODY.decode()}
    return {
        "request": {**asked, "headers": {"X-A": ["1"]}, **(request or {})},
        "response": {
            "body": {"string": answer},
            "headers": {"Date": ["Tue, 24 Nov 2026 12:00:00 GMT"]},
            "status": {"code": 200, "message": "OK"},
            **response,
        },
    }


@pytest.mark.parametrize(
    ("name", "compressed"),
    [
        ("vcrpy.yaml", [False, False, False, False, True, True]),
        ("vcrpy.json", [False, False]),
        ("vcr-ruby.yml", [False, False, True]),
        ("vcr-ruby-exact-bytes.yml", [False, False, True]),
    ],
)
def test_files_of_real_recorders(name: str, compressed: list[bool]) -> None:
    """
    vcrpy 9.4.2 and VCR 5.0.0 for Ruby, as YAML and JSON: text, binary and Base64 bodies, plain and compressed.
    """
    path, problems = RECORDERS / name, Problems()
    found = list(calls(path, format_of(path), problems))

    assert [call.encoded for call in found] == compressed
    assert {call.usage for call in found} == {Usage(Tokens(3, 11, 0, 7, 5))}
    assert {json.loads(call.body)["messages"][0]["content"] for call in found} == {"Hello, h\u00e9"}
    assert {call.started_at for call in found} == {NOON}
    assert problems.count == 0


def test_a_cassette_of_go() -> None:
    """
    The status of its answer is a number next to the text, and its request has a `url`.
    """
    (call,), problems, _ = played(GO)

    assert problems == []
    assert (call.body, call.usage, call.started_at) == (
        b'{"messages":[],"model":"m"}',
        Usage(Tokens(3, output=5)),
        NOON,
    )


@pytest.mark.skipif(not (TRACES / "bodies" / "pydantic-ai").exists(), reason="no recorded traffic at hand")
def test_cassettes_of_pydantic_ai() -> None:
    """
    Nine calls with parsed bodies, one of them streamed; calls that count tokens and calls to Bedrock are other requests.
    """
    found, others = [], 0
    for path in sorted((TRACES / "bodies" / "pydantic-ai").glob("*.yaml")):
        problems = Problems()
        assert format_of(path) == "cassette"
        found += list(calls(path, "cassette", problems))
        assert problems.count == 0
        others += problems.other_requests

    assert (len(found), others) == (9, 3)
    assert all(call.usage is not None for call in found)
    assert {json.loads(call.body)["model"].rpartition("-")[0] for call in found} >= {"claude-sonnet-4"}


def test_an_interaction() -> None:
    """
    The body byte for byte, and the time from the answer's date.
    """
    (call,), problems, others = played(
        a_cassette(an_interaction({"method": "GET"}), an_interaction(), an_interaction({"uri": "https://x/v1/models"}))
    )

    assert (problems, others) == ([], 2)
    assert (call.place, call.body, call.path) == ("c.yaml: interaction 2", BODY, "/v1/messages")
    assert (call.headers, call.started_at, call.ended_at) == (((b"x-a", b"1"),), NOON, None)
    assert (call.usage, call.answered) == (Usage(Tokens(3, 0, 0, 7, 5)), True)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"headers": {}}, (None, Usage(Tokens(3, 0, 0, 7, 5)), True)),
        ({"headers": {"date": "2026-11-24T12:00:00Z"}}, (NOON, Usage(Tokens(3, 0, 0, 7, 5)), True)),
        ({"headers": None, "body": None}, (None, None, True)),
        ({"status": {"code": 529}, "body": {"string": b"\xff"}}, (NOON, None, False)),
        ({"status": None, "body": {"string": ""}}, (NOON, None, True)),
        (
            {"body": {"string": ""}, "parsed_body": {"type": "message", "stop_reason": "end_turn", "usage": USAGE}},
            (NOON, Usage(Tokens(3, 0, 0, 7, 5)), True),
        ),
    ],
)
def test_answers(more: dict[str, Any], expected: tuple[datetime | None, Usage | None, bool]) -> None:
    """
    With and without a date, a body, a status.
    """
    (call,), _, _ = played(a_cassette(an_interaction(**more)))

    assert (call.started_at, call.usage, call.answered) == expected


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"body": None}, "its body was not recorded"),
        ({"body": {"base64_string": "?"}}, "its body was not recorded"),
        ({"body": None, "parsed_body": {None: 1}}, "a field in an unknown form"),
    ],
)
def test_unreadable_interactions_are_listed(request_: dict[str, Any], problem: str) -> None:
    """
    Each problem names its interaction; the other interactions are read.
    """
    found, problems, _ = played(a_cassette(an_interaction(request_), an_interaction()))

    assert len(found) == 1
    assert problems == [f"c.yaml: interaction 1: {problem}"]


BOMB = "interactions:\n- &a0 [x, x]\n" + "".join(f"- &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interactions: [", "not plain YAML"),
        ("interactions:\n- !!python/object/apply:os.system ['true']\n", "not plain YAML: line 2, column 3"),
        ("interactions: !mine x\n", "not plain YAML: line 1, column 15"),
        ("interactions: \x01", "not plain YAML"),
        ("interactions: &a [*a]\n", "a part of it contains itself"),
        ("interactions: " + "[" * 5000, "not plain YAML"),
        ("interactions: " + "[" * 900 + "]" * 900, None),
        ("interactions: {a: 1}", "its interactions are not a list"),
        (BOMB, "its aliases make it larger than 268,435,456 bytes"),
        ('{"interactions": [', "not JSON"),
        ('{"interactions": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        (b"interactions: \xff", "not plain YAML"),
    ],
)
def test_hostile_files(text: str | bytes, problem: str | None) -> None:
    """
    A hostile file creates no object, uses little memory, and is one error.
    """
    found, problems, _ = played(text)

    assert found == []
    if problem is not None:
        assert problems[0].startswith(f"c.yaml: {problem}")


def test_without_the_fast_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    PyYAML can be installed without its C extension.
    """
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)

    assert len(played(GO)[0]) == 1
    assert len(played((RECORDERS / "vcr-ruby.yml").read_bytes())[0]) == 3
    assert cassettes._MAX_EXPANDED_BYTES == 256 * 1024 * 1024


def test_aliases_are_read(tmp_path: Path) -> None:
    """
    PyYAML writes an object that occurs twice only once.
    """
    headers = {"Date": ["Tue, 24 Nov 2026 12:00:00 GMT"]}
    text = a_cassette(an_interaction(headers=headers), an_interaction(headers=headers))

    assert "*id001" in text
    assert [call.started_at for call in played(text)[0]] == [datetime(2026, 11, 24, 12, tzinfo=UTC)] * 2


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.binary(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["request", "response", "body", "string", "headers", "uri", "method", "status", "code"]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_is_in_it(value: Any) -> None:
    """
    No content raises an exception.
    """
    played(
        a_cassette(value, {"request": value, "response": value}, {"request": {"uri": "/v1/messages", "body": value}})
    )
