"""
The options that several commands share, spelled once.

Rule of this file: an option left out is None, so that config files and environment can speak.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

Host = Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.  [default: 8787]")]
Upstream = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Where requests go: an http(s) address, or: simulated.  [default: the real API]"),
]
Product = Annotated[
    str | None, typer.Option(help="Product of /v1/messages; only idle-prone ones are upgraded.  [default: llm_gateway]")
]
TtlPolicy = Annotated[
    str | None,
    typer.Option("--ttl-policy", help="Which requests to upgrade: off, product or always.  [default: product]"),
]
Compat = Annotated[
    str | None, typer.Option(help="'upstream' reproduces PostHog's gateway, faults included.  [default: none]")
]
Debug = Annotated[
    bool | None, typer.Option("--debug", help="Let COST_CONTROLS_ENABLED=true open the gate. Loopback only.")
]
Observe = Annotated[
    bool | None, typer.Option("--observe", help="Show what would be edited, and send the original bytes.")
]
NoBetaHeader = Annotated[
    bool | None, typer.Option("--no-beta-header", help="Do not name the extended cache TTL in anthropic-beta.")
]
AllowBedrock = Annotated[
    bool | None, typer.Option("--allow-bedrock", help="Upgrade Bedrock and Vertex models too (4.5 and later).")
]
AllowOauthEdits = Annotated[
    bool | None, typer.Option("--allow-oauth-edits", help="Edit subscription (OAuth) traffic too.")
]
ForwardPosthog = Annotated[
    bool | None,
    typer.Option("--forward-posthog-headers", help="Pass x-posthog-* on to an upstream that is itself a gateway."),
]
BudgetUsd = Annotated[str | None, typer.Option("--budget", metavar="USD", help="Refuse new requests past this spend.")]
BudgetWindow = Annotated[
    str | None, typer.Option("--budget-window", help="month, week, day or month:N.  [default: month]")
]
Strict = Annotated[
    bool | None, typer.Option("--strict", help="Never cross the cap: hold the most that a request can cost.")
]
Fail = Annotated[str | None, typer.Option("--fail", help="Without a ledger: open or closed.  [default: open]")]
LedgerUrl = Annotated[
    str | None, typer.Option("--ledger", metavar="URL", help="Where spend is kept.  [default: a file of the user's]")
]
PriceFile = Annotated[Path | None, typer.Option("--price-file", help="Prices of your own, TOML or JSON.")]
NoTelemetry = Annotated[
    bool | None, typer.Option("--no-telemetry", help="Send nothing to PostHog, whatever key is configured.")
]
TelemetryContent = Annotated[
    bool | None, typer.Option("--telemetry-content", help="Put prompts and answers into the events, without media.")
]
EventsFile = Annotated[
    Path | None, typer.Option("--events-file", metavar="FILE", help="Append each event to a file, as a JSON line.")
]
PrintEvents = Annotated[
    bool | None, typer.Option("--print-events", help="Show each event on stdout as it would be sent.")
]
Capture = Annotated[
    str | None,
    typer.Option(
        "--capture", metavar="[DIR]", help="Keep what is said, your prompts included.  [default: a folder of yours]"
    ),
]
Keep = Annotated[
    str | None, typer.Option("--keep", metavar="TIME", help="How long captures last: 12h, 7d, forever.  [default: 30d]")
]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file of options.")]
LogFormat = Annotated[str | None, typer.Option("--log-format", help="text or json.  [default: text]")]
Quiet = Annotated[bool | None, typer.Option("--quiet", "-q", help="Only the line of each request.")]
Verbose = Annotated[bool | None, typer.Option("--verbose", "-v", help="Also sizes, session and trace ids.")]


class Command(TyperCommand):
    """
    A command whose `--capture` may stand without its value.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """
        Parse, with the value put in where it was left out.
        """
        return super().parse_args(ctx, with_value(args, "--capture", "true", self._valued()))

    def _valued(self) -> frozenset[str]:
        return frozenset(name for one in self.params if not getattr(one, "is_flag", True) for name in one.opts)


def with_value(args: list[str], option: str, value: str, valued: Collection[str]) -> list[str]:
    """
    The words of a command line, where `option` without a value gets this one. `valued` are the options that take a value;
    behind the first word that belongs to none, the words are not ours.
    """
    done: list[str] = []
    left = list(args)
    while left and left[0].startswith("-") and left[0] != "--":
        word = left.pop(0)
        if word == option and (not left or left[0].startswith("-")):
            word = f"{word}={value}"
        elif word in valued and left:
            done.append(word)
            word = left.pop(0)
        done.append(word)
    return done + left


def negated(flag: bool | None) -> bool | None:
    """
    `--no-x` as the value of the option x: not given stays not given.
    """
    return None if flag is None else not flag


def flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """
    What a command was given (its `locals()`, before anything else), by the names that configuration has for it.

    `config` is where to read more, and `command` is not ours.
    """
    other = ("config", "command", "no_beta_header", "no_telemetry")
    named = {name: value for name, value in given.items() if name not in other}
    named["beta_header"] = negated(given.get("no_beta_header"))
    named["telemetry"] = negated(given.get("no_telemetry"))
    # An option that can be repeated is an empty list where it was left out.
    return {name: None if value == [] else value for name, value in named.items()}
