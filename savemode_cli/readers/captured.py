"""
Reads the calls in the store that `savemode serve --capture` writes.

Rule of this file: it gives a replay the same facts as any other record, and no more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from savemode_cli.captures.file import is_store
from savemode_cli.core.errors import SavemodeError
from savemode_cli.core.replay.recording import Call
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Sample


def is_captures(sample: Sample) -> bool:
    """
    Whether a sample is the beginning of a capture store. Other SQLite files are not recognised.
    """
    return sample.path is not None and sample.start.startswith(b"SQLite format 3\0") and is_store(sample.path)


def captured_calls(_: BinaryIO | None, path: Path, problems: Problems) -> Iterator[Call]:
    """
    The calls of a capture store, one at a time.

    Args:
        path: the store's file, or its folder.
        problems: counts damaged captures, captures without a body, and requests that are not model calls.
    """

    def damaged(number: int, error: SavemodeError) -> None:
        problems.add(f"{path.name}: capture {number}", None, error.message)

    from savemode_cli.captures.store import CaptureStore  # noqa: PLC0415 - no other format needs it
    from savemode_cli.readers.calls import call_of_capture  # noqa: PLC0415

    try:
        store = CaptureStore.open(path)
    except SavemodeError as error:
        problems.add(path.name, None, error.message)
        return
    try:
        for row in store.captures(damaged=damaged):
            place = f"{path.name}: capture {row.number}"
            yield from problems.taken(call_of_capture(row.capture, place), place)
    finally:
        store.close()
