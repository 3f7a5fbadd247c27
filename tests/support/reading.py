"""
Reading recorded files in tests: by the name of a reader, as `READERS` has it.
"""

from collections.abc import Iterator
from pathlib import Path

from savemode_cli.core.replay.recording import Call
from savemode_cli.readers.files import calls_in, reader_of
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.registry import READERS


def format_of(path: Path) -> str:
    """
    The name of the reader that recognises a file, "" if none does.
    """
    reader = reader_of(path)
    return "" if reader is None else reader.name


def calls(path: Path, name: str, problems: Problems) -> Iterator[Call]:
    """
    The calls that the reader of that name finds in a file.
    """
    return calls_in(path, READERS[name], problems)
