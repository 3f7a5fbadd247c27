"""
`savemode run -- CMD`: run one command with a proxy of its own.

Rule of this file: stdout belongs to the command, and its exit code is the exit code of savemode. savemode prints to stderr:
before the command starts, where its requests go and which config files apply; everything else after it has ended.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.banner import capture_rows
from savemode_cli.cli.command_group import Definition
from savemode_cli.cli.compose import compose, findable
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.opening import opened_sinks
from savemode_cli.cli.screen import announcer, guard_logs, printer, say
from savemode_cli.cli.settings import deciding
from savemode_cli.core.errors import reason
from savemode_cli.views.printable import printable, printable_json

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from savemode_cli.cli.compose import Proxy
    from savemode_cli.clients.setup import Prepared
    from savemode_cli.config import Settings

CLAUDE_CODE = "claude-code"
"""Its name in the table of clients. savemode_cli/config/bypasses.py knows what makes it bypass the proxy."""

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT ...]", help="The command to run.")],
    flags: Flags,
) -> None:
    """
    Run a command whose model calls go to a proxy of its own, and print a receipt at the end.
    """
    from savemode_cli.cli.receipt import final_standings, print_receipt
    from savemode_cli.clients.setup import prepared
    from savemode_cli.config import DEFAULT_UPSTREAM, override_value, with_base_url
    from savemode_cli.core.upgrade.gate import gate_warning
    from savemode_cli.serving.process import prepare, run_in_loop

    # The configured port belongs to `savemode serve`, which may be running.
    settings = with_base_url(flags.settings(host="127.0.0.1", port=flags.given.get("port") or 0))
    guard_logs()
    announce = announcer(sys.stderr)
    warning = gate_warning(override_value(), debug=settings.debug, save=settings.save)
    if warning is not None:
        announce(warning.event, warning.text)
    record = printer(settings if settings.verbose else replace(settings, quiet=True), sys.stderr)

    # Never print events, even if a file or a variable asks for it: stdout belongs to the command.
    with opened_sinks(replace(settings, print_events=False), announce, sys.stderr) as sinks:
        proxy = compose(settings, record, announce, handle_signals=False, sinks=sinks, prepare=prepare)
        _print_deciding(settings)
        for words in capture_rows(settings, sinks):
            say(sys.stderr, f"savemode captures to {printable(words)}")
        try:
            passes_on = settings.upstream != DEFAULT_UPSTREAM
            with (
                findable(settings, proxy),
                prepared(command, proxy.url, os.environ, Path(), passes_on=passes_on) as ready,
            ):
                _tell_client(settings, ready, proxy, announce)
                code = run_in_loop(lambda: _around(proxy, ready))
            standings = final_standings(proxy)
        finally:
            proxy.close()
    reasons = None if proxy.summary.outcomes or code in (126, 127) else _reasons(proxy, ready)
    print_receipt(settings, proxy, standings, sys.stderr, ["run", *command], reasons=reasons, exit_code=code)
    raise typer.Exit(code)


def _tell_client(settings: "Settings", ready: "Prepared", proxy: "Proxy", announce: Callable[[str, str], None]) -> None:
    """
    Print what was set so that the client uses the proxy, and warn about what makes it bypass the proxy.
    """
    import json

    if settings.log_format != "json":
        for words in ready.told:
            say(sys.stderr, f"savemode client {printable(words)}")
    elif ready.client is not None:
        event = {"event": "run.client", "client": ready.client.name, "set": sorted(ready.variables), "told": ready.told}
        say(sys.stderr, printable_json(json.dumps(event, separators=(",", ":"))))
    for words in _leading_elsewhere(proxy, ready):
        announce("client_bypasses_savemode", words)


def _leading_elsewhere(proxy: "Proxy", ready: "Prepared") -> list[str]:
    """
    What makes the client bypass the proxy, as far as it is known for this client.
    """
    from savemode_cli.config.bypasses import bypasses

    if ready.client is None or ready.client.name != CLAUDE_CODE:
        return ready.warnings
    known_bypasses = bypasses(os.environ, [proxy.url], ready.command)
    return [*ready.warnings, *(f"{bypass.what}; {bypass.fix}" for bypass in known_bypasses)]


def _reasons(proxy: "Proxy", ready: "Prepared") -> list[str]:
    """
    The possible reasons why the proxy received no call.
    """
    from savemode_cli.config.bypasses import bypasses

    if ready.client is not None:
        title = ready.client.title
        return _leading_elsewhere(proxy, ready) or [f"{title} made no model call, or has its own base URL"]
    reasons = [f"{bypass.what}; {bypass.fix}" for bypass in bypasses(os.environ, [proxy.url], ready.command)]
    return reasons or [
        "the command made no model call, or does not read ANTHROPIC_BASE_URL, or has its own base URL; "
        "`savemode clients` lists what clients read"
    ]


def _print_deciding(settings: "Settings") -> None:
    """
    Print which config files apply, and the upstream if it is not the default, before any request is sent.
    """
    import json

    rows = list(deciding(settings))
    if settings.log_format != "json":
        for name, words in rows:
            say(sys.stderr, f"savemode {name} {printable(words)}")
    elif rows:
        files = [{"path": file.path, "options": file.options, "trusted": file.trusted} for file in settings.files]
        where = {"upstream": settings.upstream, "upstream_from": settings.upstream_from or None}
        event = {"event": "run.begin", "config": files, **where}
        say(sys.stderr, printable_json(json.dumps(event, separators=(",", ":"))))


RUN = Definition(run, context_settings={"allow_interspersed_args": False})
"""All arguments after the command's name belong to the command."""


async def _around(proxy: "Proxy", ready: "Prepared") -> int:
    import asyncio

    serving = asyncio.create_task(proxy.serve())
    try:
        return await _run(ready)
    finally:
        proxy.server.should_exit = True
        await serving


async def _run(ready: "Prepared") -> int:
    """
    Run the command.

    Returns:
        Its exit code; 127 if there is no such command, 126 if it cannot be run, 128 + n if signal n ended it.
    """
    import asyncio

    from savemode_cli.network import with_exception
    from savemode_cli.serving.process import original_open_file_limit

    command = ready.command
    environ = {"ENABLE_TOOL_SEARCH": "true", **os.environ, **ready.variables}
    # Otherwise a command that uses an HTTP proxy would send requests for our address to that proxy.
    environ |= with_exception(os.environ, "127.0.0.1")
    try:
        with original_open_file_limit():
            process = await asyncio.create_subprocess_exec(*command, env=environ)
    except FileNotFoundError:
        say(sys.stderr, f"error: no such command: {printable(command[0])}")
        return 127
    except OSError as error:
        say(sys.stderr, f"error: cannot run {printable(command[0])}: {reason(error)}")
        return 126
    loop = asyncio.get_running_loop()
    for number in _PASSED_ON:
        loop.add_signal_handler(number, _pass_on, process, number)
    code = await process.wait()
    return 128 - code if code < 0 else code


def _pass_on(process: "Process", number: signal.Signals) -> None:
    """
    Pass a signal on to the command, unless the terminal has already sent it to both processes (Ctrl-C, Ctrl-\\).
    """
    if number in (signal.SIGINT, signal.SIGQUIT) and _in_foreground():
        return
    if process.returncode is None:
        process.send_signal(number)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
