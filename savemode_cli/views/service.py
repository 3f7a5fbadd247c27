"""
What `savemode service` prints about the service.

Rule of this file: it renders what the manager says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savemode_cli.views.labelled import labelled
from savemode_cli.views.printable import printable


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """
    The service of this user.
    """

    manager: str
    """`systemd` or `launchd`."""
    file: Path
    is_installed: bool
    """Whether savemode's file is there."""
    state: str
    """The state in the manager's words."""
    is_running: bool
    is_enabled: bool
    """Whether it starts when the user logs in."""
    pid: int
    """The process; 0 without one."""
    url: str
    """Where the process listens; "" if it does not."""
    requests: int | None
    """How many requests it has served; None if it does not answer."""
    log: str
    """The command that prints what the service printed."""


def rows(status: ServiceStatus, width: int) -> Iterator[str]:
    """
    The lines of `savemode service status`.

    Args:
        status: what is known.
        width: the width of the screen, in columns.
    """
    if not status.is_installed:
        yield "no service is installed"
        yield from labelled("file", f"{printable(str(status.file))} does not exist", width)
        yield from labelled("install", "savemode service install", width)
        return
    yield "the service is running" if status.is_running else "the service is not running"
    pid = f", process {status.pid}" if status.pid else ""
    start = "starts when you log in" if status.is_enabled else "does not start when you log in"
    yield from labelled("state", f"{printable(status.state)}{pid}, {start}", width)
    if status.url:
        answer = "does not answer" if status.requests is None else f"{status.requests:,} requests so far"
        yield from labelled("address", f"{printable(status.url)}, {answer}", width)
    yield from labelled("file", printable(str(status.file)), width)
    yield from labelled("log", printable(status.log), width)


def to_json(status: ServiceStatus) -> dict[str, Any]:
    """
    The same as JSON.
    """
    return {
        "manager": status.manager,
        "file": str(status.file),
        "installed": status.is_installed,
        "state": status.state,
        "running": status.is_running,
        "enabled": status.is_enabled,
        "pid": status.pid or None,
        "url": status.url or None,
        "requests": status.requests,
        "log": status.log,
    }
