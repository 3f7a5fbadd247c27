"""
Captures as lines of JSON.
"""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.captures.jsonl import line, read_line
from savemode_cli.core.errors import BadInput, CaptureTooNew
from savemode_cli.core.exchange.capture import SCHEMA
from savemode_cli.core.wire.report import ReportedUsage, usage_from
from tests.core.exchange.test_capture import a_capture
from tests.support.values import replace


@given(st.binary() | st.sampled_from([b'{"a":1e5,"a":2}', b'{"text":"\\ud800"}', b'"\xc3\xa9"', b"\xef\xbb\xbf{}"]))
def test_line_reads_back_as_the_capture(body: bytes) -> None:
    """
    Every body is read back byte for byte, except for line breaks between JSON tokens.
    """
    capture = a_capture(request_body=body.replace(b"\n", b"").replace(b"\r", b""), response_body=body)

    text = line(capture)

    assert b"\n" not in text
    assert read_line(text) == capture


def test_line_has_fields_for_other_programs() -> None:
    """
    Time, session, model, usage with the API's field names, and the body as JSON.
    """
    capture = a_capture(request_body=b'{"model": "m",\n "messages": []}')
    read = json.loads(line(capture))

    assert read["started_at"] == "2026-11-24T12:00:00.123456Z"
    assert (read["session"], read["model"]) == ("0123456789abcdef", "claude-opus-5-5")
    assert read["anthropic_beta"] == "a,b"
    assert read["body"] == {"model": "m", "messages": []}
    usage = capture.exchange.bill.usage
    assert usage is not None
    # The reason of a refusal is in the answer, not in the usage.
    assert usage_from(msgspec.convert(read["usage"], ReportedUsage)) == replace(usage, declined=None)
    assert "\n" not in line(capture).decode()


def test_line_break_becomes_a_space_and_moves_no_edit() -> None:
    """
    The body keeps its length, so that the offsets of the edits stay correct.
    """
    body = b'{\r\n"model": "m"}'

    assert read_line(line(a_capture(request_body=body))).request_body == b'{  "model": "m"}'


def test_body_that_was_not_recorded_is_absent() -> None:
    """
    A body that was not recorded is absent, which differs from an empty body.
    """
    capture = a_capture(request_body=None, response_body=None)

    assert not {"body", "body_base64", "response_text", "response_base64"} & set(json.loads(line(capture)))
    assert read_line(line(capture)) == capture


@pytest.mark.parametrize("text", [b"", b"{}", b'{"capture":{}}', b'{"messages":[]}', b"[" * 100_000])
def test_line_that_is_not_a_capture(text: bytes) -> None:
    """
    One error with a hint.
    """
    with pytest.raises(BadInput):
        read_line(text)


def test_line_of_a_newer_version() -> None:
    """
    The error says that a newer version wrote the line.
    """
    read = json.loads(line(a_capture()))
    read["capture"]["schema"] = SCHEMA + 1

    with pytest.raises(CaptureTooNew):
        read_line(json.dumps(read).encode())
