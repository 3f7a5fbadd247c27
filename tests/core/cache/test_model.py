"""
The model of the prompt cache: each rule by name.
"""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.cache.model import (
    LOOK_BACK_POSITIONS,
    MINIMUM_TOKENS,
    UNKNOWN_MINIMUM_TOKENS,
    Lookup,
    PromptCache,
    minimum_tokens,
)
from savemode_cli.core.cache.prompt import Mark, Prompt

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
BLOCK_TOKENS = 10_000


def a_prompt(words: str, *marks: tuple[int, Any], model: str = "m", tokens: int = BLOCK_TOKENS) -> Prompt:
    """
    A prompt whose blocks are the letters of `words`, each with the same number of tokens, and one token after the last
    block.
    """
    count = len(words)
    return Prompt(
        model=model,
        digests=tuple(letter.encode() for letter in words),
        chain=tuple(f"{model}:{words[: end + 1]}".encode() for end in range(count)),
        kinds=tuple("text" for _ in range(count)),
        sizes=(tokens,) * count,
        positions=tuple(range(count)),
        marks=tuple(Mark(block, lifetime) for block, lifetime in marks),
        prefix_tokens=tuple(tokens * (end + 1) for end in range(count)),
        total_tokens=tokens * count + 1,
    )


def after(**time: float) -> datetime:
    """
    A time after the start.
    """
    return START + timedelta(**time)


def sent(cache: PromptCache, prompt: Prompt, now: datetime = START, answer_s: float = 0) -> Lookup:
    """
    A request that is answered after some time.
    """
    lookup = cache.look_up(prompt, now)
    cache.answered(lookup, now, now + timedelta(seconds=answer_s))
    return lookup


def counts(lookup: Lookup) -> tuple[int, int, int, int]:
    """
    Tokens read, written for 5 minutes, written for an hour, and neither; in blocks, plus single tokens after them.
    """
    read, five, hour = (
        tokens // BLOCK_TOKENS for tokens in (lookup.read_tokens, lookup.write_5m_tokens, lookup.write_1h_tokens)
    )
    return read, five, hour, lookup.input_tokens


def test_the_first_request_writes_and_the_second_reads() -> None:
    """
    This reaches to the last breakpoint. What follows it is neither written nor read.
    """
    cache = PromptCache()
    prompt = a_prompt("abc", (1, "5m"))

    assert counts(sent(cache, prompt)) == (0, 2, 0, BLOCK_TOKENS + 1)
    assert counts(sent(cache, prompt)) == (2, 0, 0, BLOCK_TOKENS + 1)


def test_a_prompt_without_breakpoints_is_not_cached() -> None:
    """
    This is so even if the whole prompt is in the cache.
    """
    cache = PromptCache()
    sent(cache, a_prompt("ab", (1, "1h")))

    assert counts(sent(cache, a_prompt("ab"))) == (0, 0, 0, 2 * BLOCK_TOKENS + 1)


def test_an_entry_is_usable_once_its_writer_has_answered() -> None:
    """
    Requests sent at once all pay the write (WIRE 1.6).
    """
    cache = PromptCache()
    prompt = a_prompt("ab", (1, "5m"))
    first, second = cache.look_up(prompt, START), cache.look_up(prompt, after(seconds=1))
    cache.answered(first, after(seconds=2), after(seconds=9))

    assert counts(first) == counts(second) == (0, 2, 0, 1)
    assert counts(cache.look_up(prompt, after(seconds=1.9))) == (0, 2, 0, 1)
    assert counts(cache.look_up(prompt, after(seconds=2))) == (2, 0, 0, 1)


def test_a_request_that_failed_writes_nothing() -> None:
    """
    A request without an answer makes no entry.
    """
    cache = PromptCache()
    prompt = a_prompt("ab", (1, "5m"))
    cache.look_up(prompt, START)

    assert counts(cache.look_up(prompt, after(minutes=1))) == (0, 2, 0, 1)


@pytest.mark.parametrize(
    ("lifetime", "idle", "hit"),
    [
        ("5m", timedelta(seconds=320), True),
        ("5m", timedelta(seconds=321), False),
        ("1h", timedelta(seconds=3600), True),
        ("1h", timedelta(seconds=3601), False),
    ],
)
def test_an_entry_lives_as_long_as_its_breakpoint_says(lifetime: str, idle: timedelta, hit: bool) -> None:
    """
    A 5-minute entry lasts 20 seconds longer, as recorded traffic shows (WIRE 9).
    """
    cache = PromptCache()
    prompt = a_prompt("ab", (1, lifetime))
    sent(cache, prompt)

    assert (cache.look_up(prompt, START + idle).read_tokens > 0) is hit


@pytest.mark.parametrize(("clock", "hit"), [("end", True), ("start", False)])
def test_idle_time_counts_from_the_end_of_the_last_answer(clock: Any, hit: bool) -> None:
    """
    Recorded traffic shows that it counts from the end. The documentation says the start, which is an option.
    """
    cache = PromptCache(clock=clock)
    prompt = a_prompt("ab", (1, "5m"))
    sent(cache, prompt, answer_s=60)
    lookup = cache.look_up(prompt, after(minutes=1, seconds=315))

    assert (lookup.read_tokens > 0) is hit


@pytest.mark.parametrize("lifetime", ["5m", "1h"])
def test_a_read_renews_the_entrys_own_lifetime(lifetime: str) -> None:
    """
    Sliding (WIRE 1.6). A 5-minute entry stays one when a request marked 1h reads it, and the other way round.
    """
    cache = PromptCache()
    own = timedelta(minutes=5) if lifetime == "5m" else timedelta(hours=1)
    other = "1h" if lifetime == "5m" else "5m"
    sent(cache, a_prompt("ab", (1, lifetime)))
    for turn in range(1, 6):
        lookup = sent(cache, a_prompt("ab", (1, other)), START + turn * own)
        assert counts(lookup) == (2, 0, 0, 1)

    assert counts(cache.look_up(a_prompt("ab", (1, other)), START + 6 * own + timedelta(seconds=21)))[0] == 0


def test_a_growing_conversation_writes_only_what_is_new() -> None:
    """
    The breakpoint moves along. The look-back finds the entry of the previous one.
    """
    cache = PromptCache()
    turns = [counts(sent(cache, a_prompt("abcdefgh"[:end], (0, "1h"), (end - 1, "1h")))) for end in (2, 4, 7, 8)]

    assert turns == [(0, 0, 2, 1), (2, 0, 2, 1), (4, 0, 3, 1), (7, 0, 1, 1)]


@pytest.mark.parametrize(("distance", "read"), [(LOOK_BACK_POSITIONS - 1, 2), (LOOK_BACK_POSITIONS, 0)])
def test_a_breakpoint_looks_back_20_positions(distance: int, read: int) -> None:
    """
    Its own position is the first of them. An entry beyond the last is not found.
    """
    cache = PromptCache()
    sent(cache, a_prompt("ab", (1, "5m")))
    prompt = a_prompt("ab" + "x" * distance, (1 + distance, "5m"))

    assert counts(cache.look_up(prompt, START))[0] == read


def test_the_look_back_counts_positions_and_not_blocks() -> None:
    """
    Blocks that share a position count as one.
    """
    cache = PromptCache()
    sent(cache, a_prompt("ab", (1, "5m")))
    long = a_prompt("ab" + "x" * 60, (61, "5m"))
    shared = [0, 1, *(2 + at // 5 for at in range(60))]

    assert counts(cache.look_up(long, START))[0] == 0
    assert counts(cache.look_up(_at(long, shared), START))[0] == 2


def _at(prompt: Prompt, positions: Sequence[int]) -> Prompt:
    return dataclasses.replace(prompt, positions=tuple(positions))


def test_an_earlier_breakpoint_finds_what_the_last_cannot_see() -> None:
    """
    The head is read if the tail has moved too far.
    """
    cache = PromptCache()
    sent(cache, a_prompt("ab", (0, "5m"), (1, "5m")))
    prompt = a_prompt("ab" + "x" * 30, (0, "5m"), (31, "5m"))

    assert counts(cache.look_up(prompt, START)) == (1, 31, 0, 1)


@pytest.mark.parametrize(
    ("cached", "marks", "expected"),
    [
        ("", [(1, "1h"), (3, "5m")], (0, 2, 2, 1 + BLOCK_TOKENS)),
        ("a", [(0, "1h"), (1, "1h"), (3, "5m")], (1, 2, 1, 1 + BLOCK_TOKENS)),
        ("abc", [(1, "1h"), (3, "5m")], (3, 1, 0, 1 + BLOCK_TOKENS)),
        ("abcd", [(1, "1h"), (3, "5m")], (4, 0, 0, 1 + BLOCK_TOKENS)),
        ("ab", [(3, "1h")], (2, 0, 2, 1 + BLOCK_TOKENS)),
        ("ab", [(3, "5m")], (2, 2, 0, 1 + BLOCK_TOKENS)),
    ],
)
def test_mixed_lifetimes_are_billed_by_a_b_and_c(cached: str, marks: Any, expected: tuple[int, ...]) -> None:
    """
    A the furthest hit, B the furthest 1-hour marker beyond it, C the last: read A, 1h B - A, 5m C - B (WIRE 1.5).
    """
    cache = PromptCache()
    if cached:
        sent(cache, a_prompt(cached, (len(cached) - 1, "5m")))

    assert counts(cache.look_up(a_prompt("abcde", *marks), START)) == expected


def test_models_share_no_entries() -> None:
    """
    A different model uses a different cache.
    """
    cache = PromptCache()
    sent(cache, a_prompt("ab", (1, "5m")))

    assert counts(cache.look_up(a_prompt("ab", (1, "5m"), model="other"), START))[0] == 0


@pytest.mark.parametrize(("ttl_in_key", "read"), [(False, 2), (True, 0)])
def test_whether_the_ttl_is_part_of_the_key_is_a_switch(ttl_in_key: bool, read: int) -> None:
    """
    The real behaviour is unknown (WIRE 1.9). The default is no.
    """
    cache = PromptCache(ttl_in_key=ttl_in_key)
    sent(cache, a_prompt("ab", (1, "5m")))

    assert counts(sent(cache, a_prompt("ab", (1, "1h"))))[0] == read
    assert counts(cache.look_up(a_prompt("ab", (1, "1h")), START))[0] == 2
    assert counts(cache.look_up(a_prompt("ab", (1, "5m")), START))[0] == 2


@pytest.mark.parametrize(("tokens", "written"), [(1023, 0), (1024, 1024)])
def test_a_prefix_under_the_minimum_is_not_cached(tokens: int, written: int) -> None:
    """
    There is no error: both counts are zero, and the next request finds nothing.
    """
    cache = PromptCache()
    prompt = a_prompt("a", (0, "5m"), model="claude-sonnet-5", tokens=tokens)

    assert sent(cache, prompt).write_5m_tokens == written
    assert sent(cache, prompt).read_tokens == written


def test_a_short_breakpoint_does_not_spoil_a_longer_one() -> None:
    """
    Only the prefix that is too short is ignored.
    """
    lookup = PromptCache().look_up(a_prompt("abc", (0, "1h"), (2, "5m"), tokens=600), START)

    assert (lookup.write_1h_tokens, lookup.write_5m_tokens, lookup.input_tokens) == (0, 1800, 1)


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-5", 512),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4-20250514", 1024),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 4096),
        ("claude-opus-4-7[1m]", 2048),
        ("claude-3-5-haiku-latest", 2048),
        ("claude-opus-5-5", UNKNOWN_MINIMUM_TOKENS),
        ("gpt-5", UNKNOWN_MINIMUM_TOKENS),
    ],
)
def test_the_minimum_is_the_models(model: str, tokens: int) -> None:
    """
    This is so for every spelling of its ID (WIRE 1.4). A model without a documented minimum has the most common one.
    """
    assert minimum_tokens(model) == tokens
    assert set(MINIMUM_TOKENS.values()) == {512, 1024, 2048, 4096}


def test_parallel_writers_keep_the_longer_life_and_the_earlier_start() -> None:
    """
    If two requests wrote the same prefix, it exists once, from the first answer on, with the longer lifetime.
    """
    cache = PromptCache()
    hour, five = (cache.look_up(a_prompt("ab", (1, lifetime)), START) for lifetime in ("1h", "5m"))
    cache.answered(hour, after(seconds=5))
    cache.answered(five, after(seconds=2))

    assert len(cache) == 1
    assert counts(cache.look_up(a_prompt("ab", (1, "5m")), after(seconds=2)))[0] == 2
    assert counts(cache.look_up(a_prompt("ab", (1, "5m")), after(minutes=59)))[0] == 2


def test_a_late_writer_does_not_revive_what_had_expired_before() -> None:
    """
    Between the end of one entry and the start of the next, the prefix is not cached.
    """
    cache = PromptCache()
    prompt = a_prompt("ab", (1, "5m"))
    sent(cache, prompt)
    cache.answered(cache.look_up(prompt, after(minutes=10)), after(minutes=11))

    assert counts(cache.look_up(prompt, after(minutes=10, seconds=30)))[0] == 0
    assert counts(cache.look_up(prompt, after(minutes=11)))[0] == 2


def test_entries_before_the_hit_live_on_with_it() -> None:
    """
    A conversation keeps the head that it shares with others warm, as its own breakpoint there is read with the rest.
    """
    cache = PromptCache()
    sent(cache, a_prompt("abc", (0, "5m"), (2, "5m")))
    sent(cache, a_prompt("abc", (0, "5m"), (2, "5m")), after(minutes=4))

    assert counts(cache.look_up(a_prompt("ax", (0, "5m"), (1, "5m")), after(minutes=8)))[0] == 1


def test_memory_is_bounded_and_the_expired_go_first() -> None:
    """
    A living 1-hour entry stays, however many expired entries there are.
    """
    cache = PromptCache(max_entries=10)
    sent(cache, a_prompt("old", (2, "1h")))
    for minute in range(9):
        sent(cache, a_prompt(f"{minute}", (0, "5m")), after(minutes=minute / 10))
    sent(cache, a_prompt("new", (2, "5m")), after(minutes=30))

    assert len(cache) == 2
    assert counts(cache.look_up(a_prompt("old", (2, "1h")), after(minutes=30)))[0] == 3


def test_of_living_entries_the_longest_unused_goes() -> None:
    """
    Entries that were used recently stay.
    """
    cache = PromptCache(max_entries=10)
    for letter in "abcdefghij":
        sent(cache, a_prompt(letter, (0, "1h")))
    sent(cache, a_prompt("a", (0, "1h")))
    sent(cache, a_prompt("k", (0, "1h")))

    assert len(cache) == 9
    kept = {letter for letter in "abcdefghijk" if cache.look_up(a_prompt(letter, (0, "1h")), START).read_tokens}
    assert kept == set("adefghijk")


def test_what_was_dropped_before_its_reader_was_answered_stays_dropped() -> None:
    """
    An answer renews only entries that still exist.
    """
    cache = PromptCache(max_entries=1)
    sent(cache, a_prompt("a", (0, "5m")))
    reader = cache.look_up(a_prompt("a", (0, "5m")), START)
    sent(cache, a_prompt("b", (0, "5m")))
    cache.answered(reader, START)

    assert counts(cache.look_up(a_prompt("a", (0, "5m")), START))[0] == 0


def test_a_cache_of_no_entries_is_refused() -> None:
    """
    The size must be at least 1.
    """
    with pytest.raises(ValueError, match="no cache"):
        PromptCache(max_entries=0)
