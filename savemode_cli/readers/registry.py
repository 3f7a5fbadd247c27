"""
All readers.

Rule of this file: a reader is one file and one line here. Readers are imported when they are first used, so that help can
list them and start quickly.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from savemode_cli.readers.reader import Reader


def _in(module: str, function: str) -> Callable[..., Any]:
    """
    A function of a module of this package. The module is imported when the function is first called.
    """

    def imported(*arguments: Any) -> Any:
        return getattr(import_module(f"savemode_cli.readers.{module}"), function)(*arguments)

    return imported


TRANSCRIPTS = Reader("transcript", "Claude Code transcripts", _in("transcript_files", "is_transcript"), None, rank=5)
BODY = Reader("body", "single request bodies", _in("bodies", "holds_body"), _in("bodies", "one_body"), rank=4)

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        TRANSCRIPTS,
        Reader(
            "captures", "savemode captures", _in("captured", "is_captures"), _in("captured", "captured_calls"), rank=0
        ),
        Reader("har", "HTTP archives (HAR)", _in("har", "is_archive"), _in("har", "har_calls"), rank=2),
        Reader(
            "cassette", "VCR cassettes", _in("cassettes", "is_cassette"), _in("cassettes", "cassette_calls"), rank=3
        ),
        Reader("bodies", "lines of request bodies", _in("bodies", "is_lines"), _in("bodies", "body_lines"), rank=1),
        BODY,
    )
}
"""The readers by name, in the order in which they are tried on a file."""
