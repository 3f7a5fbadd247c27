"""
Text files of JSON as UTF-8 bytes, in any encoding that programs write.

Rule of this file: byte order marks, blank lines and the number of objects on a line have no meaning, so every reader of
lines uses these functions.
"""

import codecs
import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PADDING = "\0 \t\r\n"
"""Characters between two objects: white space, and the zeros that a file system may leave after a crash."""


def open_text(path: Path) -> BinaryIO:
    """
    Open a file to read its text as UTF-8, without the byte order mark that some editors and shells write.

    A UTF-16 file is converted. Older PowerShells redirect output to such files.

    Raises:
        OSError: the file cannot be opened or read.
    """
    file = path.open("rb")
    try:
        start = file.read(len(codecs.BOM_UTF8))
        file.seek(len(codecs.BOM_UTF8) if start == codecs.BOM_UTF8 else 0)
    except OSError:
        file.close()
        raise
    if start.startswith(_UTF_16_MARKS):
        return cast("BinaryIO", codecs.EncodedFile(file, "utf-8", "utf-16", errors="replace"))
    return file


def text_in(data: bytes) -> BinaryIO:
    """
    Like `open_text`, for text from standard input.
    """
    if data.startswith(_UTF_16_MARKS):
        data = data.decode("utf-16", "replace").encode()
    return BytesIO(without_mark(data))


def numbered_lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """
    The lines of a file, or of a part of it, with their numbers from 1, without byte order marks and without blank lines.

    Raises:
        OSError: the file cannot be read.
    """
    for number, line in enumerate(file, 1):
        text = line.strip()
        if text.startswith(b"{") or (text := without_mark(text)):
            yield number, text


def without_mark(line: bytes) -> bytes:
    """
    A line without a byte order mark at its beginning. In joined files a mark can be in the middle.
    """
    return line.removeprefix(codecs.BOM_UTF8)


def objects_in(line: bytes) -> tuple[list[bytes], bytes]:
    """
    The JSON values on a line with more than one value, and the rest that cannot be read.

    A writer that is stopped before it writes a line break leaves two records on one line.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return [], line
    objects: list[bytes] = []
    rest = text.strip(_PADDING)
    while rest:
        try:
            _, end = _DECODER.raw_decode(rest)
        except (ValueError, RecursionError):
            break
        objects.append(rest[:end].encode())
        rest = rest[end:].lstrip(_PADDING)
    return objects, rest.encode("utf-8", "surrogatepass")


_DECODER = json.JSONDecoder()
