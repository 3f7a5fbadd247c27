"""
What was said, as PostHog shows conversations.
"""

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.exchange.observed import Content
from savemode_cli.telemetry.content import MOST_BYTES, clean, conversation, error_message, plain
from tests.support.streams import Event, message, sse, streamed, streamed_text, streamed_tool_use, text, tool_use

STREAM = [(b"Content-Type", b"text/event-stream; charset=utf-8")]


def said(request: Any = None, answer: Any = None, **more: Any) -> dict[str, Any]:
    """
    The properties of a conversation of these JSON bodies.
    """
    return conversation(Content([], json.dumps(request).encode(), [], json.dumps(answer).encode(), **more))


def streamed_output(events: list[Event], cut: int | None = None) -> Any:
    """
    The output of an answer that was streamed, up to some byte.
    """
    body = b"".join(sse(event) for event in events)[:cut]
    return conversation(Content([], None, STREAM, body)).get("$ai_output_choices")


def test_input_is_the_system_prompt_and_the_messages() -> None:
    """
    In their order, as the SDK's own integration gives them; tools beside them.
    """
    tools = [{"name": "sh", "input_schema": {"type": "object"}}]
    found = said({"system": "be brief", "messages": [{"role": "user", "content": "hi"}], "tools": tools})

    assert found == {
        "$ai_tools": tools,
        "$ai_input": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
    }


def test_output_is_blocks_by_kind() -> None:
    """
    A tool's use is a function call; what PostHog has no form for stays as it is.
    """
    other = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}}
    found = said({}, message(text("hello"), tool_use("sh", {"command": "ls"}), other))

    assert found["$ai_output_choices"] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "hello"},
                {"type": "function", "id": "toolu_1", "function": {"name": "sh", "arguments": {"command": "ls"}}},
                other,
            ],
        }
    ]


def test_a_stream_is_put_together() -> None:
    """
    Text and a tool's input come in pieces; so do thinking and what signs it.
    """
    call = streamed_tool_use("sh", '{"comm', 'and":"ls"}')
    deltas: list[dict[str, Any]] = [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "sig"},
        {"type": "citations_delta", "citation": {}},
    ]
    thought = streamed({"type": "thinking", "thinking": "", "signature": ""}, deltas)

    assert streamed_output(streamed_text("hel", "lo"))[0]["content"] == [{"type": "text", "text": "hello"}]
    assert streamed_output(call)[0]["content"] == [
        {"type": "function", "id": "toolu_1", "function": {"name": "sh", "arguments": {"command": "ls"}}}
    ]
    assert streamed_output(thought)[0]["content"] == [{"type": "thinking", "thinking": "hmm", "signature": "sig"}]


def test_a_stream_that_was_cut_short_is_shown_as_far_as_it_came() -> None:
    """
    A tool's half input is shown as the text it is.
    """
    events = streamed_tool_use("sh", '{"comm', 'and":"ls"}')[:4]

    assert streamed_output(events)[0]["content"][0]["function"]["arguments"] == '{"comm'


@given(st.integers(0, 2000))
def test_no_cut_breaks_it(cut: int) -> None:
    """
    Wherever the stream ended, there is an output or none, and no exception.
    """
    found = streamed_output(streamed_text("hello ", "wörld"), cut)

    assert found is None or "hello wörld".startswith(found[0]["content"][0]["text"])


def test_events_of_no_sense_are_skipped() -> None:
    """
    A delta of a block that never began, an index that is none, a block that is no object, no JSON at all.
    """
    events: list[Event] = [
        {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_start", "index": "0", "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_start", "index": 0, "content_block": "text"},
        {"type": "content_block_delta", "index": [0], "delta": {}},
        {"type": "content_block_delta", "index": 0, "delta": "text"},
    ]

    assert streamed_output([*events, *streamed_text("hi")])[0]["content"] == [{"type": "text", "text": "hi"}]
    assert conversation(Content([], None, STREAM, b"data: {\n\ndata: 7\n\n")) == {}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000])
def test_media_is_a_marker_with_its_size(size: int) -> None:
    """
    Case E13: of an image, a document or a data URL the kind and the bytes it had, wherever it stands.
    """
    data = base64.b64encode(b"x" * size).decode()
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    nested = {"type": "tool_result", "content": [image, {"type": "text", "text": f"data:image/gif;base64,{data}"}]}
    shown = said({"messages": [{"role": "user", "content": [nested]}]})["$ai_input"][0]["content"][0]["content"]

    assert shown[0]["source"]["data"] == f"[image/png, {size} bytes, left out]"
    assert shown[1]["text"] == f"[image/gif, {size} bytes, left out]"


def test_numbers_are_ones_that_every_reader_takes() -> None:
    """
    Python reads more than JSON can say, and other readers take less.
    """
    read = json.loads("[NaN, Infinity, 1e400, 9223372036854775807, 9223372036854775808, 1.5, true]")

    assert plain(read) == [None, None, None, 2**63 - 1, "9223372036854775808", 1.5, True]


def test_media_without_a_kind() -> None:
    """
    It is left out all the same.
    """
    assert plain({"type": "base64", "data": "AAAA"})["data"] == "[data, 3 bytes, left out]"
    assert plain("data:;base64,AAAA") == "[data, 3 bytes, left out]"
    assert plain({"type": "base64", "data": 7}) == {"type": "base64", "data": 7}


LONG = "x" * (MOST_BYTES // 2)


@pytest.mark.parametrize(
    ("input_halves", "output_halves", "kept"),
    [(0, 1, "both"), (1, 1, "input"), (0, 3, "input"), (3, 0, "none"), (3, 3, "none")],
)
def test_what_is_too_large_is_a_marker(input_halves: int, output_halves: int, kept: str) -> None:
    """
    Case E14: first the output goes, then the input with its tools; what is left is below the bound.
    """
    request = {"messages": [{"role": "user", "content": "in" + LONG * input_halves}], "tools": [{"name": "sh"}]}
    found = said(request, message(text("out" + LONG * output_halves)))

    assert ("left out" in json.dumps(found["$ai_output_choices"])) == (kept != "both")
    assert ("left out" in json.dumps(found["$ai_input"])) == (kept == "none")
    assert ("$ai_tools" in found) == (kept != "none")
    assert [one["role"] for one in found["$ai_input"] + found["$ai_output_choices"]] == ["user", "assistant"]
    assert len(json.dumps(found)) <= MOST_BYTES


def test_bodies_are_decoded() -> None:
    """
    In either direction, by what their headers say; an encoding nobody knows is as good as no body.
    """
    squeezed = gzip.compress(b'{"messages":[{"role":"user","content":"hi"}]}')
    known = Content([(b"content-encoding", b"gzip")], squeezed, [], None)
    unknown = Content([(b"content-encoding", b"rot13")], squeezed, [], None)

    assert conversation(known) == {"$ai_input": [{"role": "user", "content": "hi"}]}
    assert conversation(unknown) == {}


@pytest.mark.parametrize("body", [b"", b"7", b"[]", b"{", b'{"messages":7}', b'{"messages":[7]}', b"[" * 100_000])
def test_what_is_no_request_has_no_input(body: bytes) -> None:
    """
    Nor an output, nor the words of an error.
    """
    content = Content([], body, [], body)

    assert conversation(content) == {}
    assert error_message(content) == ""


def test_what_is_nested_too_deeply_is_left_out() -> None:
    """
    Python's own bound is near where JSON's is: neither may cost the event.
    """
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    body = json.dumps({"messages": [{"role": "user", "content": deep}], "system": "s"}).encode()
    answer = json.dumps({"content": [{"type": "odd", "inner": deep}]}).encode()
    found = conversation(Content([], body, [], answer))

    assert found["$ai_input"][0] == {"role": "system", "content": "s"}
    assert len(json.dumps(found)) < 5000


def test_error_words() -> None:
    """
    Of the API's envelope, and of nothing else.
    """
    assert error_message(Content([], None, [], b'{"error":{"message":"no"}}')) == "no"
    assert error_message(Content([], None, [], b'{"error":"no"}')) == ""
    assert error_message(Content([], None, [], b'{"error":{"message":7}}')) == ""


@given(st.text(alphabet=st.characters(codec=None)))
def test_clean_text_is_utf8(value: str) -> None:
    """
    Whatever JSON can spell can be written afterwards, and what was fine is unchanged.
    """
    fine = not any(0xD800 <= ord(one) <= 0xDFFF for one in value)

    assert clean(value).encode().decode() == clean(value)
    assert (clean(value) == value) or not fine
