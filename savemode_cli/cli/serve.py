"""
`savemode serve`: run the proxy until it is stopped.

Rule of this file: it turns options into settings, prints the banner, runs the proxy, and prints the receipt.
"""

import signal
import sys

import typer

from savemode_cli.cli.banner import say_hello
from savemode_cli.cli.compose import compose, findable
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.opening import opened_sinks
from savemode_cli.cli.screen import announcer, guard_logs, printer, say


def serve(flags: Flags) -> None:
    """
    Run the proxy; print a line for each request and a receipt at the end.
    """
    from savemode_cli.cli.receipt import final_standings, print_receipt
    from savemode_cli.service.ready import tell_ready
    from savemode_cli.serving.process import prepare, run_in_loop

    settings = flags.settings()
    guard_logs()
    announce = announcer(sys.stderr)
    record = printer(settings, sys.stdout)
    with opened_sinks(settings, announce, sys.stdout) as sinks:
        proxy = compose(settings, record, announce, sinks=sinks, prepare=prepare)
        try:
            with findable(settings, proxy):
                say_hello(settings, proxy, sys.stderr)
                tell_ready()
                run_in_loop(proxy.serve)
            standings = final_standings(proxy)
        finally:
            proxy.close()
    say(sys.stderr, "savemode stopped")
    print_receipt(settings, proxy, standings, sys.stderr, ["serve"])
    if proxy.server.signal == signal.SIGINT:
        raise typer.Exit(130)
