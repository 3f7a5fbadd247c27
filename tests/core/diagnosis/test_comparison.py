"""
Two requests beside each other, as the cache sees them.
"""

import json
from collections.abc import Callable

import pytest

from savemode_cli.core.diagnosis.causes import json_path
from savemode_cli.core.diagnosis.comparison import Comparison, compare_bodies, request_problem
from savemode_cli.core.errors import BadInput
from tests.support.diagnosed import copied
from tests.support.mutations import IMAGE, conversation, marked
from tests.support.prompts import MARK, Object, encoded, result, text, tool, user


def compared(before: Object, after: Object) -> Comparison:
    """
    The comparison of two bodies.
    """
    return compare_bodies(encoded(before), encoded(after))


def places(found: Comparison) -> list[tuple[str, str, int]]:
    """
    What happened where, to how many blocks.
    """
    return [(place.kind, json_path(place.path), place.blocks) for place in found.places]


def test_the_same_request() -> None:
    """
    Breakpoints, whitespace and the order of a block's own keys are no difference.
    """
    before = conversation(2)
    after = copied(before)
    for message in after["messages"]:
        for block in message["content"]:
            block.pop("cache_control", None)
    del after["system"][1]["cache_control"]
    after["system"][0] = dict(reversed(after["system"][0].items()))
    found = compare_bodies(encoded(before), json.dumps(after, indent=2).encode())

    assert found.is_same
    assert not found.loses
    assert found.shared_blocks == found.before.blocks == found.after.blocks
    assert [len(side.breakpoints) for side in (found.before, found.after)] == [2, 0]


def test_a_conversation_that_grows() -> None:
    """
    What is appended loses nothing: all that was cached can be read.
    """
    found = compared(conversation(1), conversation(2))

    assert places(found) == [("appended", "messages[3].content[0]", 5)]
    assert not found.loses
    assert found.readable_tokens == found.shared_tokens > 3000


def change_date(body: Object) -> None:
    """
    Another day in the system prompt.
    """
    body["system"][1]["text"] = body["system"][1]["text"].replace("11-24", "11-25")


def swap_tools(body: Object) -> None:
    """
    The same tools in another order.
    """
    body["tools"].insert(0, body["tools"].pop())


def drop_answer(body: Object) -> None:
    """
    Without two messages.
    """
    del body["messages"][1:3]


def add_reminder(body: Object) -> None:
    """
    One more block in the first message.
    """
    body["messages"][0]["content"].insert(0, text("Remember the milk."))


def render_result(body: Object) -> None:
    """
    A string that became a block of text.
    """
    content = body["messages"][2]["content"]
    content[0] = result("toolu_0", [text(content[0]["content"])])


def replace_by_image(body: Object) -> None:
    """
    A text became an image, which no edit does.
    """
    body["messages"][2]["content"][1] = dict(IMAGE)


def rewrite_words(body: Object) -> None:
    """
    Other words in the middle of a text.
    """
    words = body["messages"][0]["content"][0]["text"]
    body["messages"][0]["content"][0]["text"] = words.replace("do it", "do it well", 1)


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [
        (change_date, [("edited", "system[1].text", 1)]),
        (swap_tools, [("reordered", "tools[0]", 1)]),
        (drop_answer, [("removed", "messages[1].content[1]", 5)]),
        (add_reminder, [("inserted", "messages[0].content[0]", 1)]),
        (render_result, [("re-rendered", "messages[2].content[0]", 1)]),
        (replace_by_image, [("removed", "messages[2].content[1]", 1), ("inserted", "messages[2].content[1]", 1)]),
        (rewrite_words, [("edited", "messages[0].content[0].text", 1)]),
    ],
)
def test_places(mutate: Callable[[Object], None], expected: list[tuple[str, str, int]]) -> None:
    """
    Each kind of change, with its place in the later request, or in the earlier one if it was removed.
    """
    after = conversation(2)
    mutate(after)
    found = compared(conversation(2), marked(after))

    assert places(found) == expected
    assert found.loses
    assert found.readable_tokens < found.before.tokens


def test_what_is_shown_of_a_text() -> None:
    """
    Both sides from shortly before the difference on; a breakpoint is not shown.
    """
    after = conversation(1)
    change_date(after)
    (place,) = compared(conversation(1), after).places

    assert place.excerpt is not None
    assert place.excerpt.before.startswith("Today is 2026-11-24. Read")
    assert place.excerpt.after.startswith("Today is 2026-11-25. Read")
    assert place.values_only
    (added,) = compared(conversation(0), conversation(1)).places
    assert added.excerpt is not None
    assert "cache_control" not in added.excerpt.after


def test_parameters() -> None:
    """
    Each once, at the first level that it loses.
    """
    after = {**conversation(1), "thinking": {"type": "disabled"}, "tool_choice": {"type": "any"}, "speed": "fast"}
    found = compared(conversation(1), after)
    named = {change.name: (change.level, change.before, change.after) for change in found.parameters}

    assert named["speed"] == ("system", "standard", "fast")
    assert named["tool_choice"][0] == "messages"
    assert set(named) == {"speed", "tool_choice", "thinking"}
    assert (found.places, found.loses, found.is_same) == ((), True, False)


def test_another_model() -> None:
    """
    It loses everything.
    """
    found = compared(conversation(1), {**conversation(1), "model": "claude-sonnet-5"})

    assert [(change.name, change.level) for change in found.parameters] == [("model", "tools")]
    assert found.readable_tokens == 0


def test_a_block_that_occurs_twice() -> None:
    """
    One more copy of a block is inserted, and not moved.
    """
    before = {"model": "claude-opus-5-5", "messages": [user(text("a"), text("b"), text("c", **MARK))]}
    after = {"model": "claude-opus-5-5", "messages": [user(text("c"), text("a"), text("b"), text("c", **MARK))]}

    assert places(compared(before, after)) == [("inserted", "messages[0].content[0]", 1)]


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'{"model": "m", "messages": 3}'])
def test_what_is_no_request(body: bytes) -> None:
    """
    It is an error with words.
    """
    assert request_problem(body)
    assert not request_problem(encoded(conversation(0)))
    with pytest.raises(BadInput):
        compare_bodies(encoded(conversation(0)), body)


def test_too_many_blocks() -> None:
    """
    It is said, and not guessed.
    """
    body = {"model": "m", "tools": [tool("read", 1)], "messages": [user(*[text("a")] * 9000)]}

    assert "8,192 blocks" in request_problem(encoded(body))
