"""
Where bodies are cut, so that turns of a conversation share chunks.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.captures import chunks as module
from savemode_cli.captures.chunks import _SEAM as SEAM
from savemode_cli.captures.chunks import MAX_CHUNK_BYTES, MAX_GROUP, MIN_CHUNK_BYTES, MIN_GROUP, chunks, groups
from tests.benchmarks.bodies import agent_body, tiny_blocks_body

MARKER = {"type": "ephemeral"}
FRAGMENTS = st.sampled_from(
    [
        b'},{"',
        b'}, {"',
        b"}]",
        b"]}",
        b'],"',
        b'"cache_control":{"type":"ephemeral"}',
        b"null",
        b"x" * 500,
        b" ",
        b"\xff",
    ]
)


def turns(count: int, *, marked: bool, **layout: Any) -> list[bytes]:
    """
    The bodies of a conversation that grows by two messages a turn, with a breakpoint on each last message.
    """
    found = []
    for turn in range(1, count + 1):
        messages = []
        for number in range(2 * turn - 1):
            block: dict[str, Any] = {"type": "text", "text": f"{number} " * 300}
            if marked and number == 2 * turn - 2:
                block["cache_control"] = MARKER
            messages.append({"role": ("user", "assistant")[number % 2], "content": [block]})
        found.append(json.dumps({"model": "m", "messages": messages, "stream": True}, **layout).encode())
    return found


def stored(bodies: list[bytes]) -> int:
    """
    The bytes of the chunks of all bodies together, each chunk counted once.
    """
    return sum(len(chunk) for chunk in {chunk for body in bodies for chunk in chunks(body)})


@given(st.lists(FRAGMENTS | st.binary(max_size=40)).map(b"".join), st.integers(0, 50))
def test_joined_chunks_are_the_body(body: bytes, start: int) -> None:
    """
    The joined chunks are the body, from any start on; no chunk is empty or too long.
    """
    found = chunks(body, start)

    assert b"".join(found) == body[start:]
    assert all(0 < len(chunk) <= MAX_CHUNK_BYTES for chunk in found)


@pytest.mark.parametrize(
    "layout", [{"separators": (",", ":")}, {}, {"indent": 2}], ids=["compact", "spaced", "indented"]
)
def test_turns_share_chunks(layout: dict[str, Any]) -> None:
    """
    Twenty turns need little more space than the last of them, in each layout that clients write.
    """
    bodies = turns(20, marked=False, **layout)

    assert stored(bodies) < 1.2 * len(bodies[-1])


def test_moving_breakpoint_changes_no_block() -> None:
    """
    A block is the same chunk with and without a breakpoint at its end.
    """
    bodies = turns(20, marked=True, separators=(",", ":"))

    assert stored(bodies) < 1.2 * len(bodies[-1])


def test_breakpoint_in_a_tool_result_changes_no_block() -> None:
    """
    The text inside a tool result is a chunk of its own, whatever follows it.
    """
    block = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "long " * 200}]}
    with_marker, without = (
        json.dumps({"messages": [{"role": "user", "content": [one]}]}, separators=(",", ":")).encode()
        for one in (block | {"cache_control": MARKER}, block)
    )

    assert stored([with_marker, without]) < 1.1 * len(without)


def test_insertion_only_changes_cuts_next_to_it() -> None:
    """
    A body with inserted text has the same chunks as before on both sides of the insertion.
    """
    body = agent_body(200_000)
    place = body.index(b'},{"', 100_000) + 2
    longer = body[:place] + b'{"type":"text","text":"' + b"new " * 200 + b'"},' + body[place:]

    assert stored([body, longer]) < 1.1 * len(longer)


def test_tiny_blocks_make_no_tiny_chunks() -> None:
    """
    A chunk is large enough to justify its row in the store, except around breakpoints.
    """
    lengths = [len(chunk) for chunk in chunks(tiny_blocks_body(2000))]

    assert sum(length < MIN_CHUNK_BYTES for length in lengths) <= 10


def test_key_without_a_breakpoint_is_not_a_cut() -> None:
    """
    The key before any value except an object or null is ignored.
    """
    body = b'{"cache_control":' + b"7" * 20 + b"}"

    assert chunks(body) == [body]


def test_many_braces_take_linear_time() -> None:
    """
    A megabyte of closing brackets is divided like anything else, in linear time.
    """
    body = b"}]" * 500_000

    assert b"".join(chunks(body)) == body


@pytest.mark.parametrize("tail", [b"", b'"'])
def test_no_search_reads_more_than_a_part(monkeypatch: pytest.MonkeyPatch, tail: bytes) -> None:
    """
    One search would hold the interpreter's lock for as long as a body without a place to cut is. The cuts are the same.
    """
    body = b"[" + b"{}," * 2_000 + b'{"a":{"b":1}},{"c":2}' + b" " * 300 + b"," * 900 + b'{"d":3}, {' + tail
    whole = chunks(body)
    read: list[int] = []

    class Counted:
        def finditer(self, text: bytes, start: int, end: int) -> Any:
            read.append(end - start)
            return SEAM.finditer(text, start, end)

    monkeypatch.setattr(module, "_SEAM", Counted())
    for size in (200, 777):
        monkeypatch.setattr(module, "_SEARCHED_BYTES", size)
        monkeypatch.setattr(module, "_OVERLAP_BYTES", 20)
        assert chunks(body) == whole
        assert max(read) <= size
        read.clear()


@given(st.lists(st.integers(1, 10_000), max_size=600))
def test_groups_are_the_list(ids: list[int]) -> None:
    """
    The joined groups are the list, and their sizes are limited; only the last group may be small.
    """
    found = groups(ids)

    assert [one for group in found for one in group] == ids
    assert all(MIN_GROUP <= len(group) <= MAX_GROUP for group in found[:-1])


def test_lists_share_groups() -> None:
    """
    A list with a longer end or another beginning shares most groups with the first one.
    """
    ids = list(range(1, 1001))
    before = {tuple(group) for group in groups(ids)}

    assert len(before - {tuple(group) for group in groups([*ids, 5000, 5001])}) <= 1
    assert len(before - {tuple(group) for group in groups([7000, *ids])}) <= 4
