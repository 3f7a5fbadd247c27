"""
The format of answers: a message as JSON, and the same message as server-sent events.

Rule of this file: it only formats; the caller decides the content and the usage.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming and the official SDK's types (checked 2026-11-24).
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from msgspec.json import encode

from savemode_cli.core.wire.usage import NO_TOKENS, Tokens

Kind = Literal["text", "thinking", "tool_use"]
Object = dict[str, Any]

_WORDS = re.compile(r"(?:\s*\S+){1,4}\s*|\s+")
_INPUT_PIECE_CHARS = 24
_PLACEHOLDER_TOKENS = 1  # the output tokens in `message_start`, before there is any output


@dataclass(frozen=True, slots=True)
class Block:
    """
    One content block of an answer.

    Attributes:
        kind: the type of the block.
        text: the content of a text or thinking block.
        name: the name of the tool of a `tool_use` block.
        arguments: the input of a `tool_use` block.
        id: the ID of a `tool_use` block.
    """

    kind: Kind
    text: str = ""
    name: str = ""
    arguments: Object | None = None
    id: str = ""

    @property
    def streamed_text(self) -> str:
        """
        The text that a stream sends in pieces: the block's text, or its input as JSON.
        """
        return self.text if self.kind != "tool_use" else encode(self.arguments or {}).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The content of an answer.

    Attributes:
        blocks: the content blocks.
        stop_reason: why the answer ends.
        output_tokens: the tokens that are billed, including thinking.
        thinking_tokens: how many of them are thinking.
    """

    blocks: tuple[Block, ...]
    stop_reason: str
    output_tokens: int
    thinking_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Billed:
    """
    What a prompt is billed for, and the other facts in its `usage`.
    """

    tokens: Tokens = NO_TOKENS
    """The tokens of the prompt, without output tokens."""
    geo: str = "global"
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event of a stream.

    Attributes:
        data: the event as it is sent.
        output_tokens: how many output tokens the stream contains up to and including this event.
    """

    data: bytes
    output_tokens: int = 0


def prompt_usage(tokens: Tokens) -> Object:
    """
    The part of a `usage` object that describes the prompt.
    """
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.write_5m,
            "ephemeral_1h_input_tokens": tokens.write_1h,
        },
    }


def message(answer: Answer, billed: Billed, message_id: str, model: str, diagnostics: Object | None = None) -> Object:
    """
    The answer as one JSON message, with its diagnostics if there are any.
    """
    return _message(message_id, model, [_block(block) for block in answer.blocks], answer.stop_reason) | {
        "usage": _usage(billed, answer.output_tokens) | _details(answer),
        **_diagnosed(diagnostics),
    }


def events(
    answer: Answer, billed: Billed, message_id: str, model: str, diagnostics: Object | None = None
) -> Iterator[Event]:
    """
    The answer as events: a usage with a placeholder first, then the blocks in pieces, and the totals at the end.
    """
    started = _message(message_id, model, [], None) | {"usage": _usage(billed, _PLACEHOLDER_TOKENS)}
    started |= _diagnosed(diagnostics)
    yield Event(_sse("message_start", message=started))
    total_chars = sum(len(block.streamed_text) for block in answer.blocks) or 1
    chars = 0
    for index, block in enumerate(answer.blocks):
        yield Event(
            _sse("content_block_start", index=index, content_block=_empty_block(block)),
            _tokens_so_far(answer, chars, total_chars),
        )
        if index == 0:
            yield Event(_sse("ping"))
        for length, delta in _deltas(block):
            chars += length
            yield Event(
                _sse("content_block_delta", index=index, delta=delta), _tokens_so_far(answer, chars, total_chars)
            )
        yield Event(_sse("content_block_stop", index=index), _tokens_so_far(answer, chars, total_chars))
    totals = prompt_usage(billed.tokens)
    del totals["cache_creation"]  # the totals at the end of a stream do not repeat the split by TTL
    ended = {"stop_reason": answer.stop_reason, "stop_sequence": None}
    usage = totals | {"output_tokens": answer.output_tokens} | _details(answer)
    yield Event(_sse("message_delta", delta=ended, usage=usage), answer.output_tokens)
    yield Event(_sse("message_stop"), answer.output_tokens)


def error_event(api_type: str, text: str, request_id: str) -> bytes:
    """
    The event that ends a stream that cannot be completed.
    """
    return _sse("error", error={"type": api_type, "message": text}, request_id=request_id)


def model_row(model: str, name: str, created: str) -> Object:
    """
    A model as the list of models shows it.
    """
    return {"type": "model", "id": model, "display_name": name, "created_at": created}


def _tokens_so_far(answer: Answer, chars: int, total_chars: int) -> int:
    return answer.output_tokens * chars // total_chars


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


def _diagnosed(diagnostics: Object | None) -> Object:
    return {} if diagnostics is None else {"diagnostics": diagnostics}


def _usage(billed: Billed, output_tokens: int) -> Object:
    usage = prompt_usage(billed.tokens) | {
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


def _empty_block(block: Block) -> Object:
    match block.kind:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}


def _deltas(block: Block) -> Iterator[tuple[int, Object]]:
    """
    The pieces of a block, each with its number of characters.
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
            text = block.streamed_text
            yield 0, {"type": "input_json_delta", "partial_json": ""}
            for start in range(0, len(text), _INPUT_PIECE_CHARS):
                piece = text[start : start + _INPUT_PIECE_CHARS]
                yield len(piece), {"type": "input_json_delta", "partial_json": piece}


def _signature(thought: str) -> str:
    return base64.b64encode(hashlib.sha256(thought.encode("utf-8", "surrogatepass")).digest()).decode()


def _sse(name: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode({"type": name, **fields}))
