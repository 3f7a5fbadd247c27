"""
Events to the terminal, as they would be sent.

Rule of this file: it shows the event and nothing around it, so that it can be piped.
"""

import json
from collections.abc import Callable, Sequence

from savemode_cli.core.event import Event
from savemode_cli.telemetry.jsonl import lines


class Printed:
    """
    The outlet to stdout: a JSON object a line, or indented for people.
    """

    where = "stdout"

    def __init__(self, say: Callable[[str], None], *, pretty: bool) -> None:
        """
        `say` writes a text and a line's end.
        """
        self._say = say
        self._pretty = pretty

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:  # noqa: ARG002 - a terminal is not waited for
        """
        Print a batch.
        """
        for event in batch:
            self._say(json.dumps(event, indent=2) if self._pretty else lines([event]).decode().rstrip("\n"))
