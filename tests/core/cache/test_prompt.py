"""
What the prompt cache sees of a request body.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.cache.prompt import Mark, Prompt, prompt_of
from savemode_cli.core.cache.tokens import TokenEstimate
from savemode_cli.core.errors import BadInput
from tests.support.calibrated import stretch_of

FIVE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def text(words: str, **more: Any) -> dict[str, Any]:
    """
    A block of text.
    """
    return {"type": "text", "text": words, **more}


def user(*blocks: Any) -> dict[str, Any]:
    """
    A message of a person.
    """
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    """
    A message of the model.
    """
    return {"role": "assistant", "content": list(blocks)}


def call(name: str = "a", **more: Any) -> dict[str, Any]:
    """
    A call of a tool.
    """
    return {"type": "tool_use", "id": name, "name": "read", "input": {"path": name, "limit": 1}, **more}


def result(name: str = "a", content: Any = "done", **more: Any) -> dict[str, Any]:
    """
    The result of a call.
    """
    return {"type": "tool_result", "tool_use_id": name, "content": content, **more}


def a_body(**differences: Any) -> dict[str, Any]:
    """
    A small request with something on every level.
    """
    body: dict[str, Any] = {
        "model": "claude-opus-5-5",
        "max_tokens": 100,
        "tools": [{"name": "read", "description": "Reads.", "input_schema": {"type": "object"}}],
        "system": [text("Be good.")],
        "messages": [user(text("one")), assistant(text("two"), call()), user(result())],
    }
    return {key: value for key, value in (body | differences).items() if value is not None}


def read(body: dict[str, Any]) -> Prompt:
    """
    The prompt of a body written the usual way.
    """
    return prompt_of(json.dumps(body).encode())


TOOL, SYSTEM, ONE, TWO, CALL, RESULT = range(6)


def kept(changed: dict[str, Any]) -> int:
    """
    How many leading blocks of the usual prompt a changed body still has.
    """
    pairs = zip(read(a_body()).chain, read(changed).chain, strict=False)
    return sum(1 for before, after in pairs if before == after)


def test_blocks_stand_in_evaluation_order() -> None:
    """
    Tools, system, messages, whatever the order of the keys. Source: WIRE 1.5, the API's own error text.
    """
    body = a_body()
    backwards = dict(reversed(body.items()))

    assert read(body).kinds == ("tool", "text", "text", "text", "data", "data")
    assert read(backwards) == read(body)


def test_nested_content_stands_before_its_block() -> None:
    """
    Blocks in a tool's result, or in a document, are evaluated before what holds them.
    """
    document = {"type": "document", "source": {"type": "content", "content": [text("page", cache_control=FIVE)]}}
    prompt = read(a_body(messages=[user(result(content=[text("x" * 90, cache_control=HOUR), text("y")]), document)]))

    assert prompt.kinds[2:] == ("data", "data", "data", "text", "document")
    assert prompt.sizes[2:4] == (90, 1)
    assert prompt.marks == (Mark(2, "1h"), Mark(5, "5m"))


def test_markers_are_explicit_nested_and_automatic() -> None:
    """
    In order of evaluation, each with its lifetime; automatic caching marks the last block that can carry a marker.
    """
    body = a_body(
        cache_control=FIVE,
        tools=[{"name": "t", "cache_control": HOUR}],
        system=[text("s", cache_control={"type": "ephemeral", "ttl": "5m"})],
        messages=[user(text("q")), assistant(text("a"), {"type": "thinking", "thinking": "hm", "signature": "s"})],
    )

    assert read(body).marks == (Mark(0, "1h"), Mark(1, "5m"), Mark(3, "5m"))


@pytest.mark.parametrize(
    "control", [None, {"type": "persistent"}, {"type": "ephemeral", "ttl": "2h"}, "ephemeral", 7, [], {"ttl": "1h"}]
)
def test_what_the_api_refuses_or_ignores_is_no_breakpoint(control: Any) -> None:
    """
    Nothing is cached at a marker that means nothing; saying so to the client is not this module's business.
    """
    assert read(a_body(system=[text("s", cache_control=control)])).marks == ()


def test_thinking_and_empty_text_carry_no_breakpoint() -> None:
    """
    The API answers 400 for both.
    """
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s", "cache_control": FIVE}
    prompt = read(a_body(messages=[assistant(thinking), user(text("", cache_control=FIVE))]))

    assert prompt.marks == ()


def test_automatic_caching_marks_a_message_that_is_a_string() -> None:
    """
    A string is short for one block of text, and is the same prompt.
    """
    short = read(a_body(cache_control=HOUR, messages=[{"role": "user", "content": "hello"}]))

    assert short.marks == (Mark(2, "1h"),)
    assert short.chain == read(a_body(messages=[user(text("hello"))])).chain


def test_automatic_caching_adds_nothing_where_the_last_block_is_marked() -> None:
    """
    The same TTL there has no effect; another one the API refuses.
    """
    prompt = read(a_body(cache_control=HOUR, messages=[user(text("hello", cache_control=HOUR))]))

    assert prompt.marks == (Mark(2, "1h"),)


def test_automatic_caching_of_nothing_marks_nothing() -> None:
    """
    A body without blocks has no place for a breakpoint.
    """
    prompt = read({"model": "m", "messages": [], "cache_control": FIVE})

    assert prompt.marks == ()
    assert prompt.total_tokens == 2


def test_markers_are_not_content() -> None:
    """
    Moving, adding or removing markers changes no digest.
    """
    marked = a_body(cache_control=HOUR, system=[text("Be good.", cache_control=FIVE)])
    marked["messages"][1]["content"][1]["cache_control"] = None
    marked["messages"][2]["content"][0]["cache_control"] = {"type": "ephemeral", "scope": "global"}

    assert read(marked).chain == read(a_body()).chain


def test_a_marker_inside_the_users_data_is_content() -> None:
    """
    A key of that name in a tool's input is data: it counts, and it marks nothing.
    """
    changed = a_body(messages=[user(text("one")), assistant(text("two"), call(input={"cache_control": FIVE}))])

    assert kept(changed) == CALL
    assert read(changed).marks == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"Be good."', ' "Be good." '),
        ('"Be good."', '"Be \\u0067ood."'),
        ('"Be good."', '"Be g\\u006f\\u006Fd."'),
        ('{"path": "a", "limit": 1}', '{ "path" :"a","limit":1}'),
        ('{"type": "text", "text": "one"}', '{"text": "one", "type": "text"}'),
    ],
)
def test_spelling_is_not_content(before: str, after: str) -> None:
    """
    Whitespace, escapes and the order of a block's own keys do not reach the cache.
    """
    body = json.dumps(a_body())

    assert before in body
    assert prompt_of(body.replace(before, after).encode()).chain == read(a_body()).chain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"/ \\\\/ é 😀 \\n \\u0001"', '"\\/ \\\\\\/ \\u00e9 \\ud83d\\ude00 \\n \\u0001"'),
        ('"\\\\u0041"', '"\\u005cu0041"'),
        ('"\\u001b[0m"', '"\\u001B[0m"'),
        ('"\\n"', '"\\u000a"'),
        ('"\\\\u0041B/"', '"\\\\u0041\\u0042\\/"'),
        ('"\\\\/B"', '"\\\\/\\u0042"'),
        ('"\\\\\\\\AB"', '"\\\\\\\\\\u0041\\u0042"'),
    ],
)
def test_every_way_to_escape_a_character_is_the_same_content(one: str, other: str) -> None:
    """
    Clients differ in what they escape; the API reads the text.
    """
    body = '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":%s}]}]}'

    assert json.loads(one) == json.loads(other)
    assert prompt_of((body % one).encode()).chain == prompt_of((body % other).encode()).chain


@pytest.mark.parametrize("half", [b"\\ud83d", b"\\ude00", b"\\ud83dx", b"\\ud83d\\u0041"])
@pytest.mark.parametrize("place", [b'"type":"text","text":"%b"', b'"type":"tool_use","id":"a","input":{"a":"%b"}'])
def test_half_a_surrogate_pair_is_refused(half: bytes, place: bytes) -> None:
    """
    It is no character, so nothing that the API could read and cache.
    """
    with pytest.raises(BadInput):
        prompt_of(b'{"model":"m","messages":[{"role":"user","content":[{%b}]}]}' % (place % half))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"path": "a", "limit": 1}', '{"limit": 1, "path": "a"}'),
        ('"limit": 1', '"limit": 1.0'),
        ('"limit": 1', '"limit": 100000000000000000000000001'),
        ('"limit": 1', '"limit": 1, "limit": 1'),
    ],
)
def test_what_stands_in_an_input_counts_as_it_was_sent(before: str, after: str) -> None:
    """
    The order of keys in a tool's input matters (WIRE 1.8), and no number is read and written again.
    """
    body = json.dumps(a_body())

    assert before in body
    pairs = zip(read(a_body()).chain, prompt_of(body.replace(before, after).encode()).chain, strict=True)
    assert [first == second for first, second in pairs] == [True] * CALL + [False] * 2


def test_big_numbers_differ_in_every_digit() -> None:
    """
    Past what a float can tell apart, too.
    """
    one, other = (a_body(messages=[assistant(call(input={"n": 10**40 + n}))]) for n in (0, 1))

    assert read(one).chain[-1] != read(other).chain[-1]


@pytest.mark.parametrize(
    ("change", "blocks_kept"),
    [
        ({"model": "claude-opus-5"}, 0),
        ({"tools": [{"name": "read", "description": "Reads!", "input_schema": {"type": "object"}}]}, 0),
        ({"tools": None}, 0),
        ({"speed": "fast"}, SYSTEM),
        ({"system": [text("Be bad.")]}, SYSTEM),
        ({"tool_choice": {"type": "any"}}, ONE),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, ONE),
        ({"thinking": {"type": "adaptive"}}, ONE),
        ({"output_config": {"effort": "low"}}, ONE),
        ({"tool_choice": {"type": "auto"}}, 6),
        ({"max_tokens": 7, "temperature": 0.5, "metadata": {"user_id": "x"}, "stream": True}, 6),
        ({"output_config": {"task_budget": 1}}, 6),
    ],
)
def test_a_change_loses_the_levels_it_is_part_of(change: dict[str, Any], blocks_kept: int) -> None:
    """
    WIRE 1.8, row by row: what of the prefix is left after each change.
    """
    assert kept(a_body(**change)) == blocks_kept


def test_web_search_is_switched_without_losing_the_tools() -> None:
    """
    Turning it on keeps what is cached of the tools before it, and loses system and messages.
    """
    search = {"type": "web_search_20260209", "name": "web_search"}

    assert kept(a_body(tools=[*a_body()["tools"], search])) == SYSTEM
    assert read(a_body(tools=[*a_body()["tools"], search])).chain[0] == read(a_body()).chain[0]


def test_citations_are_switched_without_losing_the_tools() -> None:
    """
    A document with citations on loses system and messages.
    """
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "page"}}
    plain, cited = (
        read(a_body(messages=[user(document | {"citations": {"enabled": on}})])).chain for on in (False, True)
    )

    assert plain[TOOL] == cited[TOOL]
    assert plain[SYSTEM] != cited[SYSTEM]


@pytest.mark.parametrize("nested", [False, True])
def test_the_first_image_loses_the_messages(nested: bool) -> None:
    """
    Images present or absent: tools and system are kept, the messages are not, wherever the image is.
    """
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    more = result("b", [image]) if nested else image
    with_image = a_body(messages=[*a_body()["messages"], user(more)])

    assert kept(with_image) == ONE


def test_a_message_boundary_within_one_role_is_not_content() -> None:
    """
    The API reads neighbouring messages of one role as one turn.
    """
    apart = read(a_body(messages=[user(text("a")), user(text("b"))]))

    assert apart.chain == read(a_body(messages=[user(text("a"), text("b"))])).chain
    assert apart.chain != read(a_body(messages=[user(text("a")), assistant(text("b"))])).chain


def test_what_is_nested_is_not_what_stands_beside() -> None:
    """
    A text inside a result and the same text before it are two prompts.
    """
    inside = read(a_body(messages=[user(result(content=[text("x")]))]))
    beside = read(a_body(messages=[user(text("x"), {"type": "tool_result", "tool_use_id": "a"})]))

    assert inside.chain[-1] != beside.chain[-1]


@pytest.mark.parametrize(("model", "forgets"), [("claude-sonnet-4-5-20250929", True), ("claude-opus-4-5", False)])
def test_older_models_forget_thinking_when_a_person_speaks(model: str, forgets: bool) -> None:
    """
    Earlier thinking is stripped from there on, so the cache of the messages is lost from the first of it (WIRE 1.8).
    """
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    turn = [user(text("one")), assistant(thinking, call()), user(result())]
    during, after = (read(a_body(model=model, messages=messages)) for messages in (turn, [*turn, user(text("two"))]))

    assert "thinking" in during.kinds
    assert ("thinking" in after.kinds) is not forgets
    assert (during.chain[:6] == after.chain[:6]) is not forgets
    assert during.chain[: ONE + 1] == after.chain[: ONE + 1]


def test_older_models_keep_thinking_where_no_person_spoke() -> None:
    """
    A conversation that holds only answers to calls has nothing to strip.
    """
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    prompt = read({"model": "claude-sonnet-4-0", "messages": [assistant(thinking, call()), user(result())]})

    assert prompt.kinds == ("thinking", "data", "data")


def test_an_empty_string_is_no_block() -> None:
    """
    Neither a system prompt nor a message of no text has a place in the chain.
    """
    assert read({"model": "m", "system": "", "messages": [{"role": "user", "content": ""}]}).chain == ()


def test_a_stretch_holds_the_sizes_of_its_blocks() -> None:
    """
    What calibration is given: bytes and blocks of each kind, of some of the blocks.
    """
    stretch = stretch_of(read(a_body()), SYSTEM, CALL)

    assert stretch.sizes["text"] == len("Be good.onetwo")
    assert stretch.blocks == {"text": 3, "data": 0, "tool": 0, "thinking": 0, "document": 0, "image": 0}


def test_runs_of_calls_and_of_results_are_one_position() -> None:
    """
    Source: WIRE 1.4. What is nested in a result is a position of its own, and parts the run it stands in.
    """
    messages = [
        user(text("q")),
        assistant(text("a"), call("1"), call("2"), call("3")),
        user(result("1"), result("2", [text("x"), text("y")]), result("3"), text("and")),
        assistant(call("4"), text("b"), call("5")),
    ]
    prompt = read(a_body(tools=None, system=None, messages=messages))

    assert prompt.positions == (0, 1, 2, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10)


@pytest.mark.parametrize(
    ("block", "kind", "size"),
    [
        (text("naïve"), "text", 6),
        (text("a\nb"), "text", 3),
        ({"type": "thinking", "thinking": "four", "signature": "x" * 100}, "thinking", 4),
        ({"type": "thinking", "thinking": "", "signature": "x" * 100}, "thinking", 50),
        ({"type": "redacted_thinking", "data": "x" * 100}, "thinking", 50),
        ({"type": "image", "source": {"type": "url", "url": "https://example.com/x.png"}}, "image", 0),
        ({"type": "document", "source": {"type": "base64", "data": "x" * 40}}, "document", 40),
        ({"type": "document", "source": {"type": "text", "data": "x" * 40}}, "text", 40),
        ({"type": "document", "source": "?"}, "document", 0),
        ({"type": "document", "source": {"type": "content", "meta": {"content": [{}]}}}, "document", 0),
        ({"type": "tool_use", "id": "1", "name": "n", "input": {"a": 1}}, "data", 10),
        ({"type": "tool_result", "tool_use_id": "1"}, "data", 0),
        ({"type": "tool_result", "tool_use_id": "1", "content": "four"}, "data", 4),
        ({"type": "tool_result", "tool_use_id": "1", "content": []}, "data", 0),
        ({"type": "never seen", "value": [1]}, "data", 3),
        ({}, "data", 0),
    ],
)
def test_blocks_are_measured_by_kind(block: dict[str, Any], kind: str, size: int) -> None:
    """
    Bytes of UTF-8 that the model is shown; of withheld thinking, what its signature suggests.
    """
    prompt = read({"model": "m", "messages": [user(block)]})

    assert (kind, size) == (prompt.kinds[0], prompt.sizes[0])


def test_tokens_are_counted_by_prefix() -> None:
    """
    Each block's prefix ends where the next begins, and the tail stands behind the last.
    """
    one = TokenEstimate(text=1, data=1, tool=1, block_tokens=0, tail_tokens=3)
    body = json.dumps({"model": "m", "messages": [user(text("four"), text("sixsix"))]}).encode()
    prompt = prompt_of(body, one)

    assert prompt.prefix_tokens == (4, 10)
    assert prompt.total_tokens == 13
    assert [prompt.tokens_before(end) for end in range(3)] == [0, 4, 10]
    assert prompt_of(body).estimated(one) == prompt


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"[]",
        b"{}",
        b'{"model":"m"}',
        b'{"model":1,"messages":[]}',
        b'{"model":"m","messages":{}}',
        b'{"model":"m","messages":[{"role":"user"}]}',
        b'{"model":"m","messages":[{"role":"user","content":[1]}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","messages":[],"tools":[1]}',
        b'{"model":"m","messages":[{"role":"user","content":[%s1%s]}]}' % (b"[" * 10_000, b"]" * 10_000),
    ],
)
def test_what_is_no_messages_call_is_refused(body: bytes) -> None:
    """
    A body that holds no prompt is bad input, whatever is wrong with it.
    """
    with pytest.raises(BadInput):
        prompt_of(body)
