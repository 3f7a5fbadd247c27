"""
Events that wait for the next start, in files of the user's data folder.

Rule of this file: a file is written as a whole or not at all. It belongs to the process that holds its lock. The operating
system releases the lock when the process ends, whatever ended it.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from savemode_cli.private import make_folder
from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.jsonl import lines

MOST_BYTES = 64 * 1024 * 1024
"""The events that wait for one project together: about 40,000 events without content."""


class Spool:
    """
    The events that wait for one address. The names of its files hold a hash of the address, because it has a key in it.
    """

    def __init__(self, folder: Path, address: str, most_bytes: int = MOST_BYTES) -> None:
        """
        Args:
            folder: where the files are.
            address: host and key, so that events for one project never go to another.
            most_bytes: how much may wait.
        """
        self._folder = folder
        self._prefix = f"events-{hashlib.sha256(address.encode()).hexdigest()[:12]}-"
        self._most_bytes = most_bytes
        self._claimed: list[tuple[Path, int]] = []

    def claim(self) -> list[Event]:
        """
        Take the events of earlier processes. No other process gets them while this one holds them.
        """
        events: list[Event] = []
        for path in sorted(self._files()):
            with contextlib.suppress(OSError):
                events += self._claim_one(path)
        return events

    def forget(self) -> None:
        """
        Delete the claimed events.
        """
        for path, file in self._claimed:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(file)
        self._claimed.clear()

    def give_back(self) -> None:
        """
        Leave the claimed events where they are, for other processes to claim.
        """
        for _, file in self._claimed:
            os.close(file)
        self._claimed.clear()

    def save(self, events: Sequence[Event]) -> int:
        """
        Write events to a new file. Never raises.

        Returns:
            How many were written, from the first on; the caller counts the others as lost.
        """
        free = self._most_bytes - sum(_size(path) for path in self._files())
        kept: list[Event] = []
        for event in events:
            free -= len(lines([event]))
            if free < 0:
                break
            kept.append(event)
        try:
            self._write(lines(kept)) if kept else None
        except OSError:
            return 0
        return len(kept)

    def _files(self) -> list[Path]:
        return list(self._folder.glob(f"{self._prefix}*.jsonl"))

    def _claim_one(self, path: Path) -> list[Event]:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have delivered and deleted it before the lock was taken.
            path.stat()
            with os.fdopen(os.dup(file), "rb") as reader:
                events = [event for line in reader if (event := _event(line)) is not None]
        except BaseException:
            os.close(file)
            raise
        self._claimed.append((path, file))
        return events

    def _write(self, data: bytes) -> None:
        make_folder(self._folder)
        path = self._folder / f"{self._prefix}{time.time_ns()}-{os.getpid()}.jsonl"
        part = path.with_suffix(".part")
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(file)
        part.rename(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _event(line: bytes) -> Event | None:
    """
    The event of a line; None if the line is not an event, because somebody may have edited the file.
    """
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event: Any = msgspec.json.decode(line)
        if isinstance(event, dict) and "uuid" in event:
            return event
    return None
