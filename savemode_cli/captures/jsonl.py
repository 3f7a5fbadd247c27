"""
A capture as one line of JSON, for other programs and for `savemode replay`.

Rule of this file: the line contains the original bytes of the body; they are not serialized again. A line break between
JSON tokens becomes a space, which gives the same JSON with the same length. A body that is not JSON is in Base64 under
another name.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from savemode_cli.core.errors import BadInput
from savemode_cli.core.exchange.capture import Capture, decode, encode
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.core.wire.report import usage_report


class _Line(Struct):
    """
    The fields of a line that are needed to read it back.
    """

    capture: Raw
    body: Raw | UnsetType = UNSET
    body_base64: bytes | UnsetType = UNSET
    response_text: str | UnsetType = UNSET
    response_base64: bytes | UnsetType = UNSET


def line(capture: Capture) -> bytes:
    """
    A capture as one line, without a line break.

    The fields for other programs are `started_at`, `session`, `model`, `usage` in the API's format, `body` and a few
    more. `capture` contains everything that the store contains.
    """
    exchange = capture.exchange
    call, bill, answer = exchange.call, exchange.bill, exchange.answer
    beta = next((value for name, value in capture.request_headers if name == "anthropic-beta"), None)
    fields: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "started_at": exchange.started_at,
        "ended_at": capture.ended_at,
        "duration_ms": round(answer.duration_ms, 3),
        "session": call.session,
        "product": call.product,
        "path": call.path,
        "model": call.model,
        "status": answer.status,
        "outcome": answer.outcome,
        "anthropic_beta": beta,
        "usage": None if bill.usage is None else usage_report(bill.usage, answer.answered_by or call.model),
        "cost_nusd": bill.cost_nusd,
        "capture": Raw(encode(capture)),
    }
    return msgspec.json.encode(fields | _request(capture.request_body) | _response(capture.response_body))


def read_line(text: bytes) -> Capture:
    """
    Read a capture from a line.

    Raises:
        CaptureTooNew: a newer savemode wrote it.
        BadInput: it is not such a line, or it is damaged.
    """
    try:
        read = msgspec.json.decode(text, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"this line is not a capture: {error}", hint="savemode captures export --jsonl writes such lines"
        ) from error
    return decode(bytes(read.capture), _request_body(read), _response_body(read))


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
