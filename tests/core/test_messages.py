"""
The API's shape: what is read from a body, which shapes are refused, and that no shape is expensive.
"""

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from savemode_cli.core.caller import Caller
from savemode_cli.core.messages import (
    EXTENDED_TTL_BETA,
    Facts,
    Path,
    blames_cache_control,
    dotted,
    error_body,
    facts,
    may_have_breakpoints,
    order_errors,
    with_beta,
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


ONE_KEY = b'{"system":[{"type":"text","text":"x",%b}]}'


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


def many_blocks(count: int) -> bytes:
    """
    Tiny blocks, of which every tenth is nested and the last is marked.
    """
    small: list[Any] = [{"type": "text"}, *[{}] * 8, {"content": [{}]}]
    return raw({"system": [*small * (count // 10), block()]})


def many_markers(count: int) -> bytes:
    """
    Nothing but marked blocks.
    """
    return raw({MARK: BARE, "messages": [{"role": "user", "content": [block()] * count}]})


def many_decoys(count: int) -> bytes:
    """
    One text full of what looks like markers.
    """
    return raw({"system": [block(text='"cache_control":{"type":"ephemeral"} "cache_control" ' * count)]})


def many_keys_in_input(count: int) -> bytes:
    """
    Real keys of the marker's name in the user's own data.
    """
    return raw({"messages": [{"content": [{"type": "tool_use", "input": [{MARK: BARE}] * count}, block()]}]})


def many_unknown_places(count: int) -> bytes:
    """
    Markers where nobody documents one.
    """
    return raw({"system": [block(), block(extra=[{MARK: BARE}] * count)]})


def many_hidden(count: int) -> bytes:
    """
    One key over and over in one object.
    """
    return b'{"system":[{%b}]}' % b",".join([BARE_KEY] * count)


def many_open_markers(count: int) -> bytes:
    """
    Long markers that never become a flat object.
    """
    return raw({"system": [block(cache_control={"a": "x{" * 200, "b": {}})] * count})


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
    ("bodies", "count", "expected"),
    [
        (many_blocks, 100_000, ["system.100000"]),
        (many_decoys, 10_000, ["system.0"]),
        (many_keys_in_input, 10_000, ["messages.0.content.1"]),
        (many_unknown_places, 10_000, ["system.0"]),
        (many_hidden, 10_000, []),
    ],
)
def test_crowd(bodies: Callable[[int], bytes], count: int, expected: list[str]) -> None:
    """
    The one marker is found in any crowd.
    """
    done = transform(bodies(count), Policy("always"), PERSON)

    assert expected == [dotted(edit.path[:-2]) for edit in done.edits]


def sentence(place: str) -> str:
    """
    What the API answers, as clients have reported it.
    """
    return (
        f"{place}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
        "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
    )


@pytest.mark.parametrize(
    ("lifetimes", "places"),
    [
        ([], []),
        ([(("tools", 0), "1h"), (("system", 0), "5m")], []),
        ([(("tools", 0), None), (("system", 0), "1h")], []),
        ([(("tools", 0), "5m"), (("messages", 0, "content", 4), "1h")], ["messages.0.content.4"]),
        ([(("tools", 0), "5m"), (("system", 0), None), (("system", 1), "1h")], ["system.1"]),
        ([(("system", 0), "5m"), (("system", 1), "1h"), (("system", 2), "1h")], ["system.1", "system.2"]),
    ],
)
def test_order_errors(lifetimes: list[tuple[Path, str | None]], places: list[str]) -> None:
    """
    Each 1-hour breakpoint behind a 5-minute one gets the API's own sentence.
    """
    assert [sentence(place) for place in places] == order_errors(lifetimes)


def test_order_error_of_the_request() -> None:
    """
    The request's own marker has no path before its name.
    """
    (error,) = order_errors([(("system", 0), "5m"), ((), "1h")])

    assert error.startswith("cache_control.ttl: a ttl='1h' ")


@pytest.mark.parametrize(
    ("path", "expected"),
    [((), "(request)"), (("tools", 0), "tools.0"), (("messages", 0, "content"), "messages.0.content")],
)
def test_dotted(path: Path, expected: str) -> None:
    """
    Dots between the steps, and a name for the request.
    """
    assert expected == dotted(path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, EXTENDED_TTL_BETA),
        ("", EXTENDED_TTL_BETA),
        ("  ", EXTENDED_TTL_BETA),
        ("a", f"a,{EXTENDED_TTL_BETA}"),
        ("a, b", f"a, b,{EXTENDED_TTL_BETA}"),
        (EXTENDED_TTL_BETA, EXTENDED_TTL_BETA),
        (f"a , {EXTENDED_TTL_BETA} ,b", f"a , {EXTENDED_TTL_BETA} ,b"),
        (f"{EXTENDED_TTL_BETA}x", f"{EXTENDED_TTL_BETA}x,{EXTENDED_TTL_BETA}"),
    ],
)
def test_with_beta(value: str | None, expected: str) -> None:
    """
    The name is appended once, and what stands there is kept as it is spelled.
    """
    assert expected == with_beta(value)


def test_error_body() -> None:
    """
    The envelope is the API's.
    """
    assert json.loads(error_body("budget_exceeded", 'no "more"', "req_1")) == {
        "type": "error",
        "error": {"type": "budget_exceeded", "message": 'no "more"'},
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    ("answer", "blamed"),
    [
        (error_body("invalid_request_error", sentence("system.1"), "r"), True),
        (error_body("invalid_request_error", "tools.0.cache_control: Extra inputs are not permitted", "r"), True),
        (error_body("invalid_request_error", "unknown ttl", "r"), True),
        (error_body("invalid_request_error", "a little battle", "r"), False),
        (error_body("invalid_request_error", "max_tokens: too large", "cache_control"), False),
        (b'{"error":{"message":7}}', False),
        (b'{"error":"cache_control"}', True),
        (b'{"error":[]}', False),
        (b"[]", False),
        (b"<html>cache_control</html>", True),
        (b"\xff ttl", True),
        (b"[" * 100_000, False),
        (b"", False),
    ],
)
def test_blames_cache_control(answer: bytes, blamed: bool) -> None:
    """
    The message is asked where there is one, else the whole answer; `ttl` only as a word.
    """
    assert blames_cache_control(answer) == blamed


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
