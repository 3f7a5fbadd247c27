"""
What was said in an exchange, in the form PostHog shows conversations in; only made where the user asked for content.

Rule of this file: media never leaves, a marker with its size does; what grew too large or cannot be read is a marker
too, so that the rest of the event arrives.
Source: https://posthog.com/docs/llm-analytics/manual-capture (the messages of `$ai_input` and `$ai_output_choices`) and
`posthog.ai.anthropic` of the SDK 7.91, whose shapes these are (checked 2026-11-24).
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from savemode_cli.core.encodings import Undecodable, decoder
from savemode_cli.core.record import Content
from savemode_cli.core.sse import EventData
from savemode_cli.core.usage import MAX_DECODED_BYTES, MAX_EVENT_BYTES

MOST_BYTES = 800 * 1024
"""Of an event's content as JSON: PostHog takes 1 MB an event, its SDK 900 KiB."""

Said = list[dict[str, Any]]
"""Messages with a role each."""

_TOO_DEEP = "[nested too deeply, left out]"
_DATA_URL = re.compile(r"data:([^;,]{0,100})[^,]{0,100};base64,")
_LARGEST = 2**63 - 1
_UNREADABLE = (ValueError, RecursionError)


def conversation(content: Content) -> dict[str, Any]:
    """
    The properties of an event that say what was said: input, output, tools; what there was nothing of is absent.
    """
    request = _parsed(_decoded(content.request_body, content.request_headers))
    found = {
        "$ai_tools": plain(request.get("tools")) if isinstance(request, dict) else None,
        "$ai_input": _input(request),
        "$ai_output_choices": _output(content),
    }
    return _bounded({name: value for name, value in found.items() if value})


def error_message(content: Content) -> str:
    """
    What an answer says went wrong; "" if it says nothing that can be read.
    """
    answer = _parsed(_decoded(content.response_body, content.response_headers))
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return clean(message) if isinstance(message, str) else ""


def clean(value: str) -> str:
    """
    A text that every JSON reader takes: a lone surrogate, which JSON can spell and UTF-8 cannot, becomes `?`.
    """
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def plain(value: Any) -> Any:
    """
    A JSON value that every reader takes, with a marker in the place of each base64 medium; None if it is nested too
    deeply to be shown.
    """
    try:
        return _without_media(value)
    except RecursionError:
        return None


def _without_media(value: Any) -> Any:
    if isinstance(value, str):
        found = _DATA_URL.match(value)
        return clean(value) if found is None else _marker(found[1], value[found.end() :])
    if isinstance(value, list):
        return [_without_media(one) for one in value]
    if isinstance(value, dict):
        shown = {clean(key): _without_media(one) for key, one in value.items()}
        if value.get("type") == "base64" and isinstance(value.get("data"), str):
            shown["data"] = _marker(str(value.get("media_type") or "data"), value["data"])
        return shown
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) > _LARGEST:
        return str(value)
    return value


def _marker(kind: str, data: str) -> str:
    size = len(data) * 3 // 4 - data[-2:].count("=")
    return f"[{clean(kind) or 'data'}, {size} bytes, left out]"


def _bounded(found: dict[str, Any]) -> dict[str, Any]:
    """
    The output, then the input goes if all together is too large; tools belong to the input.
    """
    sizes = {name: len(json.dumps(value)) for name, value in found.items()}
    for role, name, beside in (("assistant", "$ai_output_choices", ""), ("user", "$ai_input", "$ai_tools")):
        if sum(sizes.values()) > MOST_BYTES:
            size = sizes.pop(name, 0) + sizes.pop(beside, 0)
            found.pop(beside, None)
            found[name] = [{"role": role, "content": f"[{size} bytes, left out]"}]
    return found


def _decoded(body: bytes | None, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    if body is None:
        return b""
    try:
        decode = decoder(_header(headers, b"content-encoding"), MAX_DECODED_BYTES)
        return body if decode is None else b"".join(decode(body))
    except Undecodable:
        return b""


def _header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == wanted), "")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except _UNREADABLE:
        return None


def _input(request: Any) -> Said:
    if not isinstance(request, dict):
        return []
    said: Said = []
    if request.get("system") is not None:
        said.append({"role": "system", "content": plain(request["system"])})
    messages = request.get("messages")
    for one in messages if isinstance(messages, list) else []:
        if isinstance(one, dict):
            said.append({"role": one.get("role", "user"), "content": plain(one.get("content", ""))})
    return said


def _output(content: Content) -> Said:
    body = _decoded(content.response_body, content.response_headers)
    if _header(content.response_headers, b"content-type").lower().lstrip().startswith("text/event-stream"):
        blocks: Sequence[Any] = _assembled(body)
    else:
        message = _parsed(body)
        found = message.get("content") if isinstance(message, dict) else None
        blocks = found if isinstance(found, list) else []
    shown = [_shown(block) for block in blocks if isinstance(block, dict)]
    return [{"role": "assistant", "content": shown}] if shown else []


def _shown(block: Mapping[str, Any]) -> dict[str, Any]:
    """
    A block as PostHog's conversation view knows it.
    """
    if block.get("type") == "tool_use":
        function = {"name": block.get("name"), "arguments": plain(block.get("input"))}
        return {"type": "function", "id": block.get("id"), "function": function}
    if block.get("type") == "text":
        return {"type": "text", "text": clean(str(block.get("text") or ""))}
    shown: dict[str, Any] | None = plain(dict(block))
    return shown or {"type": "text", "text": _TOO_DEEP}


_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def _assembled(body: bytes) -> list[dict[str, Any]]:
    """
    The blocks of a streamed answer, as far as it came.
    """
    events = EventData(MAX_EVENT_BYTES)
    blocks: dict[int, dict[str, Any]] = {}
    pieces: dict[tuple[int, str], list[str]] = {}
    for data in [*events.feed(body), events.rest()]:
        event = _parsed(data)
        if not isinstance(event, dict):
            continue
        index, block, delta = event.get("index"), event.get("content_block"), event.get("delta")
        if not isinstance(index, int):
            continue
        if event.get("type") == "content_block_start" and isinstance(block, dict):
            blocks[index] = block
        elif event.get("type") == "content_block_delta" and isinstance(delta, dict) and index in blocks:
            name = "input" if delta.get("type") == "input_json_delta" else _DELTAS.get(str(delta.get("type")), "")
            piece = delta.get("partial_json" if name == "input" else name)
            if isinstance(piece, str):
                pieces.setdefault((index, name), []).append(piece)
    for (index, name), texts in pieces.items():
        text = "".join(texts)
        blocks[index][name] = _arguments(text) if name == "input" else str(blocks[index].get(name) or "") + text
    return [blocks[index] for index in sorted(blocks)]


def _arguments(text: str) -> Any:
    """
    A tool's input; the text itself where it was cut short.
    """
    try:
        return json.loads(text)
    except _UNREADABLE:
        return text
