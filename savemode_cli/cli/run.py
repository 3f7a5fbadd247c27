"""
`savemode run -- CMD`: a proxy around one command.

Rule of this file: the command is what matters. Its output is its own, its exit code is ours, and what savemode has to
say comes on stderr when it is over.
"""

import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli import options
from savemode_cli.cli.serve import announcer, capture_rows, compose, opened_sinks, printer, say, wants_colour

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from savemode_cli.cli.serve import Proxy
    from savemode_cli.config import Settings
    from savemode_cli.core.admission import Standing
    from savemode_cli.core.budget import Limit
    from savemode_cli.core.exchange import Exchange
    from savemode_cli.core.summary import Summary

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT ...]", help="What to run.")],
    upstream: options.Upstream = None,
    product: options.Product = None,
    ttl_policy: options.TtlPolicy = None,
    debug: options.Debug = None,
    observe: options.Observe = None,
    budget: options.BudgetUsd = None,
    budget_window: options.BudgetWindow = None,
    strict: options.Strict = None,
    fail: options.Fail = None,
    ledger: options.LedgerUrl = None,
    price_file: options.PriceFile = None,
    no_telemetry: options.NoTelemetry = None,
    telemetry_content: options.TelemetryContent = None,
    events_file: options.EventsFile = None,
    capture: options.Capture = None,
    keep: options.Keep = None,
    config: options.Config = None,
    log_format: options.LogFormat = None,
    verbose: Annotated[bool | None, typer.Option("--verbose", "-v", help="Print each request to stderr.")] = None,
) -> None:
    """
    Run a command with ANTHROPIC_BASE_URL set to a proxy of its own, and print a receipt at the end.
    """
    flags = options.flags(locals())
    from savemode_cli.config import load, override_value, with_base_url
    from savemode_cli.core.budget import ALL
    from savemode_cli.core.gate import gate_warning
    from savemode_cli.core.summary import Summary
    from savemode_cli.proxy.server import run_in_loop

    settings = with_base_url(load({**flags, "host": "127.0.0.1", "port": 0}, config=config))
    announce = announcer(sys.stderr)
    warning = gate_warning(override_value(), debug=settings.debug)
    if warning is not None:
        announce(warning.event, warning.text)
    show = printer(settings, sys.stderr)
    total = Summary()
    own: dict[str, Limit] = {}

    def record(exchange: "Exchange") -> None:
        nonlocal total
        total = total.add(exchange)
        own.update({limit.key: limit for limit in _limits(exchange) if limit.budget.scope != ALL})
        if settings.verbose:
            show(exchange)

    # Not printed, also where a file or a variable asks for it: stdout is the command's.
    with opened_sinks(replace(settings, print_events=False), announce, sys.stderr) as sinks:
        proxy = compose(settings, record, announce, handle_signals=False, sinks=sinks)
        for words in capture_rows(settings, sinks):
            say(sys.stderr, f"savemode captures to {words}")
        try:
            code = run_in_loop(lambda: _around(proxy, command))
            standings = _standings(proxy, own.values())
        finally:
            proxy.close()
    _print_receipt(settings, total, proxy, standings, code)
    raise typer.Exit(code)


def _limits(exchange: "Exchange") -> "list[Limit]":
    """
    The limits that a request was judged by.
    """
    from savemode_cli.core.admission import Allowed

    decision = exchange.decision
    if decision is None:
        return []
    standings = decision.standings if isinstance(decision, Allowed) else filter(None, [decision.standing])
    return [standing.limit for standing in standings]


def _standings(proxy: "Proxy", own: "Iterable[Limit]") -> "tuple[Standing, ...] | None":
    """
    Where the budgets stand now: those for everybody, and those the command's requests had of their own. None: nobody
    knows.
    """
    from savemode_cli.core.errors import LedgerUnavailable

    try:
        return proxy.relay.desk.standings(proxy.now(), own)
    except LedgerUnavailable:
        return None


def _print_receipt(
    settings: "Settings", total: "Summary", proxy: "Proxy", standings: "tuple[Standing, ...] | None", code: int
) -> None:
    import json

    from savemode_cli.core.overview import standing_json
    from savemode_cli.views.terminal import Ink, receipt

    gate = proxy.relay.gate()
    if settings.log_format == "text":
        say(sys.stderr, receipt(total, Ink(colour=wants_colour(sys.stderr)), gate, standings))
        if settings.is_simulated:
            say(sys.stderr, "  simulated: no model answered, tokens are estimates, and nothing was paid")
        return
    told = {
        **total.to_json(),
        "event": "run.done",
        "exit_code": code,
        "simulated": settings.is_simulated,
        "gate": {"on": gate.on, "why": gate.why},
        "budgets": None if standings is None else [standing_json(one) for one in standings],
    }
    say(sys.stderr, json.dumps(told, separators=(",", ":")))


async def _around(proxy: "Proxy", command: list[str]) -> int:
    import asyncio

    serving = asyncio.create_task(proxy.serve())
    try:
        return await _run(command, proxy.url)
    finally:
        proxy.server.should_exit = True
        await serving


async def _run(command: list[str], url: str) -> int:
    """
    The command's exit code; 127 if there is no such command, 126 if it cannot be run, 128 + n if signal n ended it.
    """
    import asyncio

    environ = {"ENABLE_TOOL_SEARCH": "true", **os.environ, "ANTHROPIC_BASE_URL": url}
    for name in ("NO_PROXY", "no_proxy"):
        # Or a command that goes through an HTTP proxy would ask that one for our address.
        environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environ)
    except FileNotFoundError:
        typer.echo(f"error: no such command: {command[0]}", err=True)
        return 127
    except OSError as error:
        typer.echo(f"error: cannot run {command[0]}: {(error.strerror or str(error)).lower()}", err=True)
        return 126
    loop = asyncio.get_running_loop()
    for number in _PASSED_ON:
        loop.add_signal_handler(number, _pass_on, process, number)
    code = await process.wait()
    return 128 - code if code < 0 else code


def _pass_on(process: "Process", number: signal.Signals) -> None:
    """
    Hand a signal to the command, unless the terminal has sent it to both of us already (Ctrl-C, Ctrl-\\).
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
