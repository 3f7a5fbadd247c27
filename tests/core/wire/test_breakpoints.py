"""
Where breakpoints are found in a body, of which kind they are, and in which order they come.
"""

from collections.abc import Callable
from typing import Any

import pytest

from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.breakpoints import MAX_BREAKPOINTS, may_have_breakpoints
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.messages import (
    dotted,
)
from tests.support.marked_bodies import (
    BARE,
    BARE_KEY,
    ONE_KEY,
    PERSON,
    block,
    found,
    many_blocks,
    many_decoys,
    many_hidden,
    many_keys_in_input,
    many_unknown_places,
    raw,
    upgraded,
)
from tests.support.oracle import MARK


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


@pytest.mark.parametrize(
    ("marker", "kind", "lifetime"),
    [
        (BARE, "bare", "5m"),
        ({**BARE, "scope": "global"}, "bare", "5m"),
        ({**BARE, "ttl": "5m"}, "5m", "5m"),
        ({**BARE, "ttl": "1h"}, "1h", "1h"),
        ({**BARE, "ttl": None}, "null", "5m"),
        ({**BARE, "ttl": "2h"}, "unknown", None),
        ({**BARE, "ttl": 3600}, "unknown", None),
        ({**BARE, "ttl": ["1h"]}, "unknown", None),
        ({"type": "persistent", "ttl": 3600}, "persistent", None),
        ({"type": "other"}, "unknown", None),
        ({"type": ["ephemeral"]}, "unknown", None),
        ({}, "unknown", None),
        ({**BARE, "a": {"b": 1}}, "unknown", None),
        ({**BARE, "a": "y" * 5000}, "unknown", None),
        ({**BARE, "cache_control": BARE}, "unknown", None),
        ({**BARE, "a": ["{", "}", '":', "\\"]}, "bare", "5m"),
        ({**BARE, ":": 1, "::": 2}, "bare", "5m"),
        ("ephemeral", "ignored", None),
        ([BARE], "ignored", None),
        (0, "ignored", None),
        (False, "ignored", None),
    ],
)
def test_kind(marker: Any, kind: str, lifetime: str | None) -> None:
    """
    Each shape of a marker has its kind, and lives as long as the API says; only bare ones are upgraded.
    """
    body = raw({"system": [{"type": "text", "text": "x", "cache_control": marker}]})

    (one,) = facts(body).breakpoints

    assert (one.kind, one.lifetime) == (kind, lifetime)
    assert bool(one.trouble) == (kind in ("unknown", "ignored"))
    assert upgraded(body) == (["system.0"] if kind == "bare" else [])


def test_longest_marker() -> None:
    """
    The bound on a marker's length is in bytes, its colon and closing brace included.
    """
    room = 4096 - len(b':{"type":"ephemeral","a":""}')

    kinds = [found(raw({"system": [block(cache_control={**BARE, "a": "y" * (room + n)})]})) for n in (0, 1)]

    assert kinds == [[("system.0", "bare")], [("system.0", "unknown")]]


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        (b'"cache\\u005fcontrol":{"type":"ephemeral"}', "unknown"),
        (b'"\\u0063ache_control":{"type":"ephemeral"}', "unknown"),
        (b'"cache_control":null,"cache\\u005fcontrol":{"type":"ephemeral"}', "unknown"),
        (b'"cache\\u005fcontrol":{"type":"ephemeral"},"cache_control":{"type":"ephemeral"}', "unknown"),
        (b'"cache_control":{"type":"persistent","type":"ephemeral"}', "unknown"),
        (b'"cache_control":{"type":"ephemeral","t\\u0079pe":"ephemeral"}', "unknown"),
        (b'"cache_control":{"tt\\u006c":"5m","type":"ephemeral"}', "5m"),
        (b'"cache_control" \n:\t{ "type" : "ephemeral" }', "bare"),
        (b'"type":"x","type":"text","cache_control":{"type":"ephemeral"}', "bare"),
    ],
)
def test_spelling(members: bytes, kind: str) -> None:
    """
    Escapes and duplicates make a marker one that is left alone, together with what follows; white space does not.
    """
    body = b'{"system":[{%b},{"type":"text",%b}]}' % (members, BARE_KEY)

    assert found(body) == [("system.0", kind), ("system.1", "bare")]
    assert upgraded(body) == (["system.0", "system.1"] if kind == "bare" else [])


@pytest.mark.parametrize("key", ["input", "input_schema", "input_examples", "text"])
def test_user_data_is_no_breakpoint(key: str) -> None:
    """
    What looks like a marker inside the user's own data is neither reported nor in the way of others.
    """
    data = {key: {MARK: BARE, "content": [{MARK: BARE}], "deep": [{MARK: {**BARE, "ttl": "5m"}}]}}
    body = raw({"metadata": data, "tools": [block(**data)], **data, "system": [block()]})

    assert upgraded(body) == ["tools.0", "system.0"]
    assert found(body) == [("tools.0", "bare"), ("system.0", "bare")]


@pytest.mark.parametrize(
    "decoy",
    [
        '"cache_control":{"type":"ephemeral"}',
        '\\"cache_control":{"type":"ephemeral"}',
        '{"cache_control":',
        "cache_control",
        '"cache_control',
        "\\",
    ],
)
def test_decoy_in_a_string_is_no_breakpoint(decoy: str) -> None:
    """
    Whatever a string says, as text, as another key or as another key's name, no marker is seen in it.
    """
    body = raw({"system": [{decoy: decoy, **block(text=decoy, extra=[decoy])}, decoy], decoy: {"content": [decoy]}})

    assert upgraded(body) == (["system.0"] if decoy != "cache_control" else [])


def test_deep_input_is_stepped_over() -> None:
    """
    600 levels of nesting in the user's data do not keep a marker from being found.
    """
    body = ONE_KEY % (b'"input":' + b"[" * 600 + b"]" * 600 + b"," + BARE_KEY)

    assert upgraded(body) == ["system.0"]


@pytest.mark.parametrize("levels", [100, 600])
def test_deep_content_is_found_or_left(levels: int) -> None:
    """
    Blocks in blocks are followed a hundred levels down, and the body is left alone where that would go too deep.
    """
    body = b'{"system":' + b'[{"content":' * levels + b"[{%b}]" % BARE_KEY + b"}]" * levels + b"}"

    known = facts(body)

    assert (len(known.breakpoints), known.problem) in [(1, ""), (0, "nested too deeply to be judged")]
    assert levels > 100 or known.problem == ""
    assert len(upgraded(body)) == len(known.breakpoints)


@pytest.mark.parametrize(
    ("bodies", "count", "expected"),
    [
        (many_blocks, 100_000, ["system.100000"]),
        (many_decoys, 10_000, ["system.0"]),
        (many_keys_in_input, 10_000, ["messages.0.content.1"]),
        (many_unknown_places, MAX_BREAKPOINTS - 2, ["system.0"]),
        (many_hidden, 10_000, []),
    ],
)
def test_crowd(bodies: Callable[[int], bytes], count: int, expected: list[str]) -> None:
    """
    The one marker is found in any crowd.
    """
    done = transform(bodies(count), Policy("always"), PERSON)

    assert expected == [dotted(edit.path[:-2]) for edit in done.edits]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", False),
        (ONE_KEY % b'"a":1', False),
        (ONE_KEY % b'"cache\\u005fcontrol":{}', False),
        (ONE_KEY % BARE_KEY, True),
        (ONE_KEY % b'"cache_control" : {}', True),
        (raw({"system": '"cache_control"'}), False),
        (raw({"system": 'then "cache_control'}), True),
        (raw({"system": "cache_control"}), True),
    ],
)
def test_may_have_breakpoints(body: bytes, expected: bool) -> None:
    """
    Only a plain spelling counts; a quotation of it in a text does not, a text that ends like it may.
    """
    assert may_have_breakpoints(body) == expected
