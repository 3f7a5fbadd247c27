"""
The API's shape: what is read from a body, which shapes are refused, and that no shape is expensive.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.caller import Caller
from savemode_cli.core.messages import (
    Facts,
    dotted,
    facts,
)
from savemode_cli.core.transform import Policy, revert, transform
from tests.oracle import MARK, additions

BARE = {"type": "ephemeral"}
BARE_KEY = b'"cache_control":{"type":"ephemeral"}'
PERSON = Caller("posthog_code", idle_prone=True)


def block(**more: Any) -> dict[str, Any]:
    """
    A text block with a bare marker.
    """
    return {"type": "text", "text": "x", "cache_control": BARE, **more}


def raw(body: Any) -> bytes:
    """
    The body as a compact client writes it.
    """
    return json.dumps(body, separators=(",", ":")).encode()


def found(body: bytes) -> list[tuple[str, str]]:
    """
    The place and kind of each breakpoint, in order.
    """
    return [(dotted(one.path), one.kind) for one in facts(body).breakpoints]


def upgraded(body: bytes) -> list[str]:
    """
    Where a TTL was added, after a check of the bytes.
    """
    done = transform(body, Policy("always"), PERSON)
    assert body == revert(done.body, done.edits)
    assert [edit.path for edit in sorted(done.edits, key=lambda edit: edit.at)] == [
        one.path for one in (additions(body, done.body) if done.edits else [])
    ]
    return [dotted(edit.path[:-2]) for edit in done.edits]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'"\xff"', "not valid UTF-8"),
        (b'"\xed\xa0\x80"', "not valid UTF-8"),
        (b"1e999", "a number is out of range"),
    ],
)
def test_automatic_caching_over_unreadable_text(text: bytes, problem: str) -> None:
    """
    What only the full parse of automatic caching trips over is a problem too, not an exception.
    """
    body = b'{%b,"messages":[{"role":"user","content":[{"type":"text","text":%b}]}]}' % (BARE_KEY, text)

    assert facts(body) == Facts(problem=problem)
    assert upgraded(body) == []


@pytest.mark.parametrize("kind", [[], {}, None, 7, True])
@pytest.mark.parametrize("automatic", [False, True])
def test_type_of_a_block_may_be_anything(kind: Any, automatic: bool) -> None:
    """
    A `type` that is no string, hashable or not, is not an exception.
    """
    more = {MARK: BARE} if automatic else {}

    assert upgraded(raw({"system": [block(type=kind)], **more})) == ["system.0", *["(request)"] * automatic]


@pytest.mark.parametrize("extra", [{MARK: BARE}, [{MARK: BARE}], {"deep": {MARK: BARE}}, [[{MARK: BARE}]]])
def test_unknown_place_comes_before_what_holds_it(extra: Any) -> None:
    """
    A breakpoint in a place of a block that nobody documents is evaluated before the block, in a list or not.
    """
    body = raw({"system": [block(), block(extra=extra), block()]})

    assert [kind for _, kind in found(body)] == ["bare", "unknown", "bare", "bare"]
    assert upgraded(body) == ["system.0"]


def test_known_places_keep_their_order_beside_an_unknown_one() -> None:
    """
    An unknown place elsewhere changes nothing about content before source before the block.
    """
    holder = block(content=[block(), block()], source={"content": [block()]}, extra=[{MARK: BARE}])
    body = raw({"messages": [{"role": "user", "content": [holder]}]})

    assert found(body) == [
        ("messages.0.content.0.content.0", "bare"),
        ("messages.0.content.0.content.1", "bare"),
        ("messages.0.content.0.source.content.0", "bare"),
        ("messages.0.content.0.extra.0", "unknown"),
        ("messages.0.content.0", "bare"),
    ]


@pytest.mark.parametrize("extra", [{MARK: None}, [{MARK: None}]])
def test_null_in_an_unknown_place_is_absent(extra: Any) -> None:
    """
    Null is an absent marker wherever it stands.
    """
    body = raw({"system": [block(extra=extra), block()]})

    assert upgraded(body) == ["system.0", "system.1"]


@pytest.mark.parametrize("value", ["ephemeral", 7, [], True])
def test_automatic_caching_that_is_no_object_pins_nothing(value: Any) -> None:
    """
    A request's own `cache_control` that is no object is no breakpoint, so the last block is free.
    """
    body = raw({MARK: value, "system": [block()]})

    assert facts(body).automatic_target is None
    assert upgraded(body) == ["system.0"]


def test_compat_leaves_what_is_nested_in_system() -> None:
    """
    Compat visits the top level of a section only, and one level of nesting is one too many there.
    """
    body = raw({"system": [{"type": "tool_result", "content": [block()]}, block()]})

    done = transform(body, Policy("always", compat=True), PERSON)

    assert [edit.path for edit in done.edits] == [("system", 1, MARK, "ttl")]
