"""
What is remembered of the requests of each lane, and for how long.
"""

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from itertools import count
from typing import Any

from savemode_cli.core.cache.blocks import RequestBlocks
from savemode_cli.core.cache.prompt import Prompt, prompt_from
from savemode_cli.core.diagnosis.fingerprint import fingerprint_of
from savemode_cli.core.diagnosis.lanes import Lane, Lanes, SentPrompt
from tests.support.prompts import HOUR, MARK, assistant, blocks_of, call, result, text, tool, user

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MAIN = Lane("s", "", "claude-opus-5-5")
_numbers = count()


def sent(lanes: Lanes, lane: Lane = MAIN, *, seconds: float = 0, words: str = "", **more: Any) -> SentPrompt:
    """
    A request that is remembered.
    """
    number = next(_numbers)
    request = blocks_of(messages=[user(text(words or f"request {number}"))])
    found = fingerprint_of(request, prompt_from(request), lanes.fingerprints(lane))
    assert found is not None
    one = SentPrompt(f"req_{number}", lane, found, NOON + timedelta(seconds=seconds), **more)
    lanes.add(one)
    return one


def test_earlier_requests_of_the_same_conversation() -> None:
    """
    Those of other models too; not those of other sessions or agents, later ones, or those that failed.
    """
    lanes = Lanes()
    second = sent(lanes, seconds=2)
    first = sent(lanes, seconds=1)
    other_model = sent(lanes, replace(MAIN, model="claude-haiku-5-5"), seconds=3)
    sent(lanes, replace(MAIN, session="t"))
    sent(lanes, replace(MAIN, agent="a"))
    sent(lanes, seconds=1, failed=True)
    asked = sent(lanes, seconds=4)
    sent(lanes, seconds=5)

    assert lanes.before(asked) == [first, second, other_model]


def test_the_longest_unused_go_first() -> None:
    """
    Requests of a lane, and lanes; a request that a later one went on from is used.
    """
    lanes = Lanes(max_lanes=2, max_prompts=2)
    first, second = sent(lanes, seconds=1), sent(lanes, seconds=2)
    lanes.used(first)
    third = sent(lanes, seconds=3)

    assert lanes.before(third) == [first]
    assert len(lanes) == 2
    assert second not in lanes.before(third)
    sent(lanes, replace(MAIN, session="t"))
    sent(lanes, replace(MAIN, session="u"))

    assert first not in lanes.before(third)
    assert len(lanes) == 2
    lanes.used(second)  # long forgotten


def test_before_the_first_request_of_a_session_without_a_name() -> None:
    """
    The latest ones of other sessions, of the same key, and of agents only for an agent; as many as a lane has.
    """
    lanes = Lanes(max_prompts=3)
    olds = [sent(lanes, replace(MAIN, session=f"{number}"), seconds=number) for number in range(5)]
    sent(lanes, replace(MAIN, agent="a"), seconds=6)
    sent(lanes, seconds=6, payer="other")
    sent(lanes, replace(MAIN, session="later"), seconds=8)
    first = sent(lanes, replace(MAIN, session="new"), seconds=7, named=False)

    assert lanes.before(first) == olds[2:]
    assert lanes.before(sent(lanes, replace(MAIN, session="named"), seconds=7)) == []
    assert lanes.before(sent(lanes, replace(MAIN, session="new"), seconds=8, named=False)) == [first]


def test_memory_is_counted_and_bounded() -> None:
    """
    In bytes too, for a prompt may have thousands of blocks; the newest request of all is always kept.
    """
    lanes = Lanes(max_bytes=6000)
    for session in range(50):
        newest = sent(lanes, replace(MAIN, session=f"{session}"))
    assert lanes.bytes <= 6000
    assert 0 < len(lanes) < 50
    for second in range(50):
        newest = sent(lanes, newest.lane, seconds=second)
    assert lanes.bytes <= 6000
    assert lanes.before(newest) != []

    small = Lanes(max_bytes=1)
    assert small.before(sent(small)) == []
    assert len(small) == 1


def test_all_that_was_counted_is_given_back() -> None:
    """
    However much of it was shared.
    """
    lanes = Lanes(max_lanes=1)
    for second in range(40):
        sent(lanes, seconds=second, words="the same")
    sent(lanes, replace(MAIN, session="other"), words="the same")
    alone = Lanes()
    sent(alone, words="the same")

    assert lanes.bytes == alone.bytes


def large() -> RequestBlocks:
    """
    A request of 1 MB in more than 400 blocks.
    """
    words = "Read the whole of it before you answer. " * 62
    messages = [user(text(words))]
    for at in range(133):
        messages += [assistant(text(words), call(f"{at}", input={"command": words})), user(result(f"{at}", words))]
    return blocks_of(
        tools=[tool("read"), tool("write")], system=[text(words, **HOUR), text(words * 2, **MARK)], messages=messages
    )


def told_apart(prompt: Prompt, shared: int, words: str) -> Prompt:
    """
    The same prompt with other content from a block on.
    """
    own = [sha1(f"{words} {at}".encode(), usedforsecurity=False).digest() for at in range(len(prompt.digests))]
    return replace(prompt, digests=(*prompt.digests[:shared], *own[shared:]))


def test_memory_of_64_lanes_of_32_prompts_of_1_mb() -> None:
    """
    Under 20 MB, as Python counts it for some of the lanes, and as it is counted here.
    """
    request = large()
    prompt = prompt_from(request)
    assert len(request.blocks) >= 400
    lanes, measured = Lanes(), 8
    tracemalloc.start()
    try:
        for session in range(measured):
            lane = replace(MAIN, session=f"{session}")
            conversation = told_apart(prompt, 0, f"{session}")
            for turn in range(32):
                now = told_apart(conversation, len(prompt.digests) - 12, f"{session} {turn}")
                found = fingerprint_of(request, now, lanes.fingerprints(lane))
                assert found is not None
                lanes.add(SentPrompt(f"{session} {turn}", lane, found, NOON + timedelta(seconds=turn)))
        del conversation, now
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(lanes) == measured * 32
    assert taken * 64 / measured < 20_000_000
    assert lanes.bytes * 64 / measured < 20_000_000
    assert 0.5 < taken / lanes.bytes < 2
