"""
What was cached for a recorded request, and what would have been cached under another TTL, from usage and times alone.

Rule of this file: nothing is claimed that cannot be inferred. If the cache survived a pause, every TTL that survives it
reads what was recorded. If it did not survive, but an hour would have, the prefix might have been read: a record cannot
show whether the client changed the prefix meanwhile, so these tokens are counted separately as `rescuable`. What the
model does not explain stays as recorded under every policy.

A lane is a conversation with a growing prefix: one session, one agent, one model. Its prefix after a request is
everything that the request read or wrote; if an answer had several passes, everything that its last pass read or wrote.
A pause lasts from the end of an answer to the start of the next request.
Source: observations on 29,257 recorded requests (see `receipt`), and the two public sets of the benchmark.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from savemode_cli.core.cache.head import head_tokens
from savemode_cli.core.cache.lifetimes import GRACE, LIFETIMES
from savemode_cli.core.replay.thinking import OtherPrefix, Thinking

if TYPE_CHECKING:
    from savemode_cli.core.replay.recording import Recorded

Ttl = Literal["5m", "1h"]

Outcome = Literal["full", "partial", "cold"]
"""How much of its prefix a request reads. See `grade`."""

Change = Literal["restart", "instructions", "return"]
"""
Why a client may send another prompt than the cached one, as far as the record shows it before the bill:

    restart         the client was started again, and wrote the beginning of the conversation anew
    instructions    a skill or a command turns thinking off, and no prefix without thinking can be read
    return          the next turn of a person turns it on again, and no prefix with thinking can be read

See `thinking` for the last two.
"""

GAPS = ("first", "to_1m", "to_5m", "to_1h", "over_1h")
"""The classes of pauses before a request; `first` is a lane's first request."""

_MINUTE = timedelta(minutes=1)
_SHRUNK_PERMILLE = 900
"""A prompt shorter than this share of the previous prefix was compacted or cleared. It reads only the head."""

_FULL_PERMILLE = 900
_LONGEST_HEAD = 50_000
"""
A longer read at the start of a lane is a conversation's own prefix, as in a resumed session. Recorded heads, which are
tools and the system prompt, have 9,000 to 35,000 tokens.
"""


def gap_of(idle: timedelta | None) -> str:
    """
    The class of a pause.
    """
    if idle is None:
        return "first"
    if idle <= _MINUTE:
        return "to_1m"
    if idle <= LIFETIMES["5m"]:
        return "to_5m"
    return "to_1h" if idle <= LIFETIMES["1h"] else "over_1h"


@dataclass(slots=True)
class LaneRequest:
    """
    A request, and what the previous request left in the cache of its lane.

    Every policy and the grade ask the same of it, so what follows from its fields is computed once. It is never changed.
    """

    request: "Recorded"
    idle: timedelta | None
    """The pause before it; None for the lane's first request."""
    left_tokens: int
    """The length of the prefix that was cached."""
    left_ttl: Ttl
    """The TTL of that prefix."""
    first_tokens: int
    """The prompt of the lane's first request. The head, which sessions share, is not longer than that."""
    head_tokens: int
    """What it is expected to read after the lane's own cache has expired. See `cache.head`."""
    own_head_tokens: int
    """What the lane last read of its own prefix when the rest of the prompt had changed; 0 if that never happened."""
    ttl: Ttl
    """The TTL of what this request writes."""
    change: Change | None = None
    """Why its prompt may have changed; None if the record shows no reason."""
    has_thinking_off: bool = False
    """Whether instructions have turned thinking off for it."""
    cached_tokens: int = field(init=False)
    """What it reads and writes; if there were several passes, in the last one."""
    read_tokens: int = field(init=False)
    """What it read of the prefix; if there were several passes, in the first one."""
    reach_tokens: int = field(init=False)
    """The most that it could have read of its lane's prefix."""
    reads_all: bool = field(init=False)
    """Whether nine tenths of its reach were read. Breakpoints move, so the last blocks may be written again."""
    _survives_5m: bool = field(init=False)
    _survives_1h: bool = field(init=False)

    def __post_init__(self) -> None:
        """
        Compute what follows from the fields.
        """
        usage, idle, left = self.request.usage, self.idle, self.left_tokens
        tokens = usage.tokens
        if usage.prefix_tokens is None:
            read = tokens.read
            cached = read + tokens.write_5m + tokens.write_1h
        else:
            cached, read = usage.cached_tokens, usage.first_read_tokens
        reach = min(left, cached)
        self.cached_tokens, self.read_tokens, self.reach_tokens = cached, read, reach
        self.reads_all = read * 1000 >= reach * _FULL_PERMILLE
        if idle is None:
            self._survives_5m = self._survives_1h = False
        else:
            self._survives_5m = idle <= (_RENEWED_5M if self.request.opens_turn else _5M)
            self._survives_1h = idle <= _1H

    @property
    def shrunk(self) -> bool:
        """
        Whether the conversation was cut. Then only its head can be read, whatever the TTL is.
        """
        prompt = self.cached_tokens + self.request.usage.tokens.input
        return prompt * 1000 < self.left_tokens * _SHRUNK_PERMILLE

    @property
    def gap(self) -> str:
        """
        The class of its pause.
        """
        return gap_of(self.idle)

    def survives(self, ttl: Ttl) -> bool:
        """
        Whether the prefix is still cached at the end of the pause with this TTL.

        A grace is added if a person opens a turn: at the end of a turn the client sends a request that is not recorded,
        and it renews the cache. Recorded requests after a tool result show no grace.
        """
        return self._survives_1h if ttl == "1h" else self._survives_5m


_NO_TIME = timedelta()
_5M, _1H = LIFETIMES["5m"], LIFETIMES["1h"]
_RENEWED_5M = _5M + GRACE


@dataclass(slots=True)
class _Lane:
    """
    What a lane's last request left.
    """

    ended_at: datetime
    left_tokens: int
    ttl: Ttl
    first_tokens: int
    head_tokens: int
    own_head_tokens: int
    thinking: Thinking


class LaneCaches:
    """
    What is cached for the lanes of one session, followed request by request.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], _Lane] = {}

    def follow(self, request: "Recorded") -> LaneRequest:
        """
        Add the next request, and return it with what was cached for it.

        A request that neither reads nor writes the cache leaves its lane unchanged.

        Args:
            request: the next request of the session, in the order in which they were sent.
        """
        key = (request.agent, request.model)
        lane = self._lanes.get(key)
        item = _beside(lane, request)
        if request.usage.cached_tokens:
            self._lanes[key] = _after(lane, item)
        return item


def lane_requests(requests: Iterable["Recorded"]) -> Iterator[LaneRequest]:
    """
    The requests of one session, each with what was cached for it.

    Args:
        requests: all requests of the session, including copies, in the order in which they were sent.
    """
    return map(LaneCaches().follow, requests)


def _beside(lane: _Lane | None, request: "Recorded") -> LaneRequest:
    usage = request.usage
    ttl: Ttl = "1h" if usage.tokens.write_1h else "5m"
    if lane is None:
        return LaneRequest(request, None, 0, ttl, usage.tokens.prompt, 0, 0, ttl)
    if not usage.tokens.write_1h and not usage.tokens.write_5m:
        ttl = lane.ttl
    idle = max(request.started_at - lane.ended_at, _NO_TIME)
    is_off = lane.thinking.turns_off(request)
    return LaneRequest(
        request,
        idle,
        lane.left_tokens,
        lane.ttl,
        lane.first_tokens,
        lane.head_tokens,
        lane.own_head_tokens,
        ttl,
        _change(lane.thinking, request, lane.left_tokens, is_off=is_off),
        is_off,
    )


def _change(thinking: Thinking, request: "Recorded", left_tokens: int, *, is_off: bool) -> Change | None:
    if request.restarted:
        return "restart"
    if is_off == thinking.is_off:
        return None
    other, reach = thinking.other, min(left_tokens, request.usage.cached_tokens)
    if other is not None and other.reads_all(request, reach):
        return None
    return "instructions" if is_off else "return"


def _after(lane: _Lane | None, item: LaneRequest) -> _Lane:
    request, read = item.request, item.read_tokens
    survived = item.survives(item.left_ttl)
    head = head_tokens(item.head_tokens, read, read if survived else 0)
    return _Lane(
        ended_at=request.ended_at if lane is None else max(lane.ended_at, request.ended_at),
        left_tokens=item.cached_tokens,
        ttl=item.ttl,
        first_tokens=item.first_tokens,
        head_tokens=head if head <= _LONGEST_HEAD else item.head_tokens,
        own_head_tokens=read if survived and not item.reads_all else item.own_head_tokens,
        thinking=Thinking(bool(request.thinks)) if lane is None else _thinking_after(lane, item),
    )


def _thinking_after(lane: _Lane, item: LaneRequest) -> Thinking:
    is_off = item.has_thinking_off
    if item.change == "instructions" and item.survives(item.left_ttl) and item.reads_all:
        is_off = False  # the request read its whole prefix, so nothing was switched
    left = OtherPrefix(lane.left_tokens, lane.ttl, lane.ended_at) if is_off != lane.thinking.is_off else None
    return lane.thinking.after(item.request, is_off=is_off, left=left)


class Split(NamedTuple):
    """
    What a request reads and writes under a TTL.
    """

    read_tokens: int
    written_tokens: int
    rescuable_tokens: int = 0
    """The part of `written_tokens` that would be read if the client had not changed the prefix during the pause."""


def split(item: LaneRequest, ttl: Ttl, *, survives: bool | None = None) -> Split:
    """
    What the request would have read and written if its lane had always had this TTL.

    Args:
        item: the request.
        ttl: the TTL.
        survives: whether the lane's cache is still there; None if the TTL alone decides that.

        recorded     under `ttl`   it reads
        survived     survives      what was recorded
        survived     expires       the head that others keep warm
        expired      survives      after a tool's result its whole reach; in a new turn what was recorded, and the rest of its
                                   reach is rescuable. What was recorded if the conversation was cut.
        expired      expires       what was recorded: the head, or what cannot be explained

    The passes of one answer after the first read what the passes before wrote, whatever the TTL.
    """
    usage = item.request.usage
    read = usage.tokens.read
    cached = usage.tokens.prompt - usage.tokens.input
    if item.idle is None:
        return Split(read, cached - read)
    survived = item.survives(item.left_ttl)
    survives = item.survives(ttl) if survives is None else survives
    if survived and not survives:
        read -= max(item.read_tokens - item.head_tokens, 0)
    elif survives and not survived and not item.shrunk and not item.reads_all:
        missed = max(item.reach_tokens - item.read_tokens, 0)
        if item.request.opens_turn:
            return Split(read, cached - read, missed)
        read += missed
    return Split(read, cached - read)
