"""
A model of the API's prompt cache: what a request would read, and what it would write for how long.

Rule of this file: it knows prompts, entries and times, and nothing of bodies or money. `now` is a parameter; the same
calls give the same answers. Token counts are as good as the estimate in the prompt.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23), and recorded traffic.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from savemode_cli.core.model_ids import other_spellings
from savemode_cli.core.prompt import Lifetime, Mark, Prompt

MOST_MARKS = 4
LOOK_BACK_POSITIONS = 20
"""How many positions a breakpoint looks at for an entry, its own included."""

LIFETIMES: dict[Lifetime, timedelta] = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}

Key = tuple[bytes, Lifetime | None]


@dataclass(frozen=True, slots=True)
class Lookup:
    """
    What a request reads and writes; the four counts add up to the prompt, and are estimates like it.

    `read_blocks` are the leading blocks that were read. `writes` are the entries that will be there once the answer has
    begun, and `touched` those that were read; both are for `PromptCache.answered`.
    """

    at: datetime
    read_tokens: int
    write_5m_tokens: int
    write_1h_tokens: int
    input_tokens: int
    read_blocks: int
    touched: tuple[Key, ...]
    writes: tuple[tuple[Key, Lifetime], ...]

    @property
    def total_tokens(self) -> int:
        """
        The whole prompt.
        """
        return self.read_tokens + self.write_5m_tokens + self.write_1h_tokens + self.input_tokens


@dataclass(slots=True)
class _Entry:
    lifetime: Lifetime
    usable_from: datetime
    expires_at: datetime


class PromptCache:
    """
    The entries of one workspace: what is cached for one is not there for another.

    `ttl_in_key`: whether a breakpoint finds only entries of its own TTL. Nobody outside knows; the documentation speaks
    of hits without mentioning the TTL, so the default is no. `clock`: whether idle time counts from the end of the last
    response, which predicts recorded traffic best, or from its start, as the documentation has it. `grace_5m`: how much
    longer than promised a 5-minute entry was seen to live. An entry keeps the TTL it was written with, whatever a later
    request that reads it asks for (unknown in reality).
    """

    def __init__(
        self,
        *,
        ttl_in_key: bool = False,
        clock: Literal["end", "start"] = "end",
        grace_5m: timedelta = timedelta(seconds=20),
        max_entries: int = 100_000,
    ) -> None:
        """
        An empty cache of at most so many entries; past that the expired go first, then the longest unused.
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
        Entries held, expired ones that were not swept yet included.
        """
        return len(self._entries)

    def look_up(self, prompt: Prompt, now: datetime) -> Lookup:
        """
        What a request that comes now reads and writes. What it reads lives on; what it writes is not there yet.
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
        The answer began at `now`: what its request wrote is usable from then. It ended at `ended`, or at once.

        Both may lie in the future of the next look-up: an entry is seen from the time it is usable. A request that
        failed is never answered, and so writes nothing.
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
        The furthest hit of any breakpoint, as the number of blocks read, and its entry.
        """
        read, found = 0, None
        for mark in marks:
            least = prompt.positions[mark.block] - LOOK_BACK_POSITIONS
            block = mark.block
            while block >= read and prompt.positions[block] > least:
                key = self._key(prompt, block, mark.lifetime)
                if self._is_usable(key, now):
                    read, found = block + 1, key
                    break
                block -= 1
        return read, found

    def _is_usable(self, key: Key, now: datetime) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.usable_from <= now <= entry.expires_at

    def _touch(
        self, prompt: Prompt, marks: tuple[Mark, ...], read: int, found: Key | None, now: datetime
    ) -> tuple[Key, ...]:
        """
        Renew what was read: the hit, and the entries at breakpoints before it (assumed: they are parts of what is read).
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
        Put an entry in place. One that another request wrote meanwhile stays, and lives as long as the longer of both.
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
        Make room: drop the expired, then the longest unused, a tenth more than needed so that it is rarely needed.
        """
        for key in [key for key, entry in self._entries.items() if entry.expires_at < now]:
            del self._entries[key]
        surplus = len(self._entries) - self._max_entries
        if surplus > 0:
            for key in list(self._entries)[: surplus + self._max_entries // 10]:
                del self._entries[key]


def _effective(prompt: Prompt) -> tuple[Mark, ...]:
    """
    The breakpoints whose prefix is long enough to be cached; the others are passed over in silence.
    """
    least = minimum_tokens(prompt.model)
    return tuple(mark for mark in prompt.marks if prompt.prefix_tokens[mark.block] >= least)


UNKNOWN_MINIMUM_TOKENS = 1024
"""Assumed for models whose minimum no page names, the 5.5 series and Fable 5.2 among them: the one most models have."""

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


def minimum_tokens(model: str) -> int:
    """
    The shortest prefix that a model's cache takes, in tokens.
    """
    known = (MINIMUM_TOKENS[name] for name, _ in other_spellings(model) if name in MINIMUM_TOKENS)
    return next(known, UNKNOWN_MINIMUM_TOKENS)
