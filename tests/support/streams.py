"""
What the upstream of the tests answers to a real SDK: messages and server-sent events in the API's shapes.

Builders of bytes, and of scripts for `tests.support.upstream.Upstream`.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from tests.support.upstream import Received, Script, reply

MODEL = "claude-opus-5-5"
USAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1,
}
END = b"0\r\n\r\n"
"""The end of a body that was sent in chunks."""

Event = dict[str, Any]


def message(*content: dict[str, Any], stop_reason: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    """
    A whole message.
    """
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": dict(USAGE),
        **more,
    }


def text(said: str) -> dict[str, Any]:
    """
    A text block.
    """
    return {"type": "text", "text": said}


def tool_use(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """
    A block that asks for a tool.
    """
    return {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}


def streamed_text(*pieces: str) -> list[Event]:
    """
    The events of a message of one text block that comes in these pieces.
    """
    return streamed({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces])


def streamed_tool_use(name: str, *pieces: str) -> list[Event]:
    """
    The events of a message that asks for a tool, its input in pieces of JSON.
    """
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return streamed(tool_use(name, {}), deltas, stop_reason="tool_use")


def streamed_thinking(thoughts: Sequence[str], signature: str, said: str) -> list[Event]:
    """
    The events of a message that thinks in these pieces, is pinged at every hundredth, signs its thoughts, and says a text.
    """
    start, opened, ping, *rest = streamed_text(said)
    thinking: list[Event] = [{**opened, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}, ping]
    for number, thought in enumerate(thoughts, start=1):
        thinking.append(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": thought}}
        )
        thinking += [ping] * (number % 100 == 0)
    signed = {"type": "signature_delta", "signature": signature}
    thinking += [
        {"type": "content_block_delta", "index": 0, "delta": signed},
        {"type": "content_block_stop", "index": 0},
    ]
    return [start, *thinking, *({**one, "index": 1} if "index" in one else one for one in [opened, *rest])]


def streamed(block: dict[str, Any], deltas: Sequence[dict[str, Any]], *, stop_reason: str = "end_turn") -> list[Event]:
    """
    The events of a message with one block, and a ping where the API sends one.
    """
    return [
        {"type": "message_start", "message": message(stop_reason=None)},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": None},
            "usage": {**USAGE, "output_tokens": 7},
        },
        {"type": "message_stop"},
    ]


def failure(api_type: str, said: str) -> Event:
    """
    The event with which the API ends a stream that it cannot finish.
    """
    return {"type": "error", "error": {"type": api_type, "message": said}, "request_id": "req_up"}


def sse(event: Event) -> bytes:
    """
    One event as it stands in the stream.
    """
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def chunk(piece: bytes) -> bytes:
    """
    A piece of a body in the chunked transfer coding.
    """
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


def head(*headers: tuple[str, str]) -> bytes:
    """
    The head of an answer that is a stream of events.
    """
    own = (
        ("content-type", "text/event-stream; charset=utf-8"),
        ("request-id", "req_up"),
        ("cache-control", "no-cache"),
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*own, *headers))
    return f"HTTP/1.1 200 OK\r\n{lines}transfer-encoding: chunked\r\n\r\n".encode()


def answers(*replies: bytes) -> Script:
    """
    The script that gives these answers in turn, and the last one from then on.
    """
    left = list(replies)

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return script


def says(*content: dict[str, Any], **more: Any) -> Script:
    """
    The script that answers every request with this message.
    """
    return answers(reply(json.dumps(message(*content, **more)).encode()))


def streams(events: Sequence[Event]) -> Script:
    """
    The script that answers every request with these events.
    """
    return answers(head() + b"".join(chunk(sse(event)) for event in events) + END)


def stalls_after(events: Sequence[Event], go_on: asyncio.Event, rest: Sequence[Event] = ()) -> Script:
    """
    The script that sends the first events and the others only when told to go on.
    """

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head() + b"".join(chunk(sse(event)) for event in events))
        await writer.drain()
        await go_on.wait()
        writer.write(b"".join(chunk(sse(event)) for event in rest) + END)

    return script


def refusal(status: str, api_type: str, said: str, **headers: str) -> bytes:
    """
    An error in the API's envelope, with its request id, and with further headers (`_` stands for `-`).
    """
    body = json.dumps({"type": "error", "error": {"type": api_type, "message": said}, "request_id": "req_up"}).encode()
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return reply(body, status, (("content-type", "application/json"), ("request-id", "req_up"), *more))
