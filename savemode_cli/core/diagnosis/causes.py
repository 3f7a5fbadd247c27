"""
The causes of a cache miss: their names, what each means, and what to do about it.

Rule of this file: the name of a cause is the same in every form of output. One sentence says what a person can change.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from savemode_cli.core.cache.lifetimes import LIFETIMES, Lifetime
from savemode_cli.core.diagnosis.difference import ChangeKind
from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.wire.messages import Path

Cause = Literal[
    "expired",
    "tools_changed",
    "system_changed",
    "messages_changed",
    "model_changed",
    "parameters_changed",
    "no_breakpoint",
    "out_of_reach",
    "too_short",
    "concurrent",
    "compacted",
    "other_workspace",
    "not_kept",
    "unknown",
]

CAUSES: tuple[Cause, ...] = get_args(Cause)

ADVICE: dict[Cause, str] = {
    "expired": "Send the next request before the TTL ends, or cache with a TTL of 1 hour (savemode serve --ttl-policy).",
    "tools_changed": "Send the same tools in the same order with every request; add new ones at the end, or defer them.",
    "system_changed": "Move what changes, such as a date, out of the system prompt into the newest message.",
    "messages_changed": "Only append to the history: do not edit, trim or re-render messages that were sent before.",
    "model_changed": "Stay with one model in a conversation; each model has a cache of its own.",
    "parameters_changed": "Keep the parameter the same for the whole conversation, or change it only after a pause.",
    "no_breakpoint": 'Put "cache_control" on the last block of every request, and on the end of the system prompt.',
    "out_of_reach": "Add a breakpoint in between: the cache is looked for at most 20 positions before each breakpoint.",
    "too_short": "Nothing to do: the prompt is shorter than the shortest that this model caches.",
    "concurrent": "Send one request first, and the others when its answer has begun.",
    "compacted": "Nothing to fix: a compacted history is written anew. Compact before a pause, not in the middle of work.",
    "other_workspace": "Use keys of one workspace for one conversation; caches are not shared between workspaces.",
    "not_kept": "Nothing to fix in the request: the provider did not keep the prefix for its TTL.",
    "unknown": "The request before it was not recorded with its text; keep requests with: savemode serve --capture.",
}
"""One sentence for each cause."""


@dataclass(frozen=True, slots=True)
class Miss:
    """
    Tokens of a prompt that could have been read from the cache and were not read, for one cause.
    """

    cause: Cause
    tokens: int
    path: Path = ()
    """
    The place of the cause in the request, or in the earlier request if something was removed. Empty if there is no
    place.
    """
    change: ChangeKind | None = None
    """What happened at that place, if content changed."""
    type: str = ""
    """The type of the block at that place; "" for other types."""
    values_only: bool = False
    """Whether only numbers, dates or IDs changed there."""
    forgotten: bool = False
    """Whether the model itself ignores the block, as older models do with thinking of earlier turns."""
    parameter: str = ""
    """The parameter that changed."""
    before: str = ""
    """The value of the parameter in the earlier request."""
    after: str = ""
    """The value of the parameter in this request."""
    positions: int | None = None
    """How many positions are between the breakpoint and the entry that it did not find."""
    idle: timedelta | None = None
    """How long the prefix had not been used; None if that is unknown."""
    ttl: Lifetime | None = None
    """The TTL of the prefix according to the bill."""
    asked_ttl: Lifetime | None = None
    """The TTL that the earlier request asked for."""
    cost_nusd: int = 0
    """How much more the tokens cost than reading them from the cache, in nano-dollars; 0 before `price.priced`."""

    @property
    def at(self) -> str:
        """
        The place as a JSON path, such as `system[1].text`; "" if there is no place.
        """
        return json_path(self.path)

    @property
    def held_by(self) -> Lifetime | None:
        """
        The shortest TTL that would have kept an expired prefix; None if even an hour is not enough.
        """
        if self.idle is None:
            return None
        return next((ttl for ttl in LIFETIMES if self.idle <= LIFETIMES[ttl]), None)

    @property
    def also_expired(self) -> bool:
        """
        Whether the TTL had ended too, so that nothing would have been read without the change either.
        """
        if self.cause in ("expired", "not_kept") or self.idle is None or self.ttl is None:
            return False
        return self.idle > LIFETIMES[self.ttl]

    def to_json(self) -> dict[str, Any]:
        """
        The miss for machines: units in the keys, null for unknown values.
        """
        return {
            "cause": self.cause,
            "at": self.at or None,
            "change": self.change,
            "type": self.type or None,
            "values_only": self.values_only,
            "parameter": self.parameter or None,
            "before": self.before if self.parameter else None,
            "after": self.after if self.parameter else None,
            "positions": self.positions,
            "idle_s": None if self.idle is None else round(self.idle.total_seconds(), 3),
            "ttl": self.ttl,
            "ttl_that_would_have_held": self.held_by if self.cause == "expired" else None,
            "ttl_had_ended_too": self.also_expired,
            "missed_tokens": self.tokens,
            **amounts(cost=self.cost_nusd),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What one request should have read from the cache, what it read, and why it did not read the rest.
    """

    expected_tokens: int
    """What it would have read from an intact prefix that was still cached."""
    read_tokens: int
    misses: tuple[Miss, ...] = ()
    """The causes, the largest first. Empty if almost nothing was missed."""
    base: str = ""
    """The ID of the earlier request with which it was compared; "" if there is none."""

    @property
    def missed_tokens(self) -> int:
        """
        All tokens that were not read, including amounts too small to count as a miss.
        """
        return self.expected_tokens - self.read_tokens

    @property
    def unexplained_tokens(self) -> int:
        """
        Missed tokens that are too few to count as a miss.
        """
        return self.missed_tokens - sum(miss.tokens for miss in self.misses)

    @property
    def cost_nusd(self) -> int:
        """
        How much more the misses cost than reading their tokens from the cache.
        """
        return sum(miss.cost_nusd for miss in self.misses)

    @property
    def main(self) -> Miss | None:
        """
        The largest miss; None without one.
        """
        return self.misses[0] if self.misses else None

    def to_json(self) -> dict[str, Any]:
        """
        The verdict for machines.
        """
        return {
            "expected_tokens": self.expected_tokens,
            "read_tokens": self.read_tokens,
            "missed_tokens": self.missed_tokens,
            **amounts(cost=self.cost_nusd),
            "compared_with": self.base or None,
            "misses": [miss.to_json() for miss in self.misses],
        }


FEW_TOKENS = 1024
_FEW_SHARE = 20
"""A twentieth."""


def is_miss(missed_tokens: int, expected_tokens: int) -> bool:
    """
    Whether this many missed tokens count as a miss: more than 1,024, or more than 5 % of what was expected.
    """
    return missed_tokens > FEW_TOKENS or missed_tokens * _FEW_SHARE > expected_tokens


def json_path(path: Path) -> str:
    """
    A path as JSONPath writes it, without the leading `$`: `messages[1].content[0].text`.
    """
    return "".join(_steps(path))


def path_of_json(text: str) -> Path:
    """
    Parse a path that `json_path` wrote.
    """
    return tuple(int(number) if number else name for number, name in _STEP.findall(text))


_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def _steps(path: Path) -> Iterator[str]:
    for number, step in enumerate(path):
        if isinstance(step, int):
            yield f"[{step}]"
        else:
            yield f".{step}" if number else step
