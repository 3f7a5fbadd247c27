"""
Keep-warm: whether a request that reads a cached prompt, and so renews its 5 minutes, is expected to save more than it costs.

Rule of this file: a decision depends on its arguments alone. It compares a read now with a rewrite later.

A keep-warm request is the last request of a conversation with `max_tokens: 0`: the prompt is read from the cache, nothing is
generated, and the cache lives for five more minutes. It is sent after 4.5 minutes of silence, so each one covers a window of
4.5 minutes in which a client that comes back reads its prompt instead of writing it anew. Windows after that need further
requests, each at the same price, and most conversations do not come back at all. So the plan is a number of requests: each is
paid if the client was not back before, and the rewrite is saved if it comes back in a window that was covered. The next
request is sent if some plan is expected to save something.

Source of the request: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (pre-warming, checked 2026-11-29).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from savemode_cli.core.upgrade.pauses import Pauses
from savemode_cli.core.upgrade.policy import MOST_PINGS

_UNCHANGED_PERCENT = 88
"""How much of a prefix is still the same after such a pause: recorded clients had changed 5 to 19 %."""


@dataclass(frozen=True, slots=True)
class Stakes:
    """
    What is at stake, in nano-dollars.
    """

    ping_nusd: int
    """The price of one keep-warm request: its prompt, read from the cache."""
    rewrite_nusd: int
    """How much more it costs to write the prompt anew than to read it. Not its head, if others keep that warm."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """
    What further keep-warm requests are expected to save.
    """

    pings: int
    """How many further requests the best plan has."""
    saving_nusd: int
    """What that plan is expected to save, in nano-dollars; never negative for a plan with requests."""


def expectation(pauses: Pauses, stakes: Stakes, sent: int, most: int) -> Expectation:
    """
    The best plan of further keep-warm requests.

    Args:
        pauses: how pauses of this person ended.
        stakes: what a request costs and saves.
        sent: how many were sent in this pause.
        most: how many may be sent in one pause.
    """
    shares, away = pauses.shares()
    most = min(most, MOST_PINGS)
    waiting = sum(shares[sent:]) + away
    best = Expectation(0, 0)
    saved = 0.0
    saving = stakes.rewrite_nusd * _UNCHANGED_PERCENT / 100
    for number, (still_away, returns) in enumerate(_windows(shares[sent:most], waiting), 1):
        saved += returns * saving - still_away * stakes.ping_nusd
        if saved > best.saving_nusd:
            best = Expectation(number, round(saved))
    return best


def _windows(shares: Sequence[float], waiting: float) -> Iterator[tuple[float, float]]:
    """
    For each further window, the probability that the client is not back before it, and that it comes back in it.
    """
    left = waiting
    for share in shares:
        yield left / waiting, share / waiting
        left -= share


def ping_body(body: bytes) -> bytes | None:
    """
    The keep-warm request of a body: the same bytes for every field but `max_tokens`, which is 0, and `stream`, which is gone.

    Args:
        body: the request as it was sent.

    Returns:
        The body; None if the API refuses such a request with `max_tokens: 0`, or if the prompt depends on more than the body.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        values = {name: msgspec.json.decode(fields[name]) for name in _DECIDING if name in fields}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if _NEEDS_MORE & fields.keys() or _is_refused(values) or not isinstance(values.get("max_tokens"), int):
        return None
    fields.pop("stream", None)
    fields["max_tokens"] = msgspec.Raw(b"0")
    return msgspec.json.encode(fields)


_DECIDING = ("max_tokens", "thinking", "tool_choice", "output_config")
_NEEDS_MORE = frozenset({"thread", "container", "fallbacks", "compaction", "mcp_servers"})
"""Fields by which the API holds or fetches a part of the prompt, or may make more than one attempt."""


def _is_refused(values: dict[str, Any]) -> bool:
    """
    Whether the API refuses the request with `max_tokens: 0`. Turning thinking off instead would change the prompt.
    """
    thinking, choice, output = (values.get(name) for name in ("thinking", "tool_choice", "output_config"))
    thinks = isinstance(thinking, dict) and thinking.get("type") == "enabled"
    forced = isinstance(choice, dict) and choice.get("type") in ("tool", "any")
    return thinks or forced or (isinstance(output, dict) and output.get("format") is not None)
