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

from savemode_cli.cli.serve import say, wants_colour
from savemode_cli.proxy.simulated.faults import GRAMMAR, WORDS, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savemode_cli.proxy.simulated.faults import Fault
    from savemode_cli.proxy.simulated.upstream import Behaviour, Served

FAULTS = f"""\b
A fault is {GRAMMAR}, COUNT being for how many
requests. --fault may be repeated; a request's own header x-savemode-fault
takes the same words, separated by semicolons.

\b
{WORDS}
"""


def simulate_upstream(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8788,
    script: Annotated[Path | None, typer.Option(help="What to answer, JSON: {'turns': [{'text': ...}, ...]}.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="What goes wrong, like status=529*2; see below.")
    ] = None,
    answer_ms: Annotated[float, typer.Option(min=0, max=3_600_000, help="How long it thinks before an answer.")] = 0,
    token_ms: Annotated[float, typer.Option(min=0, max=60_000, help="How long each token of a stream takes.")] = 0,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress answers for clients that accept it.")] = False,
    ttl_in_key: Annotated[
        bool, typer.Option("--ttl-in-key", help="Let a breakpoint find only what was cached for its own TTL.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No line for each request.")] = False,
) -> None:
    """
    Answer like the Messages API, with a true prompt cache: no key, no model, no network.
    """
    from savemode_cli.proxy.server import run_in_loop
    from savemode_cli.proxy.simulated.script import read_script
    from savemode_cli.proxy.simulated.serving import Serving
    from savemode_cli.proxy.simulated.upstream import Behaviour, SimulatedUpstream

    behaviour = Behaviour(
        script=() if script is None else read_script(script),
        faults=_faults(fault or ()),
        answer_s=answer_ms / 1000,
        token_s=token_ms / 1000,
        gzip=gzip,
        ttl_in_key=ttl_in_key,
    )
    upstream = SimulatedUpstream(behaviour, served=lambda one: None if quiet else say(sys.stdout, _line(one)))
    serving = Serving(upstream, port, handle_signals=True)
    say(sys.stderr, _banner(serving.url, behaviour))
    run_in_loop(serving.run)
    say(sys.stderr, "savemode stopped")
    if serving.server.signal == signal.SIGINT:
        raise typer.Exit(130)


def _faults(words: "Sequence[str]") -> "tuple[Fault, ...]":
    return tuple(fault for word in words for fault in parse(word))


def _line(served: "Served") -> str:
    from savemode_cli.views.terminal import printable

    status = "-" if served.status is None else str(served.status)
    return printable(f"{served.at:%H:%M:%S} {served.method} {served.path} {status} {served.note}".rstrip())


def _banner(url: str, behaviour: "Behaviour") -> str:
    from savemode_cli import __version__
    from savemode_cli.views.terminal import Ink, banner

    rows = [
        ("answers", f"{len(behaviour.script)} turns of a script" if behaviour.script else "a line of its own"),
        ("tokens", "estimates: no tokenizer is public"),
    ]
    if behaviour.faults:
        rows.append(("faults", ", ".join(fault.name for fault in behaviour.faults)))
    hints = [
        f"turn its clock: curl -d '{{\"advance_s\": 600}}' {url}/-/clock",
        f"what it holds and billed: curl {url}/-/state",
    ]
    return banner(__version__, url, rows, hints, Ink(colour=wants_colour(sys.stderr)))
