"""
Reads recorded request bodies: a JSON file, lines of JSON, single entries of a HAR, and records of claude-tap.

Rule of this file: a body is passed on with exactly the bytes in the file.

A line, or a file, is a request body, or an object that contains one:

    body             the request body: an object, or a string with its JSON
    started_at       when it was sent, for example 2026-11-24T12:00:00.123Z
    ended_at         when its answer was complete; or
    duration_ms      how long that took
    usage            the answer's `usage`, as the API reports it
    session          the key of its session; by default it is read from the body
    product          the product that it was sent for; by default it is read from the path
    anthropic_beta   the value of that header, which identifies the traffic of a subscription
    headers          an object of names and values, for the headers that matter (x-posthog-*, authorization, ...)
    method           POST by default
    path or url      for example /posthog_code/v1/messages, with or without a query
    status           the answer's HTTP status

Other members are ignored. A line from `savemode captures export --jsonl` is read as the capture that it contains.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from savemode_cli.captures.jsonl import read_line
from savemode_cli.core.errors import SavemodeError
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.messages import MESSAGES_PATH
from savemode_cli.core.wire.report import ReportedUsage, usage_from
from savemode_cli.readers.calls import call_of, call_of_capture, header_pairs
from savemode_cli.readers.claude_tap import record_call
from savemode_cli.readers.har import entry_call
from savemode_cli.readers.lines import numbered_lines, objects_in
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Sample
from savemode_cli.readers.times import milliseconds, utc


class _Request(Struct, gc=False):
    url: Raw | UnsetType = UNSET
    post_data: Raw | UnsetType = field(name="postData", default=UNSET)


class _Line(Struct, gc=False):
    body: Raw | UnsetType = UNSET
    body_base64: str | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    request: _Request | UnsetType = UNSET
    capture: Raw | UnsetType = UNSET
    schema_version: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: float | None = None
    usage: ReportedUsage | None = None
    session: str | None = None
    product: str | None = None
    anthropic_beta: str | None = None
    headers: Any = None
    method: str | None = None
    path: str | None = None
    url: str | None = None
    status: int | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_any = msgspec.json.Decoder(Raw).decode
_decode_text = msgspec.json.Decoder(str).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_BODY_NAMES = frozenset({"messages", "body", "body_base64", "request"})
_EXPORT_NAMES = frozenset({"schema_version", "capture"})


def holds_body(sample: Sample) -> bool:
    """
    Whether a sample is a request body, or an object that contains one.
    """
    return not _BODY_NAMES.isdisjoint(sample.names) or sample.names >= _EXPORT_NAMES


def is_lines(sample: Sample) -> bool:
    """
    Whether a sample is one of several such objects, one on each line.
    """
    return holds_body(sample) and not sample.is_only_line


def body_lines(file: BinaryIO, path: Path, problems: Problems) -> Iterator[Call]:
    """
    The calls in lines of JSON. See `CallReader`.

    Raises:
        OSError: the file cannot be read.
    """
    for number, line in numbered_lines(file):
        for text in _objects(line):
            call = _call(text, f"{path.name}:{number}", path.parent)
            yield from problems.taken(call, path.name, number)


def one_body(file: BinaryIO, path: Path, problems: Problems) -> Iterator[Call]:
    """
    The call in a file with one JSON object. See `CallReader`.

    Raises:
        OSError: the file cannot be read.
    """
    yield from problems.taken(_call(file.read(), path.name, path.parent), path.name)


def _objects(line: bytes) -> list[bytes]:
    """
    The objects on a line: one, unless a writer was stopped before it wrote the line break.
    """
    if _is_json(line):
        return [line]
    objects, rest = objects_in(line)
    return [*objects, *([rest] if rest else [])]


def _is_json(line: bytes) -> bool:
    try:
        _decode_any(line)
    except _UNREADABLE:
        return False
    return True


def _call(text: bytes, place: str, folder: Path) -> Call | str | None:
    """
    The call in a JSON text, what is wrong with the text, or None if it is not a model call.
    """
    try:
        return _of_line(_decode_line(text), text, place, folder)
    except msgspec.ValidationError:
        return "a field in an unknown form"
    except _UNREADABLE:
        return "not JSON"
    except SavemodeError as error:
        return error.message
    except ValueError as error:
        return str(error)


def _of_line(read: _Line, text: bytes, place: str, folder: Path) -> Call | str | None:
    if read.capture is not UNSET and read.schema_version is not None:
        return call_of_capture(read_line(text), place)
    if read.request is UNSET:
        return _described(read, text, place)
    # A request with its answer: a single entry of a HAR, or a record of claude-tap.
    is_entry = read.request.post_data is not UNSET or read.request.url is not UNSET
    return entry_call(text, place, folder) if is_entry else record_call(text, place)


def _described(read: _Line, text: bytes, place: str) -> Call | str | None:
    """
    The call of a body, with or without an object that contains it.
    """
    body = _body(read, text)
    if body is None:
        return "no request body"
    started, ended = _span(read)
    beta = [] if read.anthropic_beta is None else [("anthropic-beta", read.anthropic_beta)]
    headers = header_pairs(read.headers)
    named = {name.lower() for name, _ in headers}
    return call_of(
        place,
        body,
        method=read.method or "POST",
        target=read.path or read.url or MESSAGES_PATH,
        product=read.product,
        headers=headers if "anthropic-beta" in named else [*headers, *beta],
        started_at=started,
        ended_at=ended,
        usage=None if read.usage is None else usage_from(read.usage),
        status=read.status,
        session=read.session,
    )


def _body(read: _Line, text: bytes) -> bytes | None:
    if isinstance(read.body, Raw):
        raw = bytes(read.body)
        return _decode_text(raw).encode("utf-8", "surrogatepass") if raw.startswith(b'"') else raw
    if isinstance(read.body_base64, str):
        try:
            return b64decode(read.body_base64)
        except Base64Error:
            return None
    return text if read.messages is not UNSET else None


def _span(read: _Line) -> tuple[datetime | None, datetime | None]:
    started = None if read.started_at is None else utc(read.started_at)
    if read.ended_at is not None:
        return started, utc(read.ended_at)
    if started is None or read.duration_ms is None:
        return started, None
    return started, started + milliseconds(read.duration_ms)
