"""
What is printed about the service.
"""

from dataclasses import replace
from pathlib import Path

from savemode_cli.views.printable import without_colours
from savemode_cli.views.service import ServiceStatus, to_json
from savemode_cli.views.service import rows as coloured_rows

RUNNING = ServiceStatus(
    manager="systemd",
    file=Path("/home/a/x.service"),
    is_installed=True,
    state="active (running)",
    is_running=True,
    is_enabled=True,
    pid=71,
    url="http://127.0.0.1:8787",
    requests=1200,
    log="journalctl --user -u savemode",
)


def rows(status: ServiceStatus) -> list[str]:
    """
    The lines without colours.
    """
    return [without_colours(row) for row in coloured_rows(status, 80)]


def test_running() -> None:
    """
    Where it listens, and where its log is.
    """
    assert rows(RUNNING) == [
        "the service is running",
        "  state     active (running), process 71, starts when you log in",
        "  address   http://127.0.0.1:8787, 1,200 requests so far",
        "  file      /home/a/x.service",
        "  log       journalctl --user -u savemode",
    ]


def test_stopped() -> None:
    """
    Without what only a process has.
    """
    stopped = replace(RUNNING, state="failed\x1b", is_running=False, is_enabled=False, pid=0, url="", requests=None)

    assert rows(stopped)[:2] == [
        "the service is not running",
        "  state     failed\\x1b, does not start when you log in",
    ]


def test_not_installed() -> None:
    """
    How to install it.
    """
    shown = rows(replace(RUNNING, is_installed=False))

    assert shown[0] == "no service is installed"
    assert shown[-1] == "  install   savemode service install"


def test_json() -> None:
    """
    What is unknown is null.
    """
    data = to_json(replace(RUNNING, pid=0, url="", requests=None))

    assert (data["pid"], data["url"], data["requests"]) == (None, None, None)
    assert data["file"] == "/home/a/x.service"
