"""
Alerts for a command of the person's own.

Rule of this file: the command gets the alert as JSON on stdin, and nothing of it as an argument.
"""

import json
import shlex
from typing import TYPE_CHECKING

from savemode_cli.alerts.definition import ChannelDefinition
from savemode_cli.alerts.desktop import run
from savemode_cli.core.budget.alerts import Alert, Deliver

if TYPE_CHECKING:
    from savemode_cli.config import Settings


def command(settings: "Settings") -> Deliver:
    """
    The function that runs the command.
    """
    words = shlex.split(settings.alerts_command or "")

    def deliver(alert: Alert, timeout_s: float) -> None:
        run(words, timeout_s, json.dumps(alert.to_json()).encode() + b"\n")

    return deliver


COMMAND = ChannelDefinition(
    name="command",
    is_configured=lambda settings: settings.alerts_command is not None,
    destination=lambda settings: f"the command {shlex.split(settings.alerts_command or '')[0]}",
    open=command,
)
