"""
What the cache of a recorded session held, and what it would have held under another TTL: from usage and times alone.

Rule of this file: nothing is promised that cannot be inferred. Where a pause was survived, what was read is what was
recorded, under every TTL that survives it. Where a pause was not survived but an hour would have been, the prefix might
have been read; a record cannot tell whether the client had changed it meanwhile, so that is kept apart as `rescuable`.
What the model does not explain stays as recorded under every policy.

A chain is what shares a growing prefix: one session, one agent, one model. Its prefix after a request is everything that
the request read or wrote. The pause is counted from the end of one answer to the start of the next request.
Source: WIRE facts drawn from 29,257 recorded requests (see `receipt`), and the two public sets of the benchmark.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from savemode_cli.core.prompt_cache import LIFETIMES
from savemode_cli.core.receipt import GRACE
from savemode_cli.core.recorded import Recorded

Ttl = Literal["5m", "1h"]

GAPS = ("first", "to_1m", "to_5m", "to_1h", "over_1h")
"""The classes of pauses before a request, `first` where nothing came before it in its chain."""

_MINUTE = timedelta(minutes=1)
_SHRUNK_PERMILLE = 900
"""A prompt shorter than this share of the prefix before it was compacted or cleared: recorded ones then read the head."""

_FULL_PERMILLE = 900


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


@dataclass(frozen=True, slots=True)
class Seen:
    """
    A request beside what the one before it left in the cache.

    `idle` is None for the first of a chain. `left_tokens` were cached then, for `left_ttl`. `first_tokens` is the prompt
    of the chain's first request: what all sessions share (tools, system) is no longer than that. `ttl` is how long what
    this request writes is kept.
    """

    request: Recorded
    idle: timedelta | None
    left_tokens: int
    left_ttl: Ttl
    first_tokens: int
    ttl: Ttl

    @property
    def reach_tokens(self) -> int:
        """
        The most it could have read of its own chain.
        """
        usage = self.request.usage
        return min(self.left_tokens, usage.prompt_tokens - usage.input_tokens)

    @property
    def shrunk(self) -> bool:
        """
        Whether the conversation was cut since: then only its head can be read, whatever the TTL.
        """
        return self.request.usage.prompt_tokens * 1000 < self.left_tokens * _SHRUNK_PERMILLE

    @property
    def reads_all(self) -> bool:
        """
        Whether nine tenths of its reach were read: breakpoints move, and the last blocks may be written anew.
        """
        return self.request.usage.cache_read_tokens * 1000 >= self.reach_tokens * _FULL_PERMILLE

    @property
    def gap(self) -> str:
        """
        The class of its pause.
        """
        return gap_of(self.idle)

    def survives(self, ttl: Ttl) -> bool:
        """
        Whether what was left is still there, had it been kept for `ttl`.

        The grace is given where a person opened a turn: at the end of a turn the client sends a request that the record
        does not hold, which renews the cache. Recorded requests that go on with a tool's result show none.
        """
        if self.idle is None:
            return False
        grace = GRACE if ttl == "5m" and self.request.opens_turn else _NO_TIME
        return self.idle <= LIFETIMES[ttl] + grace


_NO_TIME = timedelta()


@dataclass(slots=True)
class _Chain:
    ended_at: datetime
    left_tokens: int
    ttl: Ttl
    first_tokens: int


def seen(requests: Iterable[Recorded]) -> Iterator[Seen]:
    """
    Walk the requests of one session in the order in which they were sent.

    A request that neither reads nor writes the cache leaves its chain as it was.
    """
    chains: dict[tuple[str, str], _Chain] = {}
    for request in requests:
        usage = request.usage
        key = (request.agent, request.model)
        chain = chains.get(key)
        ttl: Ttl = "1h" if usage.cache_write_1h_tokens else "5m"
        if chain is None:
            yield Seen(request, None, 0, ttl, usage.prompt_tokens, ttl)
        else:
            if not usage.cache_write_1h_tokens and not usage.cache_write_5m_tokens:
                ttl = chain.ttl
            idle = max(request.started_at - chain.ended_at, _NO_TIME)
            yield Seen(request, idle, chain.left_tokens, chain.ttl, chain.first_tokens, ttl)
        cached = usage.prompt_tokens - usage.input_tokens
        if not cached:
            continue
        if chain is None:
            chains[key] = _Chain(request.ended_at, cached, ttl, usage.prompt_tokens)
        else:
            chain.ended_at = max(chain.ended_at, request.ended_at)
            chain.left_tokens, chain.ttl = cached, ttl


@dataclass(frozen=True, slots=True)
class Split:
    """
    What a request reads and writes under a TTL. `rescuable_tokens` are written here, and would be read if the client had
    not changed the prefix during the pause.
    """

    read_tokens: int
    written_tokens: int
    rescuable_tokens: int = 0


def split(one: Seen, ttl: Ttl) -> Split:
    """
    What the request would have read and written, had its chain been kept for `ttl` all along.

        recorded     under ttl     it reads
        survived     survives      what was recorded
        survived     expires       nothing, or what was recorded where the prefix had changed anyway
        expired      survives      what was recorded, and its whole reach is rescuable unless the conversation was cut
        expired      expires       what was recorded: what others keep warm, or what nobody can explain
    """
    usage = one.request.usage
    cached = usage.prompt_tokens - usage.input_tokens
    read = usage.cache_read_tokens
    if one.idle is None:
        return Split(read, cached - read)
    survived, survives = one.survives(one.left_ttl), one.survives(ttl)
    if survived and not survives and one.reads_all:
        return Split(0, cached)
    if survives and not survived and not one.shrunk and not one.reads_all:
        return Split(read, cached - read, max(one.reach_tokens - read, 0))
    return Split(read, cached - read)
