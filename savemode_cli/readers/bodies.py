"""
Request bodies that somebody recorded: files of JSON, lines of JSON, and HAR.

Rule of this file: a body is handed on byte for byte as it stands in the file; what is around it is read if it is there.

A line, or a file, is a request body itself, or an object around one:

    body             the request body, an object or a text that holds one
    started_at       when it was sent, like 2026-11-24T12:00:00.123Z
    ended_at         when its answer was over; or
    duration_ms      how long that took
    usage            the answer's `usage`, as the API reports it
    session          whose it is; without it the body tells
    anthropic_beta   the value of that header: it tells a subscription's traffic
    headers          an object of names and values, for those that matter (x-posthog-*, authorization, ...)
    path             like /posthog_code/v1/messages

Other keys are left alone. Of a HAR the entries that POST to a path ending in /v1/messages are read, their usage out of
the answer, streamed or not. It is one JSON value, so it is mapped into memory, not copied.
"""

import mmap
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from savemode_cli.core.messages import MESSAGES_PATH
from savemode_cli.core.pricing import Usage
from savemode_cli.core.recorded import Call
from savemode_cli.core.usage import ReportedUsage, UsageMeter, usage_from
from savemode_cli.readers.files import Kind
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.times import milliseconds, utc

_BOM = b"\xef\xbb\xbf"
_OAUTH_BETA = "oauth-"


class _Line(Struct, gc=False):
    body: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: float | None = None
    usage: ReportedUsage | None = None
    session: str | None = None
    anthropic_beta: str | None = None
    headers: dict[str, str] | None = None
    path: str | None = None
    status: int | None = None


class _Named(Struct, gc=False):
    name: str = ""
    value: str = ""


class _Posted(Struct, gc=False):
    text: str | None = None
    encoding: str | None = None


class _HarRequest(Struct, gc=False):
    method: str = ""
    url: str = ""
    headers: list[_Named] = []
    postData: _Posted | None = None  # noqa: N815 - as it is spelled in the file


class _Content(Struct, gc=False):
    mimeType: str | None = None  # noqa: N815
    text: str | None = None
    encoding: str | None = None


class _HarResponse(Struct, gc=False):
    status: int | None = None
    content: _Content | None = None


class _Entry(Struct, gc=False):
    request: _HarRequest
    startedDateTime: datetime | None = None  # noqa: N815
    time: float | None = None
    response: _HarResponse | None = None


class _Log(Struct, gc=False):
    entries: list[Raw]


class _Har(Struct, gc=False):
    log: _Log


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_har = msgspec.json.Decoder(_Har).decode
_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_text = msgspec.json.Decoder(str).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def calls(path: Path, kind: Kind, problems: Problems) -> Iterator[Call]:
    """
    The calls in a file, one at a time.
    """
    try:
        match kind:
            case "bodies":
                yield from _lines(path, problems)
            case "har":
                yield from _har(path, problems)
            case _:
                yield from _one(path, problems)
    except OSError as error:
        problems.add(path.name, None, (error.strerror or str(error)).lower())


def _lines(path: Path, problems: Problems) -> Iterator[Call]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.strip().removeprefix(_BOM)
            if not text:
                continue
            found = _call(text, f"{path.name}:{number}")
            if isinstance(found, str):
                problems.add(path.name, number, found)
            elif found is not None:
                yield found


def _one(path: Path, problems: Problems) -> Iterator[Call]:
    found = _call(path.read_bytes().removeprefix(_BOM), path.name)
    if isinstance(found, str):
        problems.add(path.name, None, found)
    elif found is not None:
        yield found


def is_answered(status: int | None, usage: Usage | None) -> bool:
    """
    Whether a call was let through and done, so far as is known: an error has a status, and no usage.
    """
    return usage is not None or status is None or status < 400


def _call(text: bytes, place: str) -> Call | str | None:
    """
    The call that a JSON text holds, what is wrong with it, or None if it is another request.
    """
    try:
        read = _decode_line(text)
        body = text if read.body is UNSET else _body(bytes(read.body))
        started, ended = _span(read)
    except msgspec.ValidationError:
        return "a field in a form that is not known"
    except _UNREADABLE:
        return "not JSON"
    except ValueError as error:
        return str(error)
    if read.body is UNSET and read.messages is UNSET:
        return "no request body"
    if read.path is not None and not read.path.endswith(MESSAGES_PATH):
        return None
    usage = None if read.usage is None else usage_from(read.usage)
    return Call(
        place,
        body,
        headers=_headers((read.headers or {}).items()),
        path=read.path or MESSAGES_PATH,
        started_at=started,
        ended_at=ended,
        usage=usage,
        session=read.session,
        subscription=_OAUTH_BETA in (read.anthropic_beta or ""),
        answered=is_answered(read.status, usage),
    )


def _span(read: _Line) -> tuple[datetime | None, datetime | None]:
    started = None if read.started_at is None else utc(read.started_at)
    if read.ended_at is not None:
        return started, utc(read.ended_at)
    if started is None or read.duration_ms is None:
        return started, None
    return started, started + milliseconds(read.duration_ms)


def _body(raw: bytes) -> bytes:
    return _decode_text(raw).encode("utf-8", "surrogatepass") if raw.startswith(b'"') else raw


def _har(path: Path, problems: Problems) -> Iterator[Call]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            problems.add(path.name, None, "not a HAR")  # it was one when its kind was told
            return
        # Closed when nothing holds a piece of it any more: whoever stops in the middle may still hold one.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    text = memoryview(mapped)[len(_BOM) if mapped[: len(_BOM)] == _BOM else 0 :]
    try:
        entries = _decode_har(text).log.entries
    except _UNREADABLE:
        problems.add(path.name, None, "not a HAR")
        return
    for number, raw in enumerate(entries, 1):
        found = _entry(raw, f"{path.name}: entry {number}")
        if isinstance(found, str):
            problems.add(path.name, None, f"entry {number}: {found}")
        elif found is not None:
            yield found


def _entry(raw: Raw, place: str) -> Call | str | None:
    """
    The call of an entry, what is wrong with it, or None if it is another request.
    """
    try:
        read = _decode_entry(raw)
        path = urlsplit(read.request.url).path
        started = None if read.startedDateTime is None else utc(read.startedDateTime)
        took = milliseconds(max(read.time or 0, 0))  # -1 is how a HAR says that it does not know
    except (*_UNREADABLE, ValueError):
        return "a field in a form that is not known"
    request = read.request
    if request.method != "POST" or not path.endswith(MESSAGES_PATH):
        return None
    body = _text(request.postData.text, request.postData.encoding) if request.postData is not None else None
    if body is None:
        return "its body was not recorded"
    usage = None if read.response is None else _metered(read.response.content)
    return Call(
        place,
        body,
        headers=_headers((one.name, one.value) for one in request.headers),
        path=path,
        started_at=started,
        ended_at=None if started is None else started + took,
        usage=usage,
        subscription=any(one.name.lower() == "anthropic-beta" and _OAUTH_BETA in one.value for one in request.headers),
        answered=is_answered(None if read.response is None else read.response.status, usage),
    )


def _metered(content: _Content | None) -> Usage | None:
    """
    What an answer says it used; a HAR holds it decoded, whatever its headers say of an encoding.
    """
    body = None if content is None else _text(content.text, content.encoding)
    if content is None or body is None:
        return None
    meter = UsageMeter(content.mimeType or "application/json")
    meter.feed(body)
    meter.close()
    return meter.usage if meter.final else None


def _text(text: str | None, encoding: str | None) -> bytes | None:
    if text is None:
        return None
    if encoding != "base64":
        return text.encode("utf-8", "surrogatepass")
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None


def _headers(pairs: Any) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in pairs
    )
