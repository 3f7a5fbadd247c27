"""
The two prefixes of a lane: one with thinking on, and one with thinking off.

Rule of this file: it follows what a client asks for, as far as the record shows it, and what the cache then holds.

Switching thinking invalidates the messages of a prompt. Claude Code turns thinking off when a skill or a command begins
that has instructions of its own, and turns it on again with the next message of a person. Each of the two has a cached
prefix of its own, and both live for their TTL. So a switch reads the prefix that the lane had when thinking was last
like that. It reads only the head if that prefix has expired, is much shorter than the conversation, or is too many
blocks back.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (what invalidates the cache, and the
look-back of 20 blocks, checked 2026-11-29); the public sets of `python -m tests.benchmarks.replay`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from savemode_cli.core.cache.lifetimes import LIFETIMES, Lifetime

if TYPE_CHECKING:
    from savemode_cli.core.replay.recording import Recorded

_LOOKBACK_REQUESTS = 10
"""A breakpoint finds an entry up to 20 blocks back, and each request adds at least two: an answer and a tool's result."""

_FULL_PERMILLE = 900


@dataclass(frozen=True, slots=True)
class OtherPrefix:
    """
    What the lane left in the cache when thinking was last the other way.
    """

    tokens: int
    ttl: Lifetime
    ended_at: datetime
    requests: int = 0
    """How many requests the lane has sent since."""

    def reads_all(self, request: "Recorded", reach_tokens: int) -> bool:
        """
        Whether a request that switches back reads nine tenths of what it could read without a switch.

        Args:
            request: the request.
            reach_tokens: what it could read without a switch.
        """
        is_alive = request.started_at - self.ended_at <= LIFETIMES[self.ttl]
        is_near = self.requests <= _LOOKBACK_REQUESTS
        return is_alive and is_near and self.tokens * 1000 >= reach_tokens * _FULL_PERMILLE


@dataclass(frozen=True, slots=True)
class Thinking:
    """
    What is known about a lane's thinking after a request.
    """

    was_seen: bool = False
    """Whether an answer of the lane had thinking."""
    is_off: bool = False
    """Whether instructions have turned it off for the rest of the turn."""
    other: OtherPrefix | None = None
    """The prefix of the other way; None if there is none, or if the client was started again since."""

    def turns_off(self, request: "Recorded") -> bool:
        """
        Whether a request has thinking off.
        """
        if request.restarted:
            return False
        if request.instructed:
            return self.is_off or (self.was_seen and request.thinks is False)
        return self.is_off and not request.opens_turn

    def after(self, request: "Recorded", *, is_off: bool, left: OtherPrefix | None) -> "Thinking":
        """
        What is known after the next request.

        Args:
            request: the request.
            is_off: whether it had thinking off.
            left: the prefix that the lane had before it; None if it had thinking as the request before it.
        """
        other = self.other if left is None else left
        was_seen = self.was_seen or bool(request.thinks)
        if other is None and was_seen == self.was_seen and is_off == self.is_off:
            return self
        if other is not None:
            other = replace(other, requests=other.requests + 1)
        return Thinking(was_seen=was_seen, is_off=is_off, other=None if request.restarted else other)
