"""
Which files there are below some paths, and what each is, told by its content.

Rule of this file: a name decides nothing; no file is read further than it takes to know it.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from savemode_cli.core.errors import BadInput

Kind = Literal["transcript", "bodies", "body", "har", "captures", "other"]
"""
`bodies` are lines of JSON, each a request body or an object that holds one; `body` is one such object; `captures` is
our own store.
"""

_FIRST_LINES = 40
_LONGEST_LINE = 64 * 1024 * 1024
_START = 4096

_Head = dict[str, msgspec.Raw]
_decode_head = msgspec.json.Decoder(_Head).decode

_TRANSCRIPT_KEYS = ({"sessionId"}, {"leafUuid"}, {"parentUuid", "uuid"}, {"messageId", "snapshot"})


def walk(paths: Iterable[str]) -> Iterator[Path]:
    """
    The files at and below the paths, each once, in the order of their names.

    Raises:
        BadInput: a path does not exist, or cannot be listed.
    """
    met: set[tuple[int, int]] = set()
    for name in paths:
        top = Path(name)
        if not top.exists():
            raise BadInput(
                f"{name}: there is no such file or folder", hint="give transcripts, bodies, a HAR, or a folder"
            )
        for path in [top] if top.is_file() else _below(top):
            status = path.stat()
            if (status.st_dev, status.st_ino) not in met:
                met.add((status.st_dev, status.st_ino))
                yield path


def _below(top: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(top, onerror=_unlisted):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                yield path


def _unlisted(error: OSError) -> None:
    reason = (error.strerror or str(error)).lower()
    raise BadInput(f"cannot list {error.filename}: {reason}", hint="give files instead, or change its permissions")


def kind_of(path: Path) -> Kind:
    """
    What a file is. Unreadable ones are `other`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START)
            if start.startswith(b"SQLite format 3\0"):
                return "captures"
            if not start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
                return "other"
            file.seek(0)
            lines = [line for _ in range(_FIRST_LINES) if (line := file.readline(_LONGEST_LINE)).strip()]
    except OSError:
        return "other"
    heads = [head for line in lines if (head := _head(line)) is not None]
    for head in heads:
        found = _kind_of_object(head)
        if found != "other":
            return "bodies" if found == "body" and len(lines) > 1 else found
    # Its first lines are no objects: one object over many lines, as people and browsers write it.
    return "other" if heads else _kind_of_whole(path)


def why_other(path: Path) -> str:
    """
    What is the matter with a file of the kind `other`, and where in it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_LINE * 4)
    except OSError as error:
        return f"it cannot be read ({(error.strerror or str(error)).lower()})"
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:_START]
    if not start:
        return "it is empty"
    if start.startswith(b"SQLite format 3\0"):
        return "it is a database, and none of captures"
    if not start.startswith(b"{"):
        return "it does not begin with a JSON object"
    if any(_head(line) is not None for line in data.split(b"\n", _FIRST_LINES)[:_FIRST_LINES]):
        return "none of its first objects is a message, a request body, or holds one"
    return _why_no_body(data)


def _why_no_body(text: bytes) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"it is not JSON: line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
    except (UnicodeDecodeError, RecursionError):
        return "it is not JSON that can be read"
    return "it is no request body, and holds none"


def _kind_of_whole(path: Path) -> Kind:
    head = _head(path.read_bytes()) if path.stat().st_size <= _LONGEST_LINE * 4 else None
    return "other" if head is None else _kind_of_object(head)


def _kind_of_object(head: _Head) -> Kind:
    if any(keys <= head.keys() for keys in _TRANSCRIPT_KEYS):
        return "transcript"
    if "log" in head:
        return "har"
    if "messages" in head or "body" in head or "request" in head:
        return "body"
    return "other"


def _head(line: bytes) -> _Head | None:
    try:
        return _decode_head(line.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
