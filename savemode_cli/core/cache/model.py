"""
A model of the API's prompt cache: what a request reads, what it writes, and for how long.

Rule of this file: it knows prompts, entries and times. It does not know bodies or money. `now` is a parameter; the same
calls give the same answers. Token counts are as good as the estimate in the prompt.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23), and recorded traffic.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from savemode_cli.core.cache.lifetimes import GRACE, LIFETIMES, Lifetime
from savemode_cli.core.cache.prompt import Mark, Prompt
from savemode_cli.core.remembered import remembered
from savemode_cli.core.wire.models import other_spellings

MOST_MARKS = 4
LOOK_BACK_POSITIONS = 20
"""At how many positions a breakpoint looks for an entry, its own position included."""

Key = tuple[bytes, Lifetime | None]


@dataclass(frozen=True, slots=True)
class Lookup:
    """
    What a request reads and writes. The four counts add up to the tokens of the prompt, and are estimates as these are.
    """

    at: datetime
    read_tokens: int
    write_5m_tokens: int
    write_1h_tokens: int
    input_tokens: int
    read_blocks: int
    """How many leading blocks were read."""
    touched: tuple[Key, ...]
    """The entries that were read, for `PromptCache.answered`."""
    writes: tuple[tuple[Key, Lifetime], ...]
    """The entries that exist once the answer has begun, for `PromptCache.answered`."""

    @property
    def total_tokens(self) -> int:
        """
        The tokens of the whole prompt.
        """
        return self.read_tokens + self.write_5m_tokens + self.write_1h_tokens + self.input_tokens


@dataclass(slots=True)
class _Entry:
    lifetime: Lifetime
    usable_from: datetime
    expires_at: datetime


class PromptCache:
    """
    The cache entries of one workspace. Another workspace does not see them.

    An entry keeps the TTL with which it was written, whatever TTL a later request that reads it asks for. Assumed: the
    documentation does not say.
    """

    def __init__(
        self,
        *,
        ttl_in_key: bool = False,
        clock: Literal["end", "start"] = "end",
        grace_5m: timedelta = GRACE,
        max_entries: int = 100_000,
    ) -> None:
        """
        Create an empty cache.

        Args:
            ttl_in_key: whether a breakpoint finds only entries of its own TTL. The documentation describes hits without
                mentioning the TTL, so the default is False.
            clock: whether an entry's idle time begins with the end of the last answer, which predicts recorded traffic
                best, or with its start, as the documentation says.
            grace_5m: how much longer than 5 minutes a 5-minute entry lasts.
            max_entries: how many entries it holds. Beyond this, expired entries are removed first, then those that were
                unused longest.

        Raises:
            ValueError: `max_entries` is less than 1.
        """
        if max_entries < 1:
            raise ValueError("a cache of no entries is no cache")
        self._entries: dict[Key, _Entry] = {}  # in the order of last use
        self._ttl_in_key = ttl_in_key
        self._clock = clock
        self._lives = {"5m": LIFETIMES["5m"] + grace_5m, "1h": LIFETIMES["1h"]}
        self._max_entries = max_entries

    def __len__(self) -> int:
        """
        How many entries it holds, including expired ones that were not removed yet.
        """
        return len(self._entries)

    def look_up(self, prompt: Prompt, now: datetime) -> Lookup:
        """
        What a request reads and writes that arrives now. Entries that it reads are renewed; entries that it writes do
        not exist yet.
        """
        marks = _effective(prompt)
        read, found = self._furthest(prompt, marks, now)
        touched = self._touch(prompt, marks, read, found, now)
        writes = tuple(
            (self._key(prompt, mark.block, mark.lifetime), mark.lifetime) for mark in marks if mark.block >= read
        )
        last = marks[-1].block + 1 if marks else 0
        hours = max((mark.block + 1 for mark in marks if mark.lifetime == "1h"), default=0)
        a, b, c = (prompt.tokens_before(end) for end in (read, max(read, hours), max(read, last)))
        return Lookup(now, a, c - b, b - a, prompt.total_tokens - c, read, touched, writes)

    def answered(self, lookup: Lookup, now: datetime, ended: datetime | None = None) -> None:
        """
        Record that an answer began.

        A later look-up sees the entries that the request wrote from `now` on, which may be in the future of that
        look-up. Do not call this for a request that failed: it writes nothing.

        Args:
            lookup: what the request reads and writes.
            now: when the answer began.
            ended: when the answer ended; None if it ended at once.
        """
        used = lookup.at if self._clock == "start" else (ended or now)
        for key in lookup.touched:
            self._use(key, used)
        for key, lifetime in lookup.writes:
            self._write(key, lifetime, now, used)
        if len(self._entries) > self._max_entries:
            self._sweep(now)

    def _key(self, prompt: Prompt, block: int, lifetime: Lifetime) -> Key:
        return prompt.chain[block], lifetime if self._ttl_in_key else None

    def _furthest(self, prompt: Prompt, marks: tuple[Mark, ...], now: datetime) -> tuple[int, Key | None]:
        """
        The longest hit of any breakpoint, as the number of blocks that were read, and its entry.
        """
        read, found = 0, None
        for mark in marks:
            for block in blocks_in_reach(prompt, mark.block):
                if block < read:
                    break
                key = self._key(prompt, block, mark.lifetime)
                if self._is_usable(key, now):
                    read, found = block + 1, key
                    break
        return read, found

    def _is_usable(self, key: Key, now: datetime) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.usable_from <= now <= entry.expires_at

    def _touch(
        self, prompt: Prompt, marks: tuple[Mark, ...], read: int, found: Key | None, now: datetime
    ) -> tuple[Key, ...]:
        """
        Renew what was read: the hit, and the entries at breakpoints before it. Assumed: these are parts of what was
        read.
        """
        inner = (self._key(prompt, mark.block, mark.lifetime) for mark in marks if mark.block < read)
        keys = dict.fromkeys(key for key in inner if self._is_usable(key, now))
        if found is not None:
            keys[found] = None
        for key in keys:
            self._use(key, now)
        return tuple(keys)

    def _use(self, key: Key, at: datetime) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry.expires_at = max(entry.expires_at, at + self._lives[entry.lifetime])
            self._entries[key] = entry

    def _write(self, key: Key, lifetime: Lifetime, usable_from: datetime, used: datetime) -> None:
        """
        Write an entry. If another request wrote the same entry meanwhile, it stays and lasts as long as the longer of
        both.
        """
        fresh = _Entry(lifetime, usable_from, used + self._lives[lifetime])
        old = self._entries.pop(key, None)
        if old is not None and old.expires_at >= usable_from:
            fresh.usable_from = min(old.usable_from, usable_from)
            fresh.expires_at = max(old.expires_at, fresh.expires_at)
            fresh.lifetime = "1h" if "1h" in (old.lifetime, lifetime) else "5m"
        self._entries[key] = fresh

    def _sweep(self, now: datetime) -> None:
        """
        Make room: remove expired entries, then those unused longest. It removes a tenth more than needed, so that it
        runs rarely.
        """
        for key in [key for key, entry in self._entries.items() if entry.expires_at < now]:
            del self._entries[key]
        surplus = len(self._entries) - self._max_entries
        if surplus > 0:
            for key in list(self._entries)[: surplus + self._max_entries // 10]:
                del self._entries[key]


def blocks_in_reach(prompt: Prompt, block: int) -> Iterator[int]:
    """
    The blocks at which a breakpoint looks for an entry: its own block first, then the ones before it.

    Args:
        prompt: the prompt.
        block: the block of the breakpoint.
    """
    least = prompt.positions[block] - LOOK_BACK_POSITIONS
    while block >= 0 and prompt.positions[block] > least:
        yield block
        block -= 1


def _effective(prompt: Prompt) -> tuple[Mark, ...]:
    """
    The breakpoints whose prefix is long enough to be cached. The API ignores the others without an error.
    """
    least = minimum_tokens(prompt.model)
    return tuple(mark for mark in prompt.marks if prompt.prefix_tokens[mark.block] >= least)


UNKNOWN_MINIMUM_TOKENS = 1024
"""
Assumed for models whose minimum is not documented, such as the 5.5 series and Fable 5.2. Most models have this minimum.
"""

MINIMUM_TOKENS: dict[str, int] = {
    "claude-opus-5": 512,
    "claude-fable-5": 512,
    "claude-fable-5-1": 512,
    "claude-mythos-5": 512,
    "claude-mythos-5-1": 512,
    "claude-opus-4-8": 1024,
    "claude-sonnet-5": 1024,
    "claude-sonnet-4-6": 1024,  # as documented; 2,048 was measured on one cloud
    "claude-sonnet-4-5": 1024,
    "claude-opus-4-1": 1024,
    "claude-opus-4-0": 1024,
    "claude-opus-4": 1024,
    "claude-sonnet-4-0": 1024,
    "claude-sonnet-4": 1024,
    "claude-3-7-sonnet": 1024,
    "claude-opus-4-7": 2048,
    "claude-mythos-preview": 2048,
    "claude-3-5-haiku": 2048,
    "claude-3-haiku": 2048,
    "claude-opus-4-6": 4096,
    "claude-opus-4-5": 4096,
    "claude-haiku-4-5": 4096,
}


@remembered
def minimum_tokens(model: str) -> int:
    """
    The shortest prefix that the cache of a model accepts, in tokens.
    """
    known = (MINIMUM_TOKENS[name] for name, _ in other_spellings(model) if name in MINIMUM_TOKENS)
    return next(known, UNKNOWN_MINIMUM_TOKENS)
