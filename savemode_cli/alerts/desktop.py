"""
Alerts as notifications of the desktop.

Rule of this file: it starts a program of the system with the texts as arguments, and never a shell.
"""

import html
import shutil
import subprocess
import sys
from collections.abc import Sequence

from savemode_cli.alerts.definition import ChannelDefinition
from savemode_cli.core.budget.alerts import Alert, AlertFailed

_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
"""For `osascript`: the texts are arguments, so nothing in them is a command."""


def deliver(alert: Alert, timeout_s: float) -> None:
    """
    Show a notification, with `notify-send` or, on macOS, with `osascript`.

    Raises:
        AlertFailed: there is no such program, or it fails.
    """
    if sys.platform == "darwin":
        script = [word for line in _SCRIPT for word in ("-e", line)]
        run(["osascript", *script, alert.title, alert.text], timeout_s)
    else:
        # The text of a notification may have markup: https://specifications.freedesktop.org/notification-spec
        run(["notify-send", "--app-name=savemode", "--", alert.title, html.escape(alert.text, quote=False)], timeout_s)


def run(words: Sequence[str], timeout_s: float, given: bytes = b"") -> None:
    """
    Run a program.

    Args:
        words: the program and its arguments.
        timeout_s: how long it may take.
        given: what it gets on stdin.

    Raises:
        AlertFailed: it cannot be run, takes too long, or exits with another code than 0.
    """
    name = words[0]
    path = shutil.which(name)
    if path is None:
        raise AlertFailed(f"there is no program {name}", final=True)
    try:
        done = subprocess.run(  # noqa: S603 - the person's own program
            [path, *words[1:]],
            input=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AlertFailed(f"{name} takes longer than {timeout_s:g} s") from None
    except OSError as error:
        raise AlertFailed(f"cannot run {name}: {(error.strerror or type(error).__name__).lower()}") from None
    if done.returncode:
        raise AlertFailed(f"{name} exits with {done.returncode}")


DESKTOP = ChannelDefinition(
    name="desktop",
    is_configured=lambda settings: settings.alerts_desktop,
    destination=lambda _: "notifications of the desktop",
    open=lambda _: deliver,
)
