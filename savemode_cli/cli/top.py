"""
`savemode top`: a full-screen view of a running proxy.

Rule of this file: it finds the proxies and starts the screen.
"""

import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.core.errors import BadInput, ConfigError

if TYPE_CHECKING:
    from savemode_cli.config import Settings


def top(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="The address of a proxy.  [default: those that run on this machine]"),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """
    Show a running proxy on the full screen: budgets, spend, sessions, agents, requests, cache misses and receipts.

    Keys: 1 to 5 and Tab choose a table, s sorts, / filters, p shows the next proxy, q quits.
    """
    settings = flags.settings()
    urls = [_checked(url)] if url is not None else _running(settings)
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on stderr
        raise ConfigError("savemode top needs a terminal", hint=f"for programs: curl {urls[0]}/-/summary")
    try:
        from savemode_cli.views.top.app import run
    except ImportError as error:
        raise ConfigError(
            "savemode top needs Textual, which is not installed", hint="pip install 'savemode-cli[top]'"
        ) from error
    from savemode_cli.views.top.source import ProxySource

    run([ProxySource(one, settings.access_token) for one in urls])


def _running(settings: "Settings") -> list[str]:
    from savemode_cli.serving.running import running_proxies

    urls = [proxy.url for proxy in running_proxies(settings.proxies_folder)]
    if not urls:
        raise ConfigError("no proxy is running on this machine", hint="start one: savemode serve, or name its URL")
    return urls


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_usable = False
    if not is_usable:
        raise BadInput(f"{url!r} is not the address of a proxy", hint="like http://127.0.0.1:8787")
    return f"http://{parts.netloc.rpartition('@')[2]}"
