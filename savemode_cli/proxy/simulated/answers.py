"""
What the API answers: a message as JSON, and the same as server-sent events.

Rule of this file: shapes only. What is said and what it costs comes in; nothing is decided here.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming and the official SDK's types (checked 2026-11-24).
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from msgspec.json import encode

Kind = Literal["text", "thinking", "tool_use"]
Object = dict[str, Any]

_WORDS = re.compile(r"(?:\s*\S+){1,4}\s*|\s+")
_INPUT_PIECE_CHARS = 24
_PLACEHOLDER_TOKENS = 1  # what `message_start` says of the output before there is any


@dataclass(frozen=True, slots=True)
class Block:
    """
    One block of an answer. `text` is what a text or thinking block says; a `tool_use` has a name, an input and an id.
    """

    kind: Kind
    text: str = ""
    name: str = ""
    arguments: Object | None = None
    id: str = ""

    @property
    def said(self) -> str:
        """
        What is written out of it, piece by piece: its text, or its input as JSON.
        """
        return self.text if self.kind != "tool_use" else encode(self.arguments or {}).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What is said. `output_tokens` is the total that is billed, thinking included.
    """

    blocks: tuple[Block, ...]
    stop_reason: str
    output_tokens: int
    thinking_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Billed:
    """
    The prompt's tokens, disjoint, and what else the usage tells.
    """

    input_tokens: int = 0
    read_tokens: int = 0
    write_5m_tokens: int = 0
    write_1h_tokens: int = 0
    geo: str = "global"
    fast: bool = False

    @property
    def prompt_tokens(self) -> int:
        """
        All of the prompt.
        """
        return self.input_tokens + self.read_tokens + self.write_5m_tokens + self.write_1h_tokens


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event as it stands in the stream, and the output tokens of which it and those before it are a part.
    """

    data: bytes
    output_tokens: int = 0


def prompt_usage(billed: Billed) -> Object:
    """
    The part of a usage that a prompt makes.
    """
    return {
        "input_tokens": billed.input_tokens,
        "cache_creation_input_tokens": billed.write_5m_tokens + billed.write_1h_tokens,
        "cache_read_input_tokens": billed.read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": billed.write_5m_tokens,
            "ephemeral_1h_input_tokens": billed.write_1h_tokens,
        },
    }


def message(answer: Answer, billed: Billed, message_id: str, model: str) -> Object:
    """
    The whole message.
    """
    return _message(message_id, model, [_block(one) for one in answer.blocks], answer.stop_reason) | {
        "usage": _usage(billed, answer.output_tokens) | _details(answer)
    }


def events(answer: Answer, billed: Billed, message_id: str, model: str) -> Iterator[Event]:
    """
    The message as events: a usage with a placeholder first, the blocks in pieces, the totals in the end.
    """
    started = _message(message_id, model, [], None) | {"usage": _usage(billed, _PLACEHOLDER_TOKENS)}
    yield Event(_sse("message_start", message=started))
    all_chars = sum(len(block.said) for block in answer.blocks) or 1
    chars = 0
    for index, block in enumerate(answer.blocks):
        yield Event(
            _sse("content_block_start", index=index, content_block=_empty(block)), _part(answer, chars, all_chars)
        )
        if index == 0:
            yield Event(_sse("ping"))
        for length, delta in _deltas(block):
            chars += length
            yield Event(_sse("content_block_delta", index=index, delta=delta), _part(answer, chars, all_chars))
        yield Event(_sse("content_block_stop", index=index), _part(answer, chars, all_chars))
    totals = prompt_usage(billed)
    del totals["cache_creation"]  # the totals of a stream do not tell the split again
    ended = {"stop_reason": answer.stop_reason, "stop_sequence": None}
    usage = totals | {"output_tokens": answer.output_tokens} | _details(answer)
    yield Event(_sse("message_delta", delta=ended, usage=usage), answer.output_tokens)
    yield Event(_sse("message_stop"), answer.output_tokens)


def error_event(api_type: str, said: str, request_id: str) -> bytes:
    """
    The event with which a stream ends that cannot be finished.
    """
    return _sse("error", error={"type": api_type, "message": said}, request_id=request_id)


def model_row(model: str, name: str, created: str) -> Object:
    """
    A model in a list of them.
    """
    return {"type": "model", "id": model, "display_name": name, "created_at": created}


def _part(answer: Answer, chars: int, all_chars: int) -> int:
    return answer.output_tokens * chars // all_chars


def _message(message_id: str, model: str, content: list[Object], stop_reason: str | None) -> Object:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
    }


def _usage(billed: Billed, output_tokens: int) -> Object:
    usage = prompt_usage(billed) | {
        "output_tokens": output_tokens,
        "service_tier": "standard",
        "inference_geo": billed.geo,
    }
    return usage | {"speed": "fast"} if billed.fast else usage


def _details(answer: Answer) -> Object:
    return {"output_tokens_details": {"thinking_tokens": answer.thinking_tokens}} if answer.thinking_tokens else {}


def _block(block: Block) -> Object:
    match block.kind:
        case "text":
            return {"type": "text", "text": block.text}
        case "thinking":
            return {"type": "thinking", "thinking": block.text, "signature": _signature(block.text)}
        case "tool_use":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.arguments or {}}


def _empty(block: Block) -> Object:
    match block.kind:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}


def _deltas(block: Block) -> Iterator[tuple[int, Object]]:
    """
    The pieces of a block, each with the number of characters in it.
    """
    match block.kind:
        case "text":
            for piece in _WORDS.findall(block.text):
                yield len(piece), {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in _WORDS.findall(block.text):
                yield len(piece), {"type": "thinking_delta", "thinking": piece}
            yield 0, {"type": "signature_delta", "signature": _signature(block.text)}
        case "tool_use":
            said = block.said
            yield 0, {"type": "input_json_delta", "partial_json": ""}
            for start in range(0, len(said), _INPUT_PIECE_CHARS):
                piece = said[start : start + _INPUT_PIECE_CHARS]
                yield len(piece), {"type": "input_json_delta", "partial_json": piece}


def _signature(thought: str) -> str:
    return base64.b64encode(hashlib.sha256(thought.encode("utf-8", "surrogatepass")).digest()).decode()


def _sse(name: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode({"type": name, **fields}))
