"""
What is read from a body, which bodies are refused, and that no body is expensive.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest

from savemode_cli.core.upgrade.edits import revert
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.breakpoints import MAX_BREAKPOINTS
from savemode_cli.core.wire.facts import MAX_CONTAINERS, Facts, facts, quick_facts
from savemode_cli.core.wire.request_body import MAX_KEYS
from tests.support.marked_bodies import (
    BARE,
    BARE_KEY,
    ONE_KEY,
    PERSON,
    block,
    many_blocks,
    many_decoys,
    many_escaped_keys,
    many_hidden,
    many_keys_in_input,
    many_markers,
    many_open_markers,
    many_unknown_places,
    raw,
    upgraded,
)
from tests.support.oracle import MARK


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


def test_facts() -> None:
    """
    What judgement needs of a usual request, and nothing is taken for what it is not.
    """
    body = raw(
        {
            "model": "claude-opus-5-5",
            "stream": True,
            "max_tokens": 100,
            "metadata": {"user_id": "u"},
            "system": [block()],
        }
    )

    known = facts(body)

    assert (known.problem, known.model, known.stream, known.max_tokens) == ("", "claude-opus-5-5", True, 100)
    assert known.user_id == "u"
    (one,) = known.breakpoints
    assert (one.text, one.start) == (b'{"type":"ephemeral"}', body.index(b'{"type":"ephemeral"}'))


def test_facts_of_the_wrong_types() -> None:
    """
    A field of another type than documented counts as absent.
    """
    body = raw({"model": 7, "stream": "true", "max_tokens": "100", "metadata": ["user_id"]})

    assert facts(body) == Facts(opening=facts(b"{}").opening)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"\xef\xbb\xbf" + ONE_KEY % BARE_KEY, "not valid JSON"),
        (ONE_KEY % BARE_KEY + b"x", "not valid JSON"),
        (ONE_KEY % BARE_KEY + ONE_KEY % BARE_KEY, "not valid JSON"),
        (ONE_KEY % BARE_KEY + b"\0", "not valid JSON"),
        ((ONE_KEY % BARE_KEY).decode().encode("utf-16"), "not valid JSON"),
        (ONE_KEY % (BARE_KEY + b',"a":"\\ud800"'), "not valid JSON"),
        (ONE_KEY % (BARE_KEY + b',"a":"\n"'), "not valid JSON"),
        (ONE_KEY % (BARE_KEY + b',"a":01'), "not valid JSON"),
        (ONE_KEY % (BARE_KEY + b",'a':1"), "not valid JSON"),
        (ONE_KEY % b'"cache_control":{"type":"ephemeral",}', "not valid JSON"),
        (ONE_KEY % b'"cache_control":{"type":"\xff"}', "not valid UTF-8"),
        (ONE_KEY % (BARE_KEY + b"," + BARE_KEY), "a duplicate key hides a cache_control"),
        (b'{"messages":[{"content":[{%b}]}],"messages":[]}' % BARE_KEY, "a duplicate key hides a cache_control"),
        (b'{%b,"system":[],%b}' % (BARE_KEY, BARE_KEY), "a duplicate key hides a cache_control"),
        (
            ONE_KEY % (b'"content":[{%b}],"content":[{%b}]' % (BARE_KEY, BARE_KEY)),
            "a duplicate key hides a cache_control",
        ),
        (ONE_KEY % (b'"input":{%b},"input":{},%b' % (BARE_KEY, BARE_KEY)), "a duplicate key hides a cache_control"),
        (b'{"a":' * 100_000, "nested too deeply to be judged"),
        (ONE_KEY % (b'"input":' + b"[" * 100_000 + b"]" * 100_000), "nested too deeply to be judged"),
        (b'{"system":' + b'[{"content":' * 1200 + b"1" + b"}]" * 1200 + b"}", "nested too deeply to be judged"),
    ],
)
def test_problem(body: bytes, problem: str) -> None:
    """
    Each body that cannot be judged says why, and goes out as it came, even if compat is asked for.
    """
    assert facts(body) == Facts(problem=problem)
    for compat in (False, True):
        assert transform(body, Policy("always", compat=compat), PERSON).body is body


def test_invalid_utf8_inside_text_is_stepped_over() -> None:
    """
    Where nothing asks for a text its bytes are no obstacle, and they are kept.
    """
    body = b'{"system":[{"type":"text","text":"\xff\xc0",%b}]}' % BARE_KEY

    assert transform(body, Policy("always"), PERSON).body == body.replace(b'ral"}', b'ral","ttl":"1h"}')


def test_largest_body() -> None:
    """
    A body of the API's greatest length gains its 11 bytes and loses none.
    """
    body = b'{"system":[{"type":"text","text":"%b",%b}]}' % (b"x" * (32 * 1024 * 1024), BARE_KEY)

    done = transform(body, Policy("always"), PERSON)

    assert len(done.body) == len(body) + len(b',"ttl":"1h"')
    assert body == revert(done.body, done.edits)


def work(act: Callable[[], object]) -> int:
    """
    How many calls, of Python and of C functions, something takes: the same on every machine.
    """
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "bodies",
    [
        many_blocks,
        many_markers,
        many_decoys,
        many_keys_in_input,
        many_unknown_places,
        many_hidden,
        many_open_markers,
    ],
)
def test_work_grows_no_faster_than_the_body(bodies: Callable[[int], bytes]) -> None:
    """
    Twice the body takes about twice the calls, whatever it is full of.
    """
    one, two = (bodies(count) for count in (1000, 2000))

    calls = [work(lambda body=body: transform(body, Policy("always"), PERSON)) for body in (one, two)]  # type: ignore[misc]

    assert calls[1] < 2.5 * calls[0]


@pytest.mark.parametrize(
    ("bodies", "most", "why"),
    [
        (lambda count: raw({"system": [block()] * count}), MAX_BREAKPOINTS, "64 breakpoints"),
        (lambda count: many_markers(count - 1), MAX_BREAKPOINTS, "64 breakpoints"),
        (lambda count: many_escaped_keys(count - 1), MAX_BREAKPOINTS, "64 breakpoints"),
        (lambda count: many_unknown_places(count - 2), MAX_BREAKPOINTS, "64 breakpoints"),
        (lambda count: many_keys_in_input(count - 1), MAX_KEYS, "16,384 cache_control keys"),
        (
            lambda count: b'{"system":[%b,%b]}' % (raw(block()), b",".join([b"7"] * (count - 1))),
            MAX_CONTAINERS,
            "1,000,000 items",
        ),
        # The body itself, its list and its blocks: one text is given the braces that are missing.
        (lambda count: raw({"system": [block(text="[" * (count - 4))]}), MAX_CONTAINERS, "1,000,000 objects"),
    ],
    ids=["system", "messages", "escaped", "unknown-places", "keys", "items", "containers"],
)
def test_body_beyond_a_bound_is_not_judged(bodies: Callable[[int], bytes], most: int, why: str) -> None:
    """
    Up to the bound a body is judged; beyond it the body goes out as it came, with a skip that says so.
    """
    pad = raw({"x": "x" * (2 * MAX_CONTAINERS)})[1:-1] if most == MAX_CONTAINERS else b'"x":0'
    judged, unjudged = (b"%b,%b}" % (bodies(count)[:-1], pad) for count in (most, most + 1))

    assert facts(judged).breakpoints
    assert "not-judged" not in {skip.code for skip in transform(judged, Policy("always"), PERSON).skips}
    done = transform(unjudged, Policy("always"), PERSON, facts(unjudged))
    (skip,) = done.skips
    assert (skip.path, skip.code) == ((), "not-judged")
    assert f"more than {why}" in skip.why
    assert done.body is unjudged


@pytest.mark.parametrize("bodies", [many_markers, many_keys_in_input, lambda count: raw({"system": "[" * 20 * count})])
def test_facts_of_a_body_that_is_not_judged(bodies: Callable[[int], bytes]) -> None:
    """
    What the budget needs is known all the same.
    """
    more = raw({"model": "claude-opus-5-5", "stream": True, "max_tokens": 7, "metadata": {"user_id": "u"}, "pad": " "})
    body = b"%b,%b" % (more[:-1], bodies(100_000)[1:])

    known = facts(body)

    assert known.unjudged
    assert (known.model, known.stream, known.max_tokens, known.user_id) == ("claude-opus-5-5", True, 7, "u")
    assert (known.breakpoints, known.problem) == ((), "")


@pytest.mark.parametrize("body", [b"[" * 3_000_000, b'{"system":[' + b"{}," * 1_100_000, b'{"a":' + b"[]" * 1_500_000])
def test_beyond_a_bound_and_not_json(body: bytes) -> None:
    """
    Such a body has a problem, as a small one has.
    """
    assert facts(body).problem


def test_long_texts_are_not_kept() -> None:
    """
    A conversation is told from others by the digests of its long texts, and one letter makes another conversation.
    """
    bodies = [raw({"system": text * 1_000_000, "tools": [{"name": text * 1_000_000}] * 3}) for text in "ab"]
    one, two = (facts(body).opening for body in bodies)

    assert sum(map(len, one)) < 1000
    assert one != two
    assert one == facts(bodies[0]).opening


def test_metadata_that_nobody_sends_is_not_kept() -> None:
    """
    A name of a megabyte is not a user's.
    """
    assert facts(raw({"metadata": {"user_id": "u" * 1_000_000}})).user_id is None
    assert facts(raw({"metadata": {"user_id": "u" * 10_000}})).user_id == "u" * 10_000


@pytest.mark.parametrize(
    ("body", "quick"),
    [
        (raw({"system": [block()]}), True),
        (many_keys_in_input(500), True),
        (many_markers(100_000), True),
        (raw({"system": [{}] * 19_999}), True),
        (raw({"system": [{}] * 20_001}), False),
        (raw({"messages": [{"role": "user", "content": [{}] * 3000}] * 7}), False),
        (many_keys_in_input(3000), False),
        (b"", True),
    ],
)
def test_quick_facts(body: bytes, quick: bool) -> None:
    """
    A quick reading gives what the slow one gives, or gives up.
    """
    assert quick_facts(body) == (facts(body) if quick else None)


FIRST = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
CONVERSATION = {"model": "m", "system": [{"text": "s"}], "tools": [{"name": "t"}], "messages": [FIRST]}


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [FIRST, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]},
        {"messages": [{"role": "assistant", "content": "x"}, FIRST]},
        {"messages": [{**FIRST, "content": [{"type": "text", "text": "hi", MARK: BARE}]}]},
        {"system": [{"text": "s", MARK: BARE}], "tools": [{"name": "t", MARK: BARE}], MARK: BARE},
        {"stream": True, "max_tokens": 7},
    ],
)
def test_opening_stays_the_same(more: dict[str, Any]) -> None:
    """
    Neither later turns nor markers change what a conversation began with.
    """
    assert facts(raw(CONVERSATION)).opening == facts(raw({**CONVERSATION, **more})).opening


@pytest.mark.parametrize("more", [{"system": "t"}, {"tools": []}, {"messages": [{**FIRST, "content": "ho"}]}])
def test_opening_tells_conversations_apart(more: dict[str, Any]) -> None:
    """
    Another system, tool or first message is another conversation.
    """
    assert facts(raw(CONVERSATION)).opening != facts(raw({**CONVERSATION, **more})).opening


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages":[{"role":"user","content":"\\ud800"}]}'])
def test_opening_of_the_unreadable(body: bytes) -> None:
    """
    What cannot be read has no opening.
    """
    assert facts(body).opening == ()


_RESULTS = [{"type": "tool_result", "tool_use_id": "t", "content": "done"}]
_WORDS = [{"type": "text", "text": "go on"}]
RESULT = {"role": "user", "content": _RESULTS}
ANSWER = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "sh", "input": {}}]}
ASKS = {"role": "user", "content": _WORDS}
REMINDER = {"role": "system", "content": [{"type": "text", "text": "keep it short"}]}


@pytest.mark.parametrize(
    ("messages", "opens"),
    [
        ([], True),
        ([{"role": "user", "content": "hi"}], True),
        ([ASKS, ANSWER, RESULT], False),
        ([ASKS, ANSWER, RESULT, REMINDER], False),
        ([ASKS, ANSWER, {"role": "user", "content": [*_RESULTS, *_WORDS]}], False),
        ([ASKS, ANSWER, RESULT, ANSWER, ASKS], True),
        ([None, "x", ASKS], True),
        ("no list", True),
    ],
    ids=str,
)
def test_who_opens_the_turn(messages: object, opens: bool) -> None:
    """
    A person, unless a tool's result stands behind the last answer.
    """
    assert facts(msgspec.json.encode({"model": "m", "messages": messages})).opens_turn is opens
