"""
Events to a file of the user's, one JSON object a line.

Rule of this file: only whole lines, appended, so that several processes may share it; nobody else can read it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from savemode_cli.core.event import Event
from savemode_cli.telemetry.background import Undelivered


def lines(events: Sequence[Event]) -> bytes:
    """
    Events as lines; numbers that JSON has no word for become null.
    """
    return msgspec.json.Encoder().encode_lines(events)


class File:
    """
    The outlet to a file, which is made when there is something to write.
    """

    def __init__(self, path: Path) -> None:
        """
        The folder must exist.
        """
        self.where = str(path)
        self._path = path

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:  # noqa: ARG002 - a local disk is not waited for
        """
        Append a batch.

        Raises:
            Undelivered: it cannot be written, or not whole; then what was written of it is taken back.
        """
        data = lines(batch)
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                written = os.write(file, data)
                if written < len(data):
                    os.ftruncate(file, os.fstat(file).st_size - written)
                    raise Undelivered(f"{self.where} cannot be written: the disk is full")
            finally:
                os.close(file)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Undelivered(f"{self.where} cannot be written: {reason}") from error
