"""
Facts of conversations that grow are those of a fresh reading, and cost what was added.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.wire import facts_memory
from savemode_cli.core.wire.facts import facts, quick_facts, quick_reading
from savemode_cli.core.wire.facts_memory import FactsMemory
from tests.benchmarks.bodies import KB, agent_body
from tests.support.examples import examples
from tests.support.growing import growing_bodies

ALL = 2**40
SMALL = 16
"""Bytes of a chunk, so that short bodies have many."""


@examples(400)
@given(st.integers(0, 2**32), st.sampled_from([8, 16, 64]), st.sampled_from([3_000, 10**6]))
def test_the_facts_are_those_of_a_fresh_reading(seed: int, chunk_bytes: int, max_bytes: int) -> None:
    """
    Whatever came before, in whatever order, with edits in the middle and bodies that break off anywhere.
    """
    memory = FactsMemory(max_bytes, chunk_bytes)
    for body in growing_bodies(seed, 12):
        for _ in range(2):
            assert memory.quick_facts(body, ALL) == quick_facts(body) == facts(body)
            assert memory.seen.size_bytes <= max_bytes


@examples(60)
@given(st.integers(0, 2**32), st.data())
def test_a_beginning_that_ends_anywhere(seed: int, data: st.DataObject) -> None:
    """
    A body that is equal to one before up to any byte (inside a string, an escape or a character) and goes on otherwise.
    """
    bodies = growing_bodies(seed, 6, sessions=1)
    memory = FactsMemory(chunk_bytes=data.draw(st.sampled_from([1, 3, 8])))
    for body in bodies:
        memory.quick_facts(body, ALL)
    one, other = bodies[-1], bodies[data.draw(st.integers(0, len(bodies) - 1))]
    place = data.draw(st.integers(0, len(one)))
    cut = data.draw(st.integers(0, len(other)))
    for body in (one[:place] + other[cut:], one[:place] + other[place:], one[:place]):
        assert memory.quick_facts(body, ALL) == quick_facts(body)


def conversation(turns: int, **more: Any) -> bytes:
    """
    A conversation with a marker at its end.
    """
    messages: list[Any] = [
        {"role": ("user", "assistant")[at % 2], "content": [{"type": "text", "text": f"{at} " + "word " * 2000}]}
        for at in range(2 * turns + 1)
    ]
    messages[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    return json.dumps({"model": "m", "messages": messages, "max_tokens": 10, **more}).encode()


def test_only_the_tail_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of the third request of a conversation and those after it about what was added is read, also if the whole is more than
    may be read at once.
    """
    read = []

    def noted(text: bytes, *rest: Any) -> Any:
        read.append(len(text))
        return quick_reading(text, *rest)

    monkeypatch.setattr(facts_memory, "quick_reading", noted)
    memory = FactsMemory()
    for turns in range(10, 15):
        body = conversation(turns)
        assert memory.quick_facts(body, len(conversation(11))) == facts(body)

    assert read[:2] == [len(conversation(10)), len(conversation(11))]
    assert all(size < 100_000 for size in read[2:])


def test_a_large_body_that_is_new_is_not_read() -> None:
    """
    Nor is one of which too much is new.
    """
    memory = FactsMemory()
    for turns in (10, 11):
        memory.quick_facts(conversation(turns), ALL)

    assert memory.quick_facts(conversation(40), 100_000) is None
    assert memory.quick_facts(conversation(12), 100_000) is not None
    assert memory.quick_facts(conversation(3, system="other"), 10_000) is None


def test_automatic_caching_of_a_conversation_that_grows() -> None:
    """
    What it marks is among the messages that were seen, if nothing new can be marked.
    """
    memory = FactsMemory(chunk_bytes=SMALL)
    known: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "a" * 99}]}]
    empty: dict[str, Any] = {"role": "assistant", "content": [{"type": "thinking", "thinking": "b" * 99}]}
    for more in range(4):
        body = json.dumps({"cache_control": {"type": "ephemeral"}, "messages": [*known, *[empty] * more]}).encode()
        known_facts = memory.quick_facts(body, ALL)
        assert known_facts is not None
        assert known_facts.automatic_target == ("messages", 0, "content", 0)


@pytest.mark.parametrize("shown", ["markers", "keys", "steps", "braces"])
def test_bounds_hold_over_the_whole_body(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A body may pass a bound of what is judged by what was seen together with what is new.
    """
    marked = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 13
    hidden = [{"type": "tool_use", "input": {"cache_control": 1}}] * 13
    if shown == "keys":
        monkeypatch.setattr("savemode_cli.core.wire.facts.MAX_KEYS", 64)
        monkeypatch.setattr("savemode_cli.core.wire.request_body.MAX_KEYS", 64)
    elif shown != "markers":
        monkeypatch.setattr("savemode_cli.core.wire.facts.MAX_CONTAINERS", 64)
    memory, unjudged = FactsMemory(chunk_bytes=SMALL), []
    for count in range(1, 7):
        messages = [{"role": "user", "content": hidden if shown == "keys" else marked}] * count
        body = json.dumps({"messages": messages}).encode()
        known = memory.quick_facts(body, ALL)
        assert known == facts(body)
        unjudged.append(known.unjudged)

    assert not unjudged[0]
    assert unjudged[-1]


def test_an_agent() -> None:
    """
    A body of the benchmarks, turn by turn.
    """
    whole = json.loads(agent_body(200 * KB))
    memory = FactsMemory()
    for end in range(1, len(whole["messages"]) + 1):
        body = json.dumps({**whole, "messages": whole["messages"][:end]}).encode()
        assert memory.quick_facts(body, ALL) == facts(body)
