"""
The prompt and the answer of an exchange, in the form in which PostHog shows conversations.

Rule of this file: it is used only if the user asked for content. Media is replaced by a marker with its size. Content that
is too large or cannot be read is replaced by a marker too, so that the rest of the event arrives.

Source: https://posthog.com/docs/llm-analytics/manual-capture (the messages of `$ai_input` and `$ai_output_choices`) and
`posthog.ai.anthropic` of the SDK 7.91, whose shapes these are (checked 2026-11-24).
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from savemode_cli.core.exchange.observed import Content
from savemode_cli.core.wire.encodings import Undecodable, decoder
from savemode_cli.core.wire.meter import MAX_DECODED_BYTES, MAX_EVENT_BYTES
from savemode_cli.core.wire.sse import EventData

MOST_BYTES = 800 * 1024
"""The content of an event as JSON. PostHog accepts events of 1 MB, and its SDK of 900 KiB."""

Messages = list[dict[str, Any]]
"""Messages, each with a role."""

_TOO_DEEP = "[nested too deeply, left out]"
_DATA_URL = re.compile(r"data:([^;,]{0,100})[^,]{0,100};base64,")
_LARGEST = 2**63 - 1
_UNREADABLE = (ValueError, RecursionError)


def conversation(content: Content) -> dict[str, Any]:
    """
    The properties of an event for its input, its output and its tools. A property that would be empty is absent.
    """
    request = _from_json(_decoded(content.request_body, content.request_headers))
    properties = {
        "$ai_tools": plain(request.get("tools")) if isinstance(request, dict) else None,
        "$ai_input": _input(request),
        "$ai_output_choices": _output(content),
    }
    return _bounded({name: value for name, value in properties.items() if value})


def error_message(content: Content) -> str:
    """
    The message of an error body; empty if there is none that can be read.
    """
    answer = _from_json(_decoded(content.response_body, content.response_headers))
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return clean(message) if isinstance(message, str) else ""


def clean(value: str) -> str:
    """
    A text that every JSON reader accepts. A lone surrogate, which is valid in JSON and not in UTF-8, becomes `?`.
    """
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def plain(value: Any) -> Any:
    """
    A JSON value that every reader accepts, with a marker in the place of base64 media; None if it is nested too deeply.
    """
    try:
        return _without_media(value)
    except RecursionError:
        return None


def _without_media(value: Any) -> Any:
    if isinstance(value, str):
        match = _DATA_URL.match(value)
        return clean(value) if match is None else _marker(match[1], value[match.end() :])
    if isinstance(value, list):
        return [_without_media(item) for item in value]
    if isinstance(value, dict):
        shown = {clean(key): _without_media(item) for key, item in value.items()}
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


def _bounded(properties: dict[str, Any]) -> dict[str, Any]:
    """
    Replace the output by a marker if everything together is too large, and then the input, to which the tools belong.
    """
    sizes = {name: len(json.dumps(value)) for name, value in properties.items()}
    for role, name, beside in (("assistant", "$ai_output_choices", ""), ("user", "$ai_input", "$ai_tools")):
        if sum(sizes.values()) > MOST_BYTES:
            size = sizes.pop(name, 0) + sizes.pop(beside, 0)
            properties.pop(beside, None)
            properties[name] = [{"role": role, "content": f"[{size} bytes, left out]"}]
    return properties


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


def _from_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except _UNREADABLE:
        return None


def _input(request: Any) -> Messages:
    if not isinstance(request, dict):
        return []
    input_messages: Messages = []
    if request.get("system") is not None:
        input_messages.append({"role": "system", "content": plain(request["system"])})
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict):
            input_messages.append({"role": message.get("role", "user"), "content": plain(message.get("content", ""))})
    return input_messages


def _output(content: Content) -> Messages:
    body = _decoded(content.response_body, content.response_headers)
    message = _from_json(body)
    # The content decides: some servers send a stream with the type of JSON or of text.
    listed = message.get("content") if isinstance(message, dict) else _assembled(body)
    blocks = listed if isinstance(listed, list) else []
    shown = [_shown(block) for block in blocks if isinstance(block, dict)]
    return [{"role": "assistant", "content": shown}] if shown else []


def _shown(block: Mapping[str, Any]) -> dict[str, Any]:
    """
    A block in the form that PostHog's conversation view knows.
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
    The blocks of a streamed answer, as far as it arrived.
    """
    events = EventData(MAX_EVENT_BYTES)
    blocks: dict[int, dict[str, Any]] = {}
    parts: dict[tuple[int, str], list[str]] = {}
    for data in [*events.feed(body), events.rest()]:
        event = _from_json(data)
        if not isinstance(event, dict):
            continue
        index, block, delta = event.get("index"), event.get("content_block"), event.get("delta")
        if not isinstance(index, int):
            continue
        if event.get("type") == "content_block_start" and isinstance(block, dict):
            blocks[index] = block
        elif event.get("type") == "content_block_delta" and isinstance(delta, dict) and index in blocks:
            name = "input" if delta.get("type") == "input_json_delta" else _DELTAS.get(str(delta.get("type")), "")
            part = delta.get("partial_json" if name == "input" else name)
            if isinstance(part, str):
                parts.setdefault((index, name), []).append(part)
    for (index, name), texts in parts.items():
        text = "".join(texts)
        blocks[index][name] = _arguments(text) if name == "input" else str(blocks[index].get(name) or "") + text
    return [blocks[index] for index in sorted(blocks)]


def _arguments(text: str) -> Any:
    """
    The input of a tool; the text itself if it is incomplete.
    """
    try:
        return json.loads(text)
    except _UNREADABLE:
        return text
