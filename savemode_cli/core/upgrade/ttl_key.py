"""
Is the TTL a part of the cache's key? The verdict of an experiment on one request.

Rule of this file: the bill decides. A request whose conversation had a warm 5-minute cache is sent with 1-hour breakpoints. If
the API finds the prefix all the same, the bill has a read; if the TTL is a part of the key, the prefix is written anew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from savemode_cli.core.wire.usage import Usage

LEAST_TOKENS = 5_000
"""A shorter prefix is not used: the head that other sessions keep warm could be all that is read of it."""

WARM_FOR = timedelta(minutes=4)
"""A cache is certainly warm so long after its last use."""

CARRIES_OVER_ABOVE_TOKENS = 100_000
"""
With a prefix of this length `auto` upgrades while it is warm, where the experiment allows it. Source: on nine sets of recorded
traffic this was the cheapest rule if the prefix carries over.
"""

_READ_PERCENT, _LOST_PERCENT = 90, 50

Outcome = Literal["carries_over", "in_key", "unclear"]


@dataclass(frozen=True, slots=True)
class TtlKeyVerdict:
    """
    What one experiment showed.
    """

    model: str
    at: datetime
    outcome: Outcome
    """`carries_over`: a 1-hour breakpoint reads what was written for 5 minutes. `in_key`: it does not."""
    expected_tokens: int
    """The length of the prefix that was warm."""
    read_tokens: int
    written_tokens: int


def judge_ttl_key(model: str, at: datetime, expected_tokens: int, usage: Usage) -> TtlKeyVerdict:
    """
    Judge the bill of the request.

    Args:
        model: the model that answered.
        at: when the request was sent.
        expected_tokens: the length of the prefix that was warm.
        usage: what the request was billed for.
    """
    read, written = usage.first_read_tokens, usage.tokens.written
    outcome: Outcome = "unclear"
    if usage.cached_tokens * 100 < expected_tokens * _READ_PERCENT:
        pass  # the conversation was cut: its prefix is another one
    elif read * 100 >= expected_tokens * _READ_PERCENT:
        outcome = "carries_over"
    elif read * 100 <= expected_tokens * _LOST_PERCENT and usage.tokens.write_1h:
        outcome = "in_key"
    return TtlKeyVerdict(model, at, outcome, expected_tokens, read, written)
