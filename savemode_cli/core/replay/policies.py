"""
The cache policies that a replay compares.

Rule of this file: a policy is one function for each kind of record, and one line in `REPLAY_POLICIES`. `recorded` is
the bill. Every other policy is the bill plus what can be inferred.

Transcripts contain usage and times: for these a policy says what each request would have read and written. Recorded
bodies go through the model of the cache: for these a policy says for how long each breakpoint is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from savemode_cli.core.cache.lifetimes import LIFETIMES, Lifetime
from savemode_cli.core.replay.inference import LaneRequest, Ttl, split
from savemode_cli.core.upgrade.policy import PING_AFTER

if TYPE_CHECKING:  # replay's help lists the policies, and starts without a JSON parser
    from savemode_cli.core.cache.prompt import Prompt

PolicyName = str

Used = tuple[int, int, int]
"""Tokens written for 5 minutes, written for 1 hour, and read."""


class Counterfactual(NamedTuple):
    """
    What one request would have used under a policy.
    """

    used: Used
    rescuable_tokens: int = 0
    """Writes in `used` that would be reads if the client had not changed the prefix during the pause."""
    rescuable_ttl: Lifetime = "1h"
    """The TTL of these writes."""
    kept_warm_tokens: int = 0
    """
    What keep-warm requests read. Each request of a lane counts those of a pause that does not end, and takes back those that
    were not sent in the pause before it: the sum over a lane is what was sent.
    """


Counterfactuals = dict[PolicyName, Counterfactual]
"""One request under each policy."""


@dataclass(frozen=True, slots=True)
class ReplayPolicy:
    """
    One row of a replay.
    """

    name: PolicyName
    """The key in `REPLAY_POLICIES` and in JSON."""
    title: str
    """The name in output; 20 characters at most."""
    description: str
    """What it means, for help."""
    of_usage: Callable[[LaneRequest, bool], Counterfactual]
    """
    What a request of a transcript would have used. The second argument says whether the product's rule upgrades the
    request. A transcript names no breakpoints, so all or none of a request's breakpoints count as upgraded.
    """
    of_prompt: "Callable[[Prompt, Prompt], Prompt]"
    """
    The prompt of a recorded body with the breakpoints of this policy, given the prompt with the lifetimes that were
    billed, and the prompt as the product's rule sends it.
    """
    ttl: Lifetime | None = None
    """The TTL of everything that is written under it; None if that depends on the request."""
    kept_warm: timedelta = timedelta()
    """How long keep-warm requests extend the life of a 5-minute cache."""


def _recorded(item: LaneRequest, _: bool) -> Counterfactual:
    tokens = item.request.usage.tokens
    return Counterfactual((tokens.write_5m, tokens.write_1h, tokens.read))


def _under(item: LaneRequest, ttl: Ttl) -> Counterfactual:
    parts = split(item, ttl)
    written, read = parts.written_tokens, parts.read_tokens
    return Counterfactual((written, 0, read) if ttl == "5m" else (0, written, read), parts.rescuable_tokens)


def _five(item: LaneRequest, _: bool) -> Counterfactual:
    return _under(item, "5m")


def _hour(item: LaneRequest, _: bool) -> Counterfactual:
    return _under(item, "1h")


def _product(item: LaneRequest, upgrades: bool) -> Counterfactual:
    return _under(item, "1h") if upgrades else _recorded(item, upgrades)


KEEP_WARM_PINGS = 4
"""
How many keep-warm requests in a row the row `keep-warm` has. More are not worth their price at the recorded pauses, see
`upgrade.keep_warm`.
"""

KEPT_WARM = PING_AFTER * KEEP_WARM_PINGS
"""How long they extend the life of a 5-minute cache."""

_LONGEST_KEPT = LIFETIMES["5m"] + KEPT_WARM


def pings_in(pause: timedelta) -> int:
    """
    How many keep-warm requests the row `keep-warm` sends in a pause.
    """
    return min(int(pause / PING_AFTER), KEEP_WARM_PINGS)


def _keep_warm(item: LaneRequest, _: bool) -> Counterfactual:
    if item.request.agent:
        return _under(item, "5m")  # a sub-agent does not wait for a person
    survives = item.survives("5m") or (item.idle is not None and item.idle <= _LONGEST_KEPT)
    parts = split(item, "5m", survives=survives)
    return Counterfactual(
        (parts.written_tokens, 0, parts.read_tokens),
        parts.rescuable_tokens,
        "5m",
        kept_warm_tokens(item.cached_tokens, item.left_tokens, item.idle),
    )


def kept_warm_tokens(cached_tokens: int, left_tokens: int, idle: timedelta | None) -> int:
    """
    What keep-warm requests read. See `Counterfactual.kept_warm_tokens`.

    Args:
        cached_tokens: the prefix that a request leaves; 0 if it leaves its lane as it was.
        left_tokens: the prefix that the request before it left.
        idle: the pause between them; None for the first request of a lane.
    """
    if not cached_tokens:
        return 0
    unsent = 0 if idle is None else KEEP_WARM_PINGS - pings_in(idle)
    return KEEP_WARM_PINGS * cached_tokens - unsent * left_tokens


def with_lifetime(prompt: "Prompt", lifetime: Lifetime) -> "Prompt":
    """
    A prompt whose breakpoints all have one lifetime.
    """
    return replace(prompt, marks=tuple(replace(mark, lifetime=lifetime) for mark in prompt.marks))


def _billed_prompt(billed: "Prompt", _: "Prompt") -> "Prompt":
    return billed


def _product_prompt(_: "Prompt", product: "Prompt") -> "Prompt":
    return product


def _five_prompt(billed: "Prompt", _: "Prompt") -> "Prompt":
    return with_lifetime(billed, "5m")


def _hour_prompt(billed: "Prompt", _: "Prompt") -> "Prompt":
    return with_lifetime(billed, "1h")


REPLAY_POLICIES: dict[PolicyName, ReplayPolicy] = {
    policy.name: policy
    for policy in (
        ReplayPolicy("recorded", "as recorded", "the bill", _recorded, _billed_prompt),
        ReplayPolicy("5m", "all 5m", "every breakpoint is kept for 5 minutes", _five, _five_prompt, "5m"),
        ReplayPolicy("1h", "all 1h", "every breakpoint is kept for 1 hour", _hour, _hour_prompt, "1h"),
        ReplayPolicy(
            "keep-warm",
            "5m, kept warm",
            f"5 minutes, and up to {KEEP_WARM_PINGS} keep-warm requests in each pause of a main conversation",
            _keep_warm,
            _five_prompt,
            "5m",
            KEPT_WARM,
        ),
        ReplayPolicy("product", "product", "the upgrade rule of --product", _product, _product_prompt),
    )
}
"""By name, in the order of the rows. The first is the bill, and the others are compared with it."""


def counterfactuals(item: LaneRequest, *, upgrades: bool) -> Counterfactuals:
    """
    One request of a transcript under each policy.

    Args:
        item: the request.
        upgrades: whether the product's rule upgrades it.
    """
    return {name: policy.of_usage(item, upgrades) for name, policy in REPLAY_POLICIES.items()}
