"""
The format of an answer, as JSON and as events, read by the official SDK.
"""

import json

from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.core.wire.sse import EventData
from savemode_cli.core.wire.usage import Tokens
from savemode_cli.simulated.answers import Answer, Billed, Block, error_event, events, message, model_row

BILLED = Billed(Tokens(input=10, read=1500, write_5m=20, write_1h=300))
ANSWER = Answer(
    (
        Block("thinking", "Look first."),
        Block("text", "I run it, and look at what it says."),
        Block("tool_use", name="sh", arguments={"cmd": "make -k all", "z": {"a": [1.5, "☃"]}}, id="toolu_1"),
    ),
    "tool_use",
    output_tokens=90,
    thinking_tokens=12,
)


def parsed(answer: Answer, billed: Billed = BILLED) -> list[dict[str, object]]:
    """
    The parsed events of an answer.
    """
    data = EventData(2**20).feed(b"".join(event.data for event in events(answer, billed, "msg_1", "claude-opus-5-5")))
    return [json.loads(one) for one in data]


def rebuilt(answer: Answer) -> list[object]:
    """
    The blocks that a client builds from the deltas.
    """
    blocks: list[dict[str, object]] = []
    inputs: dict[int, str] = {}
    for event in parsed(answer):
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))  # type: ignore[call-overload]
        elif event["type"] == "content_block_delta":
            delta, index = event["delta"], event["index"]
            assert isinstance(delta, dict)
            assert isinstance(index, int)
            if "partial_json" in delta:
                inputs[index] = inputs.get(index, "") + delta["partial_json"]
            for key in ("text", "thinking", "signature"):
                if key in delta:
                    blocks[index][key] = str(blocks[index][key]) + delta[key]
    for index, said in inputs.items():
        blocks[index]["input"] = json.loads(said)
    return list(blocks)


def test_a_message_has_the_types_of_the_sdk() -> None:
    """
    Every field has the type that the official SDK declares.
    """
    read = Message.model_validate(message(ANSWER, BILLED, "msg_1", "claude-opus-5-5"), strict=True)

    assert [block.type for block in read.content] == ["thinking", "text", "tool_use"]
    assert (read.id, read.stop_reason) == ("msg_1", "tool_use")
    assert (read.usage.input_tokens, read.usage.cache_read_input_tokens, read.usage.output_tokens) == (10, 1500, 90)
    assert read.usage.cache_creation_input_tokens == 320
    assert read.usage.cache_creation is not None
    assert read.usage.cache_creation.ephemeral_5m_input_tokens == 20
    assert read.usage.cache_creation.ephemeral_1h_input_tokens == 300
    assert read.usage.output_tokens_details is not None
    assert read.usage.output_tokens_details.thinking_tokens == 12


def test_events_come_in_the_apis_order() -> None:
    """
    The start, a ping after the start of the first block, each block in pieces, the totals, the end.
    """
    kinds = [event["type"] for event in parsed(ANSWER)]

    assert kinds[:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 3
    assert kinds.count("ping") == 1


def test_the_split_by_ttl_is_sent_once() -> None:
    """
    The first event has the split by TTL and a placeholder for the output; the last usage has cumulative totals without
    the split.
    """
    first, *_, totals, _last = parsed(ANSWER)

    assert first["message"]["usage"]["cache_creation"] == {  # type: ignore[index]
        "ephemeral_5m_input_tokens": 20,
        "ephemeral_1h_input_tokens": 300,
    }
    assert first["message"]["usage"]["output_tokens"] == 1  # type: ignore[index]
    assert totals["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 320,
        "cache_read_input_tokens": 1500,
        "output_tokens": 90,
        "output_tokens_details": {"thinking_tokens": 12},
    }
    assert totals["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_the_pieces_make_the_message() -> None:
    """
    The message that a client builds from the stream equals the JSON message.
    """
    assert rebuilt(ANSWER) == message(ANSWER, BILLED, "msg_1", "m")["content"]


@given(said=st.text(), thought=st.text(), key=st.text(), value=st.text())
def test_the_pieces_contain_the_whole_text(said: str, thought: str, key: str, value: str) -> None:
    """
    Spaces, line ends and characters of any size: the pieces contain the whole text.
    """
    call = Block("tool_use", name="sh", arguments={key: value}, id="toolu_1")
    answer = Answer((Block("thinking", thought), Block("text", said), call), "tool_use", 10)

    assert rebuilt(answer) == message(answer, BILLED, "msg_1", "m")["content"]


def test_a_meter_reads_the_same_from_both() -> None:
    """
    The proxy's meter finds the same usage in the message and in the stream.
    """
    whole, stream = UsageMeter(), UsageMeter()
    whole.feed(json.dumps(message(ANSWER, BILLED, "msg_1", "m")).encode())
    for event in events(ANSWER, BILLED, "msg_1", "m"):
        stream.feed(event.data)
    for meter in (whole, stream):
        meter.close()

    assert whole.usage == stream.usage
    assert whole.usage is not None
    assert (whole.usage.tokens.write_5m, whole.usage.tokens.write_1h) == (20, 300)
    assert stream.final


def test_output_grows_with_the_stream() -> None:
    """
    The output tokens of the events never decrease and end at the total.
    """
    said = [event.output_tokens for event in events(ANSWER, BILLED, "msg_1", "m")]

    assert (said[0], said[-1]) == (0, 90)
    assert said == sorted(said)
    assert len(set(said)) > 5


def test_an_answer_without_output() -> None:
    """
    An answer without output has no block, and so no ping.
    """
    kinds = [event["type"] for event in parsed(Answer((), "max_tokens", 0))]

    assert kinds == ["message_start", "message_delta", "message_stop"]


def test_region_and_speed() -> None:
    """
    The usage contains the requested region and speed.
    """
    usage = message(ANSWER, Billed(geo="us", fast=True), "msg_1", "m")["usage"]

    assert (usage["inference_geo"], usage["speed"]) == ("us", "fast")
    assert "speed" not in message(ANSWER, BILLED, "msg_1", "m")["usage"]


def test_rows_and_errors() -> None:
    """
    The formats of a model row and of an error event.
    """
    assert model_row("claude-x", "Claude X", "2026-01-01T00:00:00Z")["type"] == "model"
    assert error_event("api_error", "why", "req_1") == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"why"},"request_id":"req_1"}\n\n'
    )
