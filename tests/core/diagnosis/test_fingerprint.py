"""
Fingerprints: prompts without their text.
"""

from typing import Any

import pytest

from savemode_cli.core.cache.prompt import prompt_from
from savemode_cli.core.diagnosis.fingerprint import MAX_BLOCKS, fingerprint_of, shared_blocks
from tests.support.prompts import (
    HOUR,
    MARK,
    assistant,
    blocks_of,
    call,
    fingerprinted,
    result,
    text,
    tool,
    user,
)

SECRET = "correct horse battery staple"
BODY: dict[str, Any] = {
    "tools": [tool("read"), tool("write")],
    "system": [text("Be good. " * 400, **HOUR)],
    "messages": [
        user(text(f"one {SECRET}"), text("two")),
        assistant({"type": "thinking", "thinking": "hm", "signature": "s"}, call("a")),
        user(result("a", [text("done"), {"type": "image", "source": {"type": "url", "url": "u"}}], **MARK)),
    ],
}


def test_every_block_keeps_its_place_type_and_size() -> None:
    """
    In evaluation order, with paths through the body.
    """
    found = fingerprinted(BODY)
    positions = [found.position(block) for block in range(found.blocks)]

    assert [(one.type, one.path) for one in positions] == [
        ("tool", ("tools", 0)),
        ("tool", ("tools", 1)),
        ("text", ("system", 0)),
        ("text", ("messages", 0, "content", 0)),
        ("text", ("messages", 0, "content", 1)),
        ("thinking", ("messages", 1, "content", 0)),
        ("tool_use", ("messages", 1, "content", 1)),
        ("text", ("messages", 2, "content", 0, "content", 0)),
        ("image", ("messages", 2, "content", 0, "content", 1)),
        ("tool_result", ("messages", 2, "content", 0)),
    ]
    assert [found.level(block) for block in (0, 1, 2, 3, 9)] == [0, 0, 1, 2, 2]
    assert found.opening == 5
    assert found.prefix_tokens()[-1] == found.total_tokens - 2
    assert found.asked_tokens == found.prefix_tokens()[5]


def test_entries_are_the_breakpoints() -> None:
    """
    With the digests that the model of the cache finds them by.
    """
    request = blocks_of(**BODY)
    prompt, found = prompt_from(request), fingerprinted(BODY)

    assert [(entry.block, entry.lifetime) for entry in found.entries] == [(2, "1h"), (9, "5m")]
    assert [entry.digest for entry in found.entries] == [prompt.chain[2][:8], prompt.chain[9][:8]]
    assert [entry.tokens for entry in found.entries] == [prompt.prefix_tokens[2], prompt.prefix_tokens[9]]


def test_strings_and_documents_have_places() -> None:
    """
    A string is its own place; what is inside a document's source says so.
    """
    document = {"type": "document", "source": {"type": "content", "content": [text("page")]}}
    found = fingerprinted({"system": "Be good.", "messages": [{"role": "user", "content": "hi"}, user(document)]})

    assert [found.position(block).path for block in range(found.blocks)] == [
        ("system",),
        ("messages", 0, "content"),
        ("messages", 1, "content", 0, "source", "content", 0),
        ("messages", 1, "content", 0),
    ]


def test_web_search_is_a_parameter_and_not_a_block() -> None:
    """
    Its definition is not hashed with the tools; a breakpoint on it is one on the tool before it.
    """
    search = {"type": "web_search_20250305", "name": "web_search", **MARK}
    found = fingerprinted({**BODY, "tools": [tool("read"), search]})
    plain = fingerprinted({**BODY, "tools": [tool("read")]})

    assert found.tools == plain.tools == 1
    assert found.entries[0].block == 0
    assert shared_blocks(found, plain) == plain.blocks
    assert found.parameters[1] != plain.parameters[1]
    assert fingerprinted({"tools": [search]}).entries == ()


@pytest.mark.parametrize(
    ("changed", "shared"),
    [
        ({}, 10),
        ({"tools": [tool("write"), tool("read")]}, 0),
        ({"system": [text("Be bad.")]}, 2),
        ({"messages": BODY["messages"][:2]}, 7),
        ({"model": "claude-opus-4-8", "tool_choice": {"type": "any"}}, 10),
    ],
)
def test_what_two_prompts_have_in_common(changed: dict[str, Any], shared: int) -> None:
    """
    Content alone: parameters and models are compared apart.
    """
    assert shared_blocks(fingerprinted(BODY), fingerprinted({**BODY, **changed})) == shared
    assert shared_blocks(fingerprinted({**BODY, **changed}), fingerprinted(BODY)) == shared


def conversation(turns: int, last: str = "") -> dict[str, Any]:
    """
    A conversation of so many turns of two blocks.
    """
    messages = [part for turn in range(turns) for part in (assistant(call(f"{turn}")), user(result(f"{turn}", "x")))]
    return {"messages": [user(text("go")), *messages, user(text(last))]}


def test_equal_segments_are_shared() -> None:
    """
    With the earlier prompt that has most of them; what is compared is the same as without.
    """
    first, other = fingerprinted(conversation(60)), fingerprinted({"messages": [user(text("new"))]})
    grown = fingerprinted(conversation(64), other, first, other)
    alone = fingerprinted(conversation(64))

    assert grown == alone
    assert len({id(one) for one in first.segments()} & {id(one) for one in grown.segments()}) == 2 * 3
    assert shared_blocks(first, grown) == 121


def test_no_text_is_kept() -> None:
    """
    Neither texts nor names of tools, nor a schema in a parameter.
    """
    schema = {"type": "json_schema", "schema": {"properties": {SECRET: {}}}}
    found = fingerprinted(
        {**BODY, "output_config": {"format": schema, "effort": "low"}, "metadata": {"user_id": SECRET}}
    )

    assert SECRET not in repr(found)
    assert ("effort", '"low"') in found.parameters[2]


def test_a_compacted_history_is_known_by_its_first_message() -> None:
    """
    By Claude Code's sentence, or the API's own block.
    """
    said = "This session is being continued from a previous conversation that ran out of context. Summary: ..."

    assert fingerprinted({"messages": [user(text("reminder"), text(said))]}).compacted
    assert fingerprinted({"messages": [assistant({"type": "compaction", "content": "..."})]}).compacted
    assert not fingerprinted({"messages": [user(text("go on")), assistant(text("yes")), user(text(said))]}).compacted


@pytest.mark.parametrize(
    ("messages", "before"),
    [
        ([user(text("one"))], 0),
        ([user(text("one")), assistant(text("{"))], 0),
        ([user(text("one")), assistant(text("two")), user(text("three"))], 1),
        ([user(text("one")), assistant(text("two")), user(text("three")), assistant(text("{"))], 1),
        ([user(text("one")), assistant(text("two"), call("a")), user(result("a", "x")), user(text("more"))], 1),
        ([assistant(text("two")), user(text("three"))], 0),
    ],
)
def test_the_request_before_is_what_was_asked_for_the_last_answer(messages: list[Any], before: int) -> None:
    """
    An answer at the end is one to be continued, and tells of no request before.
    """
    found = fingerprinted({"messages": messages})

    assert found.asked_tokens == found.prefix_tokens()[before]


def test_a_prompt_of_too_many_blocks_has_no_fingerprint() -> None:
    """
    What it takes is bounded.
    """
    request = blocks_of(messages=[user(*([text("x")] * (MAX_BLOCKS + 1)))])

    assert fingerprint_of(request, prompt_from(request)) is None
