"""
`savemode alerts test`: see whether alerts arrive.

Rule of this file: it sends what a proxy would send, by the same channels, and waits for the result.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from savemode_cli.cli.budget import AsJson
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.screen import echo, echo_json
from savemode_cli.core.errors import BadInput
from savemode_cli.views.printable import printable

if TYPE_CHECKING:
    from savemode_cli.core.budget.alerts import Deliver


def send_test(flags: Flags, as_json: AsJson = False) -> None:
    """
    Send a test alert by every configured channel. Exits with 1 if one fails.
    """
    from savemode_cli.alerts.channels import ALERT_CHANNELS, configured_channels

    settings = flags.settings()
    channels = configured_channels(settings)
    if not channels:
        raise BadInput(
            f"no alerts are configured; channels: {', '.join(ALERT_CHANNELS)}",
            hint="for example [alerts] with desktop = true in your config file, or SAVEMODE_ALERTS_DESKTOP=true",
        )
    results = [(one.name, one.destination(settings), _sent(one.open(settings))) for one in channels]
    if as_json:
        echo_json([{"channel": name, "destination": where, "problem": why or None} for name, where, why in results])
    else:
        width = max(len(name) for name, _, _ in results)
        for name, where, why in results:
            words = f"failed: {why}" if why else f"sent to {where}"
            echo(f"{name.ljust(width)}  {printable(words)}")
    if any(why for _, _, why in results):
        raise typer.Exit(1)


def _sent(deliver: "Deliver") -> str:
    """
    Why the alert did not arrive; empty if it did.
    """
    from savemode_cli.alerts.sender import TIMEOUT_S
    from savemode_cli.core.budget.alerts import AlertFailed, sample_alert

    try:
        deliver(sample_alert(datetime.now(UTC)), TIMEOUT_S)
    except AlertFailed as error:
        return error.reason
    return ""
