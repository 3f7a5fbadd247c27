"""
The type of a reader: how it recognises its format, and how it reads the model calls of a file.

Rule of this file: it defines types and reads nothing. `registry` lists the readers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from savemode_cli.core.replay.recording import Call
    from savemode_cli.readers.problems import Problems


@dataclass(frozen=True, slots=True)
class Sample:
    """
    A part of a file, by which a reader recognises its format.

    The first sample of a file is its beginning; the next samples are its first JSON objects.
    """

    start: bytes
    """The first bytes of the file, up to 4 KiB."""
    names: frozenset[str] = frozenset()
    """The member names of one JSON object of the file; empty in the first sample."""
    is_only_line: bool = False
    """Whether that object is the whole file."""
    path: Path | None = None
    """The path of the file; None for standard input."""


CallReader = Callable[[BinaryIO, Path, "Problems"], Iterator["Call"]]
"""
Reads the model calls of an open file, one at a time.

Its arguments are the file as UTF-8 at its beginning, its path (for messages, and for files next to it), and the counter
of problems. It may raise OSError.
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """
    One format of recorded traffic.
    """

    name: str
    """The key in `READERS` and in JSON."""
    title: str
    """The plural name of such files in help and output."""
    sniff: Callable[[Sample], bool]
    """Whether a sample shows this format. The first reader of `READERS` that accepts a sample reads the file."""
    calls: CallReader | None
    """Reads the model calls; None for transcripts, which contain answers without request bodies."""
    rank: int
    """
    How complete the records are; 0 is the most complete. If two files contain the same call, the one with the lower rank
    counts. For example, a HAR has no usage for an answer that ended early, and a single body has no time.
    """
