"""
Captures as lines of JSON.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.capture import SCHEMA
from savemode_cli.core.errors import BadInput, CaptureTooNew
from savemode_cli.core.jsonl import is_line, line, read_line
from savemode_cli.core.usage import usage_of
from tests.core.test_capture import a_capture


@settings(deadline=None)
@given(st.binary() | st.sampled_from([b'{"a":1e5,"a":2}', b'{"text":"\\ud800"}', b'"\xc3\xa9"', b"\xef\xbb\xbf{}"]))
def test_line_reads_back_as_the_capture(body: bytes) -> None:
    """
    Whatever the bodies are, they come back byte for byte, but for line breaks between the tokens of JSON.
    """
    capture = a_capture(request_body=body.replace(b"\n", b"").replace(b"\r", b""), response_body=body)

    text = line(capture)

    assert b"\n" not in text
    assert is_line(text)
    assert read_line(text) == capture


def test_line_says_what_others_read() -> None:
    """
    Time, session, model, usage in the API's own names, and the body as JSON.
    """
    capture = a_capture(request_body=b'{"model": "m",\n "messages": []}')
    read = json.loads(line(capture))

    assert read["started_at"] == "2026-11-24T12:00:00.123456Z"
    assert (read["session"], read["model"]) == ("0123456789abcdef", "claude-opus-5-5")
    assert read["anthropic_beta"] == "a,b"
    assert read["body"] == {"model": "m", "messages": []}
    assert usage_of({"usage": read["usage"]}) == capture.exchange.usage
    assert "\n" not in line(capture).decode()


def test_line_break_becomes_a_space_and_moves_no_edit() -> None:
    """
    The body has the same length, so that the edits' offsets stay true.
    """
    body = b'{\r\n"model": "m"}'

    assert read_line(line(a_capture(request_body=body))).request_body == b'{  "model": "m"}'


def test_body_that_was_not_kept_is_not_there() -> None:
    """
    Absent, which is not the same as empty.
    """
    capture = a_capture(request_body=None, response_body=None)

    assert not {"body", "body_base64", "response_text", "response_base64"} & set(json.loads(line(capture)))
    assert read_line(line(capture)) == capture


@pytest.mark.parametrize("text", [b"", b"{}", b'{"capture":{}}', b'{"messages":[]}', b"[" * 100_000])
def test_other_line_is_said_to_be_none(text: bytes) -> None:
    """
    One error, and a way out.
    """
    assert not is_line(b'{"messages":[]}')
    with pytest.raises(BadInput):
        read_line(text)


def test_newer_line_is_refused_with_a_word() -> None:
    """
    A file of a later version does not read as damaged.
    """
    read = json.loads(line(a_capture()))
    read["capture"]["schema"] = SCHEMA + 1

    with pytest.raises(CaptureTooNew):
        read_line(json.dumps(read).encode())
