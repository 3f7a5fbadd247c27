"""
What `run` and `serve` say at their end about `--save`: what it would have changed, and the command for the next time.

Rule of this file: an amount is printed only where it covers every request, and nothing is advised that would have cost more.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from savemode_cli.core.money.amounts import amounts, dollars
from savemode_cli.core.upgrade.forgone import Forgone
from savemode_cli.views.printable import printable

OAUTH_OPTION = "--allow-oauth-edits"
_LONGEST_COMMAND = 60
_NOTHING = {
    "no-markers": "the client sets no cache breakpoints",
    "client-ttl": "the client chooses the TTLs of its breakpoints itself",
    "sub-agent": "only sub-agents asked, and they rarely pause",
    "bedrock": "Bedrock and Vertex models are left alone (--allow-bedrock)",
}
"""Why `--save` would have changed nothing, by the code of the skip."""


def save_command(command: str, words: Sequence[str], *options: str) -> str:
    """
    The command with `--save`, to copy.

    Args:
        command: `run` or `serve`.
        words: what `run` ran. A long one may hold a prompt, and is shortened to its first word.
        options: further options.
    """
    begin = " ".join(["savemode", command, "--save", *options])
    if not words:
        return begin
    whole = shlex.join(words)
    shown = whole if len(whole) <= _LONGEST_COMMAND else f"{shlex.quote(words[0])} ..."
    return f"{begin} -- {printable(shown)}"


def save_advice(forgone: Forgone, command: str, words: Sequence[str], *, saving: bool) -> list[str]:
    """
    The lines for a person; none where there is nothing to say.

    Args:
        forgone: the sums over the requests that were not upgraded.
        command: `run` or `serve`.
        words: what `run` ran.
        saving: whether the process ran with `--save`.
    """
    if forgone.requests and not saving:
        return _upgradable(forgone, save_command(command, words))
    if "oauth" in forgone.obstacles:
        return [
            "subscription (OAuth) requests were sent as they came; Claude Code asks for 1h itself in main conversations there",
            f"to upgrade what it leaves at 5m: {save_command(command, words, OAUTH_OPTION)}",
        ]
    if saving or not forgone.obstacles:
        return []
    most = max(forgone.obstacles, key=lambda code: forgone.obstacles[code])
    return [f"nothing to upgrade: {_NOTHING[most]}"] if most in _NOTHING else []


def _upgradable(forgone: Forgone, copied: str) -> list[str]:
    calls = "1 call" if forgone.requests == 1 else f"{forgone.requests} calls"
    if not forgone.is_known:
        return [f"--save would have upgraded {calls}; what that would have saved is not known", f"next: {copied}"]
    if forgone.difference_nusd < 0:
        pauses = "1 pause" if forgone.pauses == 1 else f"{forgone.pauses} pauses"
        saved = dollars(-forgone.difference_nusd)
        return [f"--save would have cost about {saved} less: {pauses} of 5 to 60 minutes", f"next: {copied}"]
    few = "no pause" if not forgone.pauses else "too few pauses"
    return [f"--save would have cost about {dollars(forgone.difference_nusd)} more: {few} of 5 to 60 minutes"]


def save_json(forgone: Forgone, command: str, words: Sequence[str]) -> dict[str, Any]:
    """
    The same for programs; the difference is null where it is not known.
    """
    known = amounts(difference=forgone.difference_nusd)
    return {
        "requests": forgone.requests,
        "breakpoints": forgone.breakpoints,
        "compared": forgone.compared,
        "pauses": forgone.pauses,
        **(known if forgone.is_known else dict.fromkeys(known)),
        "obstacles": dict(forgone.obstacles),
        "command": save_command(command, words),
    }
