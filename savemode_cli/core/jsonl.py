"""
A capture as one line of JSON: what other programs read, and `savemode replay` reads back as it was.

Rule of this file: the body stands in the line as its own bytes, never serialised again. A line break between its tokens
becomes a space, which is the same JSON of the same length; what is no JSON is in Base64 under another name.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from savemode_cli.core.capture import Capture, decode, encode
from savemode_cli.core.errors import BadInput
from savemode_cli.core.exchange import SCHEMA_VERSION
from savemode_cli.core.usage import usage_report


class _Line(Struct):
    """
    Of a line, what it takes to read it back.
    """

    capture: Raw
    body: Raw | UnsetType = UNSET
    body_base64: bytes | UnsetType = UNSET
    response_text: str | UnsetType = UNSET
    response_base64: bytes | UnsetType = UNSET


def line(capture: Capture) -> bytes:
    """
    A capture in one line, without its end.

    Beside what anybody may want to know (`started_at`, `session`, `model`, `usage` as the API reports it, and `body`)
    stands `capture`: all that was kept, as it is kept.
    """
    exchange = capture.exchange
    beta = next((value for name, value in capture.request_headers if name == "anthropic-beta"), None)
    found: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "started_at": exchange.started_at,
        "ended_at": capture.ended_at,
        "duration_ms": round(exchange.duration_ms, 3),
        "session": exchange.session,
        "product": exchange.product,
        "path": exchange.path,
        "model": exchange.model,
        "status": exchange.status,
        "outcome": exchange.outcome,
        "anthropic_beta": beta,
        "usage": None
        if exchange.usage is None
        else usage_report(exchange.usage, capture.answered_by or exchange.model),
        "cost_nusd": exchange.cost_nusd,
        "capture": Raw(encode(capture)),
    }
    return msgspec.json.encode(found | _request(capture.request_body) | _response(capture.response_body))


def read_line(text: bytes) -> Capture:
    """
    The capture of a line.

    Raises:
        CaptureTooNew: a newer savemode wrote it.
        BadInput: it is not one of ours, or damaged.
    """
    try:
        read = msgspec.json.decode(text, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"this line is no capture: {error}", hint="savemode captures export --jsonl writes them"
        ) from error
    return decode(bytes(read.capture), _request_body(read), _response_body(read))


def is_line(text: bytes) -> bool:
    """
    Whether a line is one that `line` made, so far as its beginning tells.
    """
    return b'"capture":{' in text[:4096]


def _request(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {}
    one_line = body.replace(b"\n", b" ").replace(b"\r", b" ")
    return {"body": Raw(one_line)} if _is_json(one_line) else {"body_base64": body}


def _is_json(body: bytes) -> bool:
    try:
        body.decode()
        msgspec.json.decode(body, type=Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _response(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {}
    try:
        return {"response_text": body.decode()}
    except UnicodeDecodeError:
        return {"response_base64": body}


def _request_body(read: _Line) -> bytes | None:
    if isinstance(read.body, Raw):
        return bytes(read.body)
    return None if read.body_base64 is UNSET else read.body_base64


def _response_body(read: _Line) -> bytes | None:
    if isinstance(read.response_text, str):
        return read.response_text.encode()
    return None if read.response_base64 is UNSET else read.response_base64
