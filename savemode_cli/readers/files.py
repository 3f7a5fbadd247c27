"""
Finds the files below some paths, and the reader of each.

Rule of this file: the content decides, not the name. A file is only read as far as necessary to recognise its format.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from savemode_cli.core.errors import BadInput, reason
from savemode_cli.core.replay.recording import Call
from savemode_cli.readers.lines import objects_in, open_text, without_mark
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader, Sample
from savemode_cli.readers.registry import READERS
from savemode_cli.readers.remote import RemoteFile, is_remote, remote_files

_FIRST_LINES = 40
_MAX_LINE_BYTES = 64 * 1024 * 1024
_START_BYTES = 4096

_decode_head = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def walk(paths: Iterable[str]) -> Iterator[Path]:
    """
    The files at and below some paths, each once, sorted by name. A path may be an address that fsspec understands.

    Raises:
        BadInput: a path does not exist, or a folder cannot be listed.
    """
    visited: set[object] = set()
    for name in paths:
        for path in remote_files(name) if is_remote(name) else _local_files(name):
            identity = _identity(path)
            if identity not in visited:
                visited.add(identity)
                yield path


def _identity(path: Path) -> object:
    if isinstance(path, RemoteFile):
        return path
    status = path.stat()
    return status.st_dev, status.st_ino


def _local_files(name: str) -> Iterator[Path]:
    top = Path(name)
    if not top.exists():
        raise BadInput(f"{name}: no such file or folder", hint="use transcripts, bodies, a HAR, or a folder")
    return iter([top]) if top.is_file() else _below(top)


def _below(top: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(top, onerror=_refuse_unlisted):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                yield path


def _refuse_unlisted(error: OSError) -> None:
    raise BadInput(
        f"cannot list {error.filename}: {reason(error)}", hint="use files instead, or change its permissions"
    )


def reader_of(path: Path) -> Reader | None:
    """
    The reader of a file; None if no reader recognises it, or if it cannot be opened.
    """
    try:
        with open_text(path) as file:
            return reader_in(file, path)
    except OSError:
        return None


def reader_in(file: BinaryIO, path: Path | None = None) -> Reader | None:
    """
    The reader of an open file; None if no reader recognises it.

    Args:
        file: its text as UTF-8, at its beginning.
        path: its path; None for standard input.

    Raises:
        OSError: the file cannot be read.
    """
    recognised = (reader for sample in _samples(file, path) for reader in READERS.values() if reader.sniff(sample))
    return next(recognised, None)


def calls_in(path: Path, reader: Reader, problems: Problems) -> Iterator[Call]:
    """
    The model calls in a file, one at a time. A transcript has none.

    Args:
        path: the file.
        reader: its reader.
        problems: counts what cannot be read, and requests that are not model calls.
    """
    if reader.calls is None:
        return
    try:
        with open_text(path) as file:
            yield from reader.calls(file, path, problems)
    except OSError as error:
        problems.add(path.name, None, reason(error))


def readable(paths: Iterable[Path]) -> Iterator[tuple[Path, Reader]]:
    """
    The files that a reader recognises, each with its reader.
    """
    for path in paths:
        reader = reader_of(path)
        if reader is not None:
            yield path, reader


def _samples(file: BinaryIO, path: Path | None) -> Iterator[Sample]:
    """
    The samples of a file: first its beginning, then its first JSON objects.

    A file may have one object on each line, or one object over many lines, as people and browsers write it.
    """
    start = file.read(_START_BYTES)
    yield Sample(start, path=path)
    if not start.lstrip().startswith(b"{"):
        return
    text = start + file.readline(_MAX_LINE_BYTES)
    first = text.split(b"\n")
    more = [file.readline(_MAX_LINE_BYTES) for _ in range(_FIRST_LINES - len(first))]
    lines = [line for line in (*first, *more) if line.strip()]
    objects = [names for line in lines if (names := _names(line)) is not None]
    for names in objects:
        yield Sample(start, names, len(lines) == 1, path)
    if objects:
        return
    text = b"".join((text, *more, file.read(_MAX_LINE_BYTES * 4)))
    whole = _names(text) if len(text) <= _MAX_LINE_BYTES * 4 else None
    if whole is not None:
        yield Sample(start, whole, is_only_line=True, path=path)


def why_unrecognised(path: Path) -> str:
    """
    Why no reader recognises a file, and where the problem is.
    """
    try:
        with open_text(path) as file:
            data = file.read(_MAX_LINE_BYTES * 4)
    except OSError as error:
        return f"it cannot be read ({reason(error)})"
    problem = _why_not_json(data.lstrip()[:_START_BYTES])
    if problem is not None:
        return problem
    if any(_names(line) is not None for line in data.split(b"\n", _FIRST_LINES)[:_FIRST_LINES]):
        return "none of its first objects is a message, is a request body, or contains one"
    return _why_no_body(data)


def _why_not_json(start: bytes) -> str | None:
    """
    What is wrong with a file that begins like this; None if the beginning does not show it.
    """
    if not start:
        return "it is empty"
    if start.startswith(b"SQLite format 3\0"):
        return "it is a database, but not a capture store"
    if b"__claude_tap_compact_trace__" in start:
        return "it is a compact trace of claude-tap; export it as JSONL"
    return None if start.startswith(b"{") else "it does not begin with a JSON object, and is not a cassette of VCR"


def _why_no_body(text: bytes) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"it is not JSON: line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
    except (UnicodeDecodeError, RecursionError):
        return "it is not JSON that can be read"
    return "it is not a request body, and does not contain one"


def _names(line: bytes) -> frozenset[str] | None:
    """
    The member names of the JSON object on a line; of the first object if there are several; None if there is no object.
    """
    line = without_mark(line)
    try:
        return frozenset(_decode_head(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        objects, _ = objects_in(line)
    return _names(objects[0]) if objects and objects[0] != line else None
