"""
`savemode experiment ttl-key`: ask a running proxy to find out whether the TTL is a part of the cache's key.

Rule of this file: it asks and prints. The proxy makes the experiment, with the next request that fits.
"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.screen import echo, echo_json
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.proxy.ttl_key_file import TtlKeyFile, TtlKeyState

_POLL_S = 0.5


def ttl_key(
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Wait this long for the verdict.  [default: 0]")
    ] = 0,
    show: Annotated[bool, typer.Option("--show", help="Only show the verdicts so far.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Do not ask for the experiment any more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
) -> None:
    """
    Upgrade one warm prompt of a held-out session, and see on its bill whether the cache was found all the same.
    """
    if show and cancel:
        raise BadInput("--show and --cancel exclude each other", hint="leave one out")
    file = _file()
    before = len(file.read().verdicts)
    if not show:
        file.ask(None if cancel else datetime.now(UTC))
    ends_at = time.monotonic() + (0 if show or cancel else wait)
    while len(file.read().verdicts) == before and time.monotonic() < ends_at:
        time.sleep(_POLL_S)
    state = file.read()
    if as_json:
        echo_json(_to_json(state))
    else:
        _print(state)


def _file() -> "TtlKeyFile":
    from savemode_cli.config.folders import user_state
    from savemode_cli.config.settings import TTL_KEY_NAME
    from savemode_cli.proxy.ttl_key_file import TtlKeyFile

    return TtlKeyFile(user_state() / TTL_KEY_NAME)


_OUTCOMES = {
    "carries_over": "carries over: the TTL is not a part of the cache's key, and auto may upgrade a warm prompt",
    "in_key": "does not carry over: the TTL is a part of the cache's key, and a warm prompt is left alone",
    "unclear": "unclear",
}


def _print(state: "TtlKeyState") -> None:
    for verdict in state.verdicts:
        counts = f"{verdict.read_tokens:,} of {verdict.expected_tokens:,} warm tokens were read"
        echo(f"{verdict.at:%Y-%m-%d %H:%M} {verdict.model}: {counts}")
        echo(f"  {_OUTCOMES[verdict.outcome]}")
    if state.asked_at is not None:
        echo("asked: a running proxy with --hold-out makes it with the next warm prompt of a held-out session")
        echo("  savemode run --save --hold-out 0.1 -- claude")
    elif not state.verdicts:
        echo("no verdict yet, and no experiment is asked for")


def _to_json(state: "TtlKeyState") -> dict[str, object]:
    return {
        "schema_version": state.schema_version,
        "asked_at": None if state.asked_at is None else state.asked_at.isoformat(),
        "verdicts": [
            {
                "model": verdict.model,
                "at": verdict.at.isoformat(),
                "outcome": verdict.outcome,
                "expected_tokens": verdict.expected_tokens,
                "read_tokens": verdict.read_tokens,
                "written_tokens": verdict.written_tokens,
            }
            for verdict in state.verdicts
        ],
    }
