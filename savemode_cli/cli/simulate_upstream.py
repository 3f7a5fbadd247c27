"""
`savemode simulate-upstream`: the Messages API on loopback, without a model behind it.

Rule of this file: options become a `Behaviour`, and each request a line; what is answered is decided in
`proxy/simulated`.
"""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.command_group import Definition
from savemode_cli.cli.screen import guard_logs, say, width_of
from savemode_cli.simulated.faults import FAULTS_HELP, GRAMMAR, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savemode_cli.simulated.faults import Fault
    from savemode_cli.simulated.upstream import Behaviour, Served

FAULTS = f"""\b
A fault is {GRAMMAR}.
COUNT is the number of requests. --fault may be repeated. The header
x-savemode-fault of a request takes the same words, separated by semicolons.

\b
{FAULTS_HELP}
"""


def simulate_upstream(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8788,
    script: Annotated[Path | None, typer.Option(help="What to answer, JSON: {'turns': [{'text': ...}, ...]}.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="A fault to simulate, like status=529*2; see below.")
    ] = None,
    answer_ms: Annotated[float, typer.Option(min=0, max=3_600_000, help="How long to wait before an answer.")] = 0,
    token_ms: Annotated[float, typer.Option(min=0, max=60_000, help="How long each token of a stream takes.")] = 0,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress answers for clients that accept it.")] = False,
    ttl_in_key: Annotated[
        bool, typer.Option("--ttl-in-key", help="Let a breakpoint find only cache entries of its own TTL.")
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also answer this model, for example the name of a deployment."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no line for each request.")] = False,
) -> None:
    """
    Answer like the Messages API, with a true prompt cache: no key, no model, no network.
    """
    from savemode_cli.serving.process import prepare, run_in_loop
    from savemode_cli.simulated.script import read_script
    from savemode_cli.simulated.serving import Serving
    from savemode_cli.simulated.upstream import Behaviour, SimulatedUpstream

    behaviour = Behaviour(
        script=() if script is None else read_script(script),
        faults=_faults(fault or ()),
        answer_s=answer_ms / 1000,
        token_s=token_ms / 1000,
        gzip=gzip,
        ttl_in_key=ttl_in_key,
        models=frozenset(model or ()),
    )
    upstream = SimulatedUpstream(behaviour, served=lambda one: None if quiet else say(sys.stdout, _line(one)))
    guard_logs()
    prepare()  # the next line opens the port
    serving = Serving(upstream, port, handle_signals=True)
    say(sys.stderr, _banner(serving.url, behaviour))
    run_in_loop(serving.run)
    say(sys.stderr, "savemode stopped")
    if serving.server.signal == signal.SIGINT:
        raise typer.Exit(130)


SIMULATE_UPSTREAM = Definition(simulate_upstream, epilog=FAULTS)


def _faults(words: "Sequence[str]") -> "tuple[Fault, ...]":
    return tuple(fault for word in words for fault in parse(word))


def _line(served: "Served") -> str:
    from savemode_cli.views.printable import printable

    status = "-" if served.status is None else str(served.status)
    return printable(f"{served.at:%H:%M:%S} {served.method} {served.path} {status} {served.note}".rstrip())


def _banner(url: str, behaviour: "Behaviour") -> str:
    from savemode_cli import __version__
    from savemode_cli.views.banner import banner

    rows = [
        ("answers", f"{len(behaviour.script)} turns of a script" if behaviour.script else "a line of its own"),
        ("tokens", "estimates: no tokenizer is public"),
    ]
    if behaviour.faults:
        rows.append(("faults", ", ".join(fault.name for fault in behaviour.faults)))
    rows += [
        ("hint", "to advance its clock:"),
        ("", f"curl -d '{{\"advance_s\": 600}}' {url}/-/clock"),
        ("hint", "to see its cache and its bills:"),
        ("", f"curl {url}/-/state"),
    ]
    return banner(__version__, url, rows, width=width_of(sys.stderr))
