"""
Finds the one request that a command needs, in any recording.

Rule of this file: a fault in the input is one error, with its line and column.
"""

import codecs
import json
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from savemode_cli.captures.file import is_store
from savemode_cli.core.errors import BadInput, reason
from savemode_cli.core.replay.recording import Call
from savemode_cli.readers.bodies import one_body
from savemode_cli.readers.captured import captured_calls
from savemode_cli.readers.files import reader_in
from savemode_cli.readers.lines import open_text, text_in
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader
from savemode_cli.readers.rebuilt import rebuilt_sessions
from savemode_cli.readers.registry import BODY
from savemode_cli.readers.transcript_files import groups

_ESCAPES = rb"(?i)\\(?:ud[89ab]..\\ud[c-f]..|(ud[89a-f]..)|.)"
"""Matches each escape in a JSON text in turn, and a surrogate pair as one; the group is a lone surrogate."""


def nth_call(source: str, stdin: BinaryIO, nth: int, problems: Problems) -> Call:
    """
    One call from a request body, a recording, or a capture store.

    Args:
        source: a file, the folder of a capture store, or `-` for standard input.
        stdin: standard input.
        nth: the number of the model call, from 1, in the order of the file.
        problems: counts the records before it that cannot be read.

    Raises:
        BadInput: the source cannot be read, or does not contain that call.
    """
    path = Path("stdin" if source == "-" else source)
    raw = stdin.read() if source == "-" else None
    if raw is None and is_store(path):
        return _nth(captured_calls(None, path, problems), path.name, nth, problems)
    try:
        reader = _reader(path, raw)
        if reader is None or reader is BODY:
            content = path.read_bytes() if raw is None else raw
            return _only_call(content, path, nth, problems)
        if reader.calls is None:
            return _nth(_rebuilt(path), path.name, nth, problems)
        with open_text(path) if raw is None else text_in(raw) as file:
            return _nth(reader.calls(file, path, problems), path.name, nth, problems)
    except OSError as error:
        raise BadInput(f"cannot read {source}: {reason(error)}", hint="use a file, or - for stdin") from None


def _rebuilt(path: Path) -> Iterator[Call]:
    """
    The requests that a transcript records.
    """
    sessions = list(rebuilt_sessions(groups([path]))) if path.is_file() else []
    if not any(session.times for session in sessions):
        problem = next((session.problem for session in sessions if session.is_recorded), "")
        raise BadInput(
            problem or f"{path.name}: this transcript does not record its requests",
            hint="savemode replay can read it; Claude Code 2.1.332 and later record requests",
        )
    return chain.from_iterable(session.calls() for session in sessions)


def _reader(path: Path, raw: bytes | None) -> Reader | None:
    with open_text(path) if raw is None else text_in(raw) as file:
        return reader_in(file, path if raw is None else None)


def _only_call(raw: bytes, path: Path, nth: int, problems: Problems) -> Call:
    """
    The call of a file with one body, with or without an object that contains it.
    """
    body = body_in(raw, str(path))
    read = _object(raw, str(path))
    if "body" in read or "request" in read:
        return _nth(one_body(text_in(raw), path, problems), path.name, nth, problems)
    return _nth(iter([Call(path.name, body)]), path.name, nth, problems)


def _nth(calls: Iterator[Call], name: str, nth: int, problems: Problems) -> Call:
    count, call = 0, None
    for count, call in enumerate(islice(calls, nth), 1):  # noqa: B007 - the last one is used below
        pass
    if call is not None and count == nth:
        if not call.encoded:
            _object(call.body, call.place)
        return call
    if count:
        calls_found = "1 model call" if count == 1 else f"{count:,} model calls"
        raise BadInput(f"{name} has only {calls_found}, not {nth:,}", hint=f"--nth 1 to {count}")
    if problems.named:
        raise BadInput(f"{problems.named[0]}", hint="use a request body, or a record of one")
    raise BadInput(
        f"{name}: no model call in {_requests(problems.other_requests)}",
        hint="use a recording of a POST to /v1/messages with its body",
    )


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count:,} requests"


def body_in(raw: bytes, name: str) -> bytes:
    """
    The request body in a file: the file itself, or the exact bytes of its member `body`.

    Args:
        raw: the content of the file.
        name: its name, for errors.

    Raises:
        BadInput: the file is not JSON, with the place of the error; or it is not an object.
    """
    read = _object(raw, name)
    if "messages" in read:
        return raw
    if "body" in read:
        inner = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["body"]
        text = read["body"]
        return _checked(
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(inner), f"{name} (body)"
        )
    return raw


def _checked(body: bytes, name: str) -> bytes:
    _object(body, name)
    return body


def _object(raw: bytes, name: str) -> dict[str, Any]:
    read = _parsed(raw, name)
    if not isinstance(read, dict):
        raise BadInput(f"{name}: expected a JSON object, found {_named(read)}", hint="use a Messages API request body")
    return read


def _parsed(raw: bytes, name: str) -> Any:
    """
    The JSON value in a file. msgspec decides whether it is valid; the standard library's parser gives a better position.
    """
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise BadInput(
            f"{name}: nested too deeply to read", hint="the proxy would forward this body unchanged"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        place, what = _place_of_error(raw, str(error))
        raise BadInput(f"{name}{place}: not valid JSON: {what}", hint="the API would refuse this body") from None


def _place_of_error(raw: bytes, message: str) -> tuple[str, str]:
    """
    The position as `:line:column` (empty if unknown) and the cause.
    """
    if not raw.strip():
        return "", "the file is empty"
    if raw.startswith(codecs.BOM_UTF8):
        return ":1:1", "a byte order mark precedes the text"
    try:
        json.loads(raw.decode())
    except json.JSONDecodeError as error:
        return f":{error.lineno}:{error.colno}", error.msg.lower().removesuffix(" at")
    except UnicodeDecodeError as error:
        return _line_and_column(raw, error.start), "a byte that is not UTF-8"
    except RecursionError:
        return "", "nested too deeply"
    return _place_of_stricter_error(raw, message)


def _place_of_stricter_error(raw: bytes, message: str) -> tuple[str, str]:
    """
    The same for errors that only msgspec reports: NaN, lone surrogates, numbers out of range.
    """
    for escape in re.finditer(_ESCAPES, raw):
        if escape[1] is not None:
            return _line_and_column(raw, escape.start()), "a lone surrogate"
    offset = re.search(r"\(byte (\d+)\)", message)
    what = (message.partition(": ")[2] or message).partition(" (byte")[0].partition(" - at ")[0]
    return _line_and_column(raw, int(offset[1])) if offset else "", what.lower()


def _line_and_column(raw: bytes, offset: int) -> str:
    before = raw[:offset]
    line = before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")
    return f":{before.count(bytes([10])) + 1}:{len(line) + 1}"


def _named(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
