"""
Where bodies are cut, so that turns of a conversation share their pieces.
"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.pieces import FEWEST, LONGEST_BYTES, MOST, SHORTEST_BYTES, groups, pieces
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
    The bodies of a conversation that grows by two messages a turn, the last message marked in each.
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
    The bytes of the pieces of all bodies together, each counted once.
    """
    return sum(len(piece) for piece in {piece for body in bodies for piece in pieces(body)})


@settings(deadline=None)
@given(st.lists(FRAGMENTS | st.binary(max_size=40)).map(b"".join), st.integers(0, 50))
def test_pieces_are_the_body(body: bytes, start: int) -> None:
    """
    Whatever the body is, put together its pieces are it, from any place on; and none is empty or too long.
    """
    found = pieces(body, start)

    assert b"".join(found) == body[start:]
    assert all(0 < len(piece) <= LONGEST_BYTES for piece in found)


@pytest.mark.parametrize(
    "layout", [{"separators": (",", ":")}, {}, {"indent": 2}], ids=["compact", "spaced", "indented"]
)
def test_turns_share_their_pieces(layout: dict[str, Any]) -> None:
    """
    Twenty turns take little more room than the last of them, in each of the layouts that clients write.
    """
    bodies = turns(20, marked=False, **layout)

    assert stored(bodies) < 1.2 * len(bodies[-1])


def test_moving_marker_costs_no_block() -> None:
    """
    A block is the same piece with a marker at its end and without one.
    """
    bodies = turns(20, marked=True, separators=(",", ":"))

    assert stored(bodies) < 1.2 * len(bodies[-1])


def test_marker_of_a_nested_result_costs_no_block() -> None:
    """
    The text inside a tool result is a piece of its own, whatever stands behind it.
    """
    block = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "long " * 200}]}
    with_marker, without = (
        json.dumps({"messages": [{"role": "user", "content": [one]}]}, separators=(",", ":")).encode()
        for one in (block | {"cache_control": MARKER}, block)
    )

    assert stored([with_marker, without]) < 1.1 * len(without)


def test_insertion_moves_no_cut_far_from_it() -> None:
    """
    A body with something put into its middle has the pieces of before on both sides of it.
    """
    body = agent_body(200_000)
    place = body.index(b'},{"', 100_000) + 2
    longer = body[:place] + b'{"type":"text","text":"' + b"new " * 200 + b'"},' + body[place:]

    assert stored([body, longer]) < 1.1 * len(longer)


def test_tiny_blocks_make_no_tiny_pieces() -> None:
    """
    A piece has a size that is worth its row; markers aside.
    """
    lengths = [len(piece) for piece in pieces(tiny_blocks_body(2000))]

    assert sum(length < SHORTEST_BYTES for length in lengths) <= 10


def test_marker_that_is_none_is_no_cut() -> None:
    """
    The key in front of anything but an object or null is passed over.
    """
    body = b'{"cache_control":' + b"7" * 20 + b"}"

    assert pieces(body) == [body]


def test_braces_without_end_take_no_time() -> None:
    """
    A megabyte of closing brackets is cut like anything else: no brace is looked at twice.
    """
    body = b"}]" * 500_000

    assert b"".join(pieces(body)) == body


@settings(deadline=None)
@given(st.lists(st.integers(1, 10_000), max_size=600))
def test_groups_are_the_list(ids: list[int]) -> None:
    """
    Put together, groups are the list, and their sizes are bounded; the last may be small.
    """
    found = groups(ids)

    assert [one for group in found for one in group] == ids
    assert all(FEWEST <= len(group) <= MOST for group in found[:-1])


def test_lists_share_their_groups() -> None:
    """
    A list that is longer at its end, or has another beginning, has most groups in common with the one before.
    """
    ids = list(range(1, 1001))
    before = {tuple(group) for group in groups(ids)}

    assert len(before - {tuple(group) for group in groups([*ids, 5000, 5001])}) <= 1
    assert len(before - {tuple(group) for group in groups([7000, *ids])}) <= 4
