"""
What the user allows savemode to change in a request.

Rule of this file: a policy holds values and decides nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

TtlPolicy = Literal["off", "product", "main", "always", "auto"]
"""
Which requests are upgraded: none, those of products whose users pause, those of main conversations, all, or those for
which `auto` chooses 1 hour.
"""

TTL_POLICIES: tuple[TtlPolicy, ...] = get_args(TtlPolicy)

SAVE_POLICY: TtlPolicy = "auto"
"""The policy of `--save`."""

PING_AFTER = timedelta(minutes=4, seconds=30)
"""After so much silence a keep-warm request is sent: half a minute before a 5-minute cache expires."""

MOST_PINGS = 12
"""The most keep-warm requests in a row: beyond an hour, a 1-hour cache is the better tool."""

FIXED_POLICY: TtlPolicy = "main"
"""
The fixed rule that `auto` follows while it knows nothing about a person. Sub-agents stay at 5 minutes, because they
rarely pause. Of the fixed rules this one cost least on nine sets of recorded Claude Code traffic.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What may be changed. The default changes nothing.
    """

    ttl: TtlPolicy = "off"
    """Which requests get the 1-hour TTL."""

    compat: bool = False
    """
    Whether upgrades are as PostHog's gateway makes them: only breakpoints at the top level of tools, system and messages, and
    none at all if their order forbids one of them.
    """

    allow_bedrock: bool = False
    """Whether requests for models of Bedrock and Vertex are upgraded too."""

    allow_oauth: bool = False
    """Whether requests that a subscription pays for are upgraded too."""

    rules: frozenset[str] = frozenset()
    """The names of the rules that are on. It has only rules with a switch of their own name."""
