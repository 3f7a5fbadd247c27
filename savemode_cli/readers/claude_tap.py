"""
Reads the records of claude-tap: one JSON object on each line, with a request and its answer.

Rule of this file: claude-tap stores both bodies as JSON, joins an answer's events into a message, and dates a record when
the answer is complete. It stores a compressed request decoded, with its `content-encoding` header.
Source: files that claude-tap 0.1.146 wrote (checked 2026-11-29).
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from savemode_cli.core.replay.recording import Call
from savemode_cli.readers.calls import call_of, header_pairs, metered
from savemode_cli.readers.times import milliseconds, utc


class _Request(Struct, gc=False):
    method: str = ""
    path: str = ""
    headers: Any = None
    body: Raw | UnsetType = UNSET


class _Response(Struct, gc=False):
    status: int | None = None
    body: Raw | UnsetType = UNSET


class _Record(Struct, gc=False):
    request: _Request
    response: _Response | None = None
    timestamp: datetime | None = None
    duration_ms: float = 0


_decode = msgspec.json.Decoder(_Record).decode


def record_call(text: bytes, place: str) -> Call | str | None:
    """
    The call of a record, what is wrong with it, or None if it is not a model call.

    Args:
        text: the record's JSON.
        place: where the record is, for messages.

    Raises:
        msgspec.DecodeError: a field has another type than claude-tap writes.
        ValueError: a time is impossible.
    """
    read = _decode(text)
    request, response = read.request, read.response or _Response()
    ended = None if read.timestamp is None else utc(read.timestamp)
    body = _bytes(request.body)
    call = call_of(
        place,
        body or b"",
        method=request.method,
        target=request.path,
        headers=header_pairs(request.headers),
        started_at=None if ended is None else ended - milliseconds(read.duration_ms),
        ended_at=ended,
        usage=metered(_bytes(response.body) or b""),
        status=response.status,
    )
    return "its body was not recorded" if call is not None and body is None else call


def _bytes(raw: Raw | UnsetType) -> bytes | None:
    """
    A body as it is in the record; None if there is none, or if it was not JSON.
    """
    body = b"null" if raw is UNSET else bytes(raw)
    return body if body.startswith(b"{") else None
