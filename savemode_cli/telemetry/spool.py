"""
Events that wait for the next start, in files of the user's data folder.

Rule of this file: a file is whole or is not there; it belongs to the process that holds its lock, and to nobody once that
process is gone, however it went.
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

from savemode_cli.core.event import Event
from savemode_cli.telemetry.jsonl import lines

MOST_BYTES = 64 * 1024 * 1024
"""Of all that waits for one project: some 40,000 events without content."""


class Spool:
    """
    The events that wait for one address, which is told apart by a hash: a key is not written down.
    """

    def __init__(self, folder: Path, address: str, most_bytes: int = MOST_BYTES) -> None:
        """
        `address` is host and key: what waits for one project must not go to another.
        """
        self._folder = folder
        self._prefix = f"events-{hashlib.sha256(address.encode()).hexdigest()[:12]}-"
        self._most_bytes = most_bytes
        self._claimed: list[tuple[Path, int]] = []

    def claim(self) -> list[Event]:
        """
        What earlier processes have left; no other process gets it while this one holds it.
        """
        events: list[Event] = []
        for path in sorted(self._files()):
            with contextlib.suppress(OSError):
                events += self._claim_one(path)
        return events

    def forget(self) -> None:
        """
        Delete what was claimed.
        """
        for path, file in self._claimed:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(file)
        self._claimed.clear()

    def give_back(self) -> None:
        """
        Leave what was claimed where it is, for others to claim.
        """
        for _, file in self._claimed:
            os.close(file)
        self._claimed.clear()

    def save(self, events: Sequence[Event]) -> int:
        """
        Write events to a file of their own; how many found room. Never raises: what is not kept is lost, and counted.
        """
        free = self._most_bytes - sum(_size(path) for path in self._files())
        room: list[Event] = []
        for event in events:
            free -= len(lines([event]))
            if free < 0:
                break
            room.append(event)
        try:
            self._write(lines(room)) if room else None
        except OSError:
            return 0
        return len(room)

    def _files(self) -> list[Path]:
        return list(self._folder.glob(f"{self._prefix}*.jsonl"))

    def _claim_one(self, path: Path) -> list[Event]:
        file = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been delivered and deleted between the look and the lock.
            path.stat()
            with os.fdopen(os.dup(file), "rb") as reader:
                events = [event for line in reader if (event := _event(line)) is not None]
        except BaseException:
            os.close(file)
            raise
        self._claimed.append((path, file))
        return events

    def _write(self, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    An event of a line; None if it is none, for somebody may have edited the file.
    """
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read: Any = msgspec.json.decode(line)
        if isinstance(read, dict) and "uuid" in read:
            return read
    return None
