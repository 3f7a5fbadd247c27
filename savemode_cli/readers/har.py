"""
Reads HTTP Archives (HAR 1.2) of browsers, of proxies and of `savemode captures export --har`.

Rule of this file: it reads the entries that POST to `/v1/messages`, and their usage from the answer, streamed or not. An
archive is one JSON value, so the file is mapped into memory and not copied.

Recorders differ. A body may be Base64, in one string or in lines of 76 characters (RFC 2045). It may be decoded or still
in its content encoding. With Playwright's `content: "attach"` it is a file next to the archive.
Source: http://www.softwareishard.com/blog/har-12-spec/ (checked 2026-11-29); the exceptions from files of mitmproxy
11.0.2, Chromium 156 and Playwright 1.65.2.
"""

import mmap
import re
from base64 import b64decode
from binascii import Error as Base64Error
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from savemode_cli.core.errors import SavemodeError
from savemode_cli.core.exchange.capture import decode
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from savemode_cli.core.wire.usage import Usage
from savemode_cli.readers.calls import call_of, call_of_capture, metered
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Sample
from savemode_cli.readers.times import milliseconds, utc


class _Named(Struct, gc=False):
    name: str = ""
    value: str = ""


class _Text(Struct, gc=False):
    """
    `postData` or `content`. savemode's export adds `_encoding`, because HAR has no such field for a request.
    """

    mimeType: str | None = None  # noqa: N815 - as it is spelled in the file
    text: str | None = None
    encoding: str | None = None
    own_encoding: str | None = field(name="_encoding", default=None)
    file: str | None = field(name="_file", default=None)


class _Request(Struct, gc=False):
    method: str = ""
    url: str = ""
    headers: list[_Named] = []
    postData: _Text | None = None  # noqa: N815


class _Response(Struct, gc=False):
    status: int | None = None
    headers: list[_Named] = []
    content: _Text | None = None


class _Own(Struct, gc=False):
    """
    The member that savemode's export adds to an entry. Older exports have no `capture`.
    """

    capture: Raw | UnsetType = UNSET
    product: str | None = None
    session: str | None = None


class _Entry(Struct, gc=False):
    request: _Request
    startedDateTime: datetime | None = None  # noqa: N815
    time: float | None = None
    response: _Response | None = None
    own: _Own | None = field(name="_savemode", default=None)


class _Log(Struct, gc=False):
    entries: list[Raw]


class _Har(Struct, gc=False):
    log: _Log


_decode_har = msgspec.json.Decoder(_Har).decode
_decode_entry = msgspec.json.Decoder(_Entry).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ARCHIVE_START = re.compile(rb'\s*\{\s*"log"\s*:\s*\{')


def is_archive(sample: Sample) -> bool:
    """
    Whether a sample is from an archive. The beginning is sufficient, even for a very long archive.
    """
    return "log" in sample.names or _ARCHIVE_START.match(sample.start) is not None


def har_calls(file: BinaryIO, path: Path, problems: Problems) -> Iterator[Call]:
    """
    The calls in an archive, one at a time. See `CallReader`.

    Raises:
        OSError: the file cannot be read.
    """
    content = _mapped(file)
    try:
        entries = _decode_har(
            memoryview(content)[len(BOM_UTF8) if content[: len(BOM_UTF8)] == BOM_UTF8 else 0 :]
        ).log.entries
    except _UNREADABLE:
        problems.add(path.name, None, "not a HAR")
        return
    for number, raw in enumerate(entries, 1):
        place = f"{path.name}: entry {number}"
        yield from problems.taken(entry_call(raw, place, path.parent), place)


def _mapped(file: BinaryIO) -> mmap.mmap | bytes:
    """
    The content of a file, mapped into memory if the file is on disk. The map is closed when nothing refers to a part of
    it.
    """
    if isinstance(file, BufferedReader):  # otherwise it is in memory, or converted from UTF-16
        with suppress(ValueError):  # the file became empty after its format was recognised
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return file.read()


def entry_call(raw: bytes | Raw, place: str, folder: Path) -> Call | str | None:
    """
    The call of an entry, what is wrong with it, or None if it is not a model call.

    Args:
        raw: the entry's JSON.
        place: where the entry is, for messages.
        folder: the archive's folder, for bodies in files next to it.
    """
    try:
        read = _decode_entry(raw)
        started = None if read.startedDateTime is None else utc(read.startedDateTime)
        took = milliseconds(max(read.time or 0, 0))  # in a HAR, -1 means unknown
    except (*_UNREADABLE, ValueError):
        return "a field in an unknown form"
    request, own = read.request, read.own or _Own()
    body = _bytes(request.postData, folder)
    if isinstance(own.capture, Raw):
        return _exported(own.capture, body, place)
    headers = [(header.name, header.value) for header in request.headers]
    status = None if read.response is None else read.response.status
    call = call_of(
        place,
        body or b"",
        method=request.method,
        target=request.url,
        product=own.product,
        headers=headers,
        started_at=started,
        ended_at=None if started is None else started + took,
        usage=_usage(read.response, folder),
        status=status,
        session=own.session,
    )
    if call is None:
        return None
    if body is None:
        return "its body was not recorded"
    if call.encoded and not call.body.lstrip().startswith(b"{"):
        return "its body was compressed, and the recorder did not record its bytes"
    return call


def _exported(raw: Raw, body: bytes | None, place: str) -> Call | str | None:
    """
    The call of an entry of savemode's own export.
    """
    try:
        return call_of_capture(decode(bytes(raw), body), place, is_decoded=True)
    except SavemodeError as error:
        return error.message


def _usage(response: _Response | None, folder: Path) -> Usage | None:
    body = None if response is None else _bytes(response.content, folder)
    if response is None or response.content is None or body is None:
        return None
    encoding = ", ".join(header.value for header in response.headers if header.name.lower() == "content-encoding")
    return metered(body, encoding)


def _bytes(text: _Text | None, folder: Path) -> bytes | None:
    """
    The bytes that a text stands for; None if there is no text, or if it is not in its stated encoding.
    """
    if text is None:
        return None
    if text.file is not None and not text.text:
        return _attached(text.file, folder)
    if text.text is None:
        return None
    if (text.encoding or text.own_encoding) != "base64":
        return text.text.encode("utf-8", "surrogatepass")
    try:
        return b64decode("".join(text.text.split()), validate=True)
    except (Base64Error, ValueError):
        return None


def _attached(name: str, folder: Path) -> bytes | None:
    """
    A body that Playwright stored in a file next to the archive. A name with a path to another folder is ignored.
    """
    if name != Path(name).name or name in ("", ".."):
        return None
    with suppress(OSError):
        path = folder / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_BODY_BYTES:
            return path.read_bytes()
    return None
