"""
Events on stdout, as they would be sent.

Rule of this file: it prints the events and nothing else, so that another program can read them.
"""

import json
from collections.abc import Callable, Sequence

from savemode_cli.telemetry.background import Background
from savemode_cli.telemetry.definition import SinkContext, SinkDefinition
from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.jsonl import lines


class Printed:
    """
    The outlet to stdout.
    """

    where = "stdout"

    def __init__(self, write_line: Callable[[str], None], *, pretty: bool) -> None:
        """
        Args:
            write_line: writes a text and the end of a line.
            pretty: whether to indent the JSON, for people; otherwise an event is one line.
        """
        self._write_line = write_line
        self._pretty = pretty

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:  # noqa: ARG002 - printing has no timeout
        """
        Print a batch.
        """
        for event in batch:
            self._write_line(json.dumps(event, indent=2) if self._pretty else lines([event]).decode().rstrip("\n"))


def _open(context: SinkContext) -> Background:
    return context.background("print_events", Printed(context.write_line, pretty=context.is_terminal), batch_s=0.0)


PRINTED_EVENTS = SinkDefinition(
    name="print_events",
    is_configured=lambda settings: settings.print_events,
    destination=lambda _: "stdout",
    open=_open,
)
