"""
Events in a file, one JSON object per line.

Rule of this file: only whole lines are appended, so that several processes can share the file. Only its owner can read it,
and a symbolic link in its place is not followed.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from savemode_cli.core.errors import reason
from savemode_cli.private import open_to_append
from savemode_cli.telemetry.background import Background
from savemode_cli.telemetry.definition import Probe, SinkContext, SinkDefinition, SinkFinding
from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.outlet import Undelivered

if TYPE_CHECKING:
    from savemode_cli.config import Settings


def lines(events: Sequence[Event]) -> bytes:
    """
    Events as lines of JSON. Numbers that JSON cannot hold (NaN, infinity) become null.
    """
    return msgspec.json.Encoder().encode_lines(events)


class File:
    """
    The outlet to a file. The file is created with the first event.
    """

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: the file. Its folder must exist.
        """
        self.where = str(path)
        self._path = path

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:  # noqa: ARG002 - writing to a local disk has no timeout
        """
        Append a batch.

        Raises:
            Undelivered: the batch cannot be written as a whole. A part that was written is removed again.
        """
        data = lines(batch)
        try:
            file = open_to_append(self._path)
            try:
                written = os.write(file, data)
                if written < len(data):
                    os.ftruncate(file, os.fstat(file).st_size - written)
                    raise Undelivered(f"{self.where} cannot be written: the disk is full")
            finally:
                os.close(file)
        except OSError as error:
            raise Undelivered(f"{self.where} cannot be written: {reason(error)}") from error


def _open(context: SinkContext) -> Background:
    assert context.settings.events_file is not None  # noqa: S101 - it is configured
    return context.background("events_file", File(context.settings.events_file), batch_s=0.2)


def _check(settings: "Settings", probe: Probe) -> Iterator[SinkFinding]:
    if settings.events_file is None:
        return
    reason = probe.why_not_writable(settings.events_file, makes_folders=False)
    if reason:
        text = f"{settings.events_file} cannot be written: {reason}"
        yield SinkFinding("WARN", text, "give --events-file another path")
    else:
        yield SinkFinding("OK", f"written to {settings.events_file}")


EVENTS_FILE = SinkDefinition(
    name="events_file",
    is_configured=lambda settings: settings.events_file is not None,
    destination=lambda settings: str(settings.events_file),
    open=_open,
    check=_check,
)
