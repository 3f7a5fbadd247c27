"""
What a body names and the API adds, read out of whole bodies.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.wire.additions import (
    BUILT_IN_TOOL_TOKENS,
    IMAGE_TOKENS,
    TOOLS_TOKENS,
    UNREAD,
    Additions,
    Fallback,
)
from savemode_cli.core.wire.facts import facts


def added(**more: Any) -> Additions:
    """
    What the API adds to a body with these fields.
    """
    body = {"model": "claude-opus-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **more}
    known = facts(json.dumps(body).encode())
    assert not known.problem
    return known.added


def said(*blocks: Any) -> Additions:
    """
    The same for a body whose first message has these blocks.
    """
    return added(messages=[{"role": "user", "content": list(blocks)}])


def block(kind: str, **source: Any) -> dict[str, Any]:
    """
    A block with a source.
    """
    return {"type": kind, "source": source}


FILE = block("document", type="file", file_id="file_1")
LONG = "x" * 70_000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Additions()),
        (
            {"thread": None, "container": None, "fallbacks": None, "compaction": None, "context_management": None},
            Additions(),
        ),
        ({"thread": {"type": "create"}}, Additions(thread="create")),
        (
            {"thread": {"type": "continue", "previous_message_id": "msg_1"}},
            Additions(thread="continue", previous_id="msg_1"),
        ),
        ({"thread": {"type": "continue"}}, Additions(thread="continue")),
        ({"thread": {"type": "continue", "previous_message_id": 7}}, Additions(thread="continue")),
        ({"thread": {"type": "continue", "previous_message_id": "x" * 300}}, Additions(thread="continue")),
        ({"thread": {"type": "resume"}}, Additions(thread="continue", unread=True)),
        ({"thread": "msg_1"}, Additions(thread="continue", unread=True)),
        ({"thread": {"type": "create", "x": LONG}}, UNREAD),
        ({"container": "container_1"}, Additions(container=True)),
        ({"container": {"id": "container_1"}}, Additions(container=True)),
        ({"container": {"id": None, "skills": [{"type": "anthropic", "skill_id": "pdf"}]}}, Additions(container=True)),
        ({"container": {"id": None, "skills": []}}, Additions()),
        ({"container": LONG}, Additions(container=True)),
        ({"fallbacks": []}, Additions()),
        ({"fallbacks": "default"}, Additions(fallbacks=(Fallback(),))),
        (
            {"fallbacks": [{"model": "m", "max_tokens": 5, "speed": "fast"}, {"model": "n", "max_tokens": None}]},
            Additions(fallbacks=(Fallback("m", 5, fast=True), Fallback("n"))),
        ),
        (
            {"fallbacks": ["m", {"model": 7, "max_tokens": True}]},
            Additions(fallbacks=(Fallback(), Fallback())),
        ),
        ({"fallbacks": LONG}, UNREAD),
        ({"compaction": {"type": "summarize"}}, Additions(compacts=True)),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, Additions(compacts=True)),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015"}, 7]}}, Additions()),
        ({"context_management": {"edits": 7}}, Additions()),
        ({"tools": []}, Additions()),
        ({"tools": [{"name": "a"}, {"type": "custom", "name": "b"}]}, Additions(tokens=TOOLS_TOKENS)),
        (
            {"tools": [{"type": "bash_20250124", "name": "bash"}, {"name": "a"}]},
            Additions(tokens=TOOLS_TOKENS + BUILT_IN_TOOL_TOKENS),
        ),
        # Named, and not part of the prompt.
        ({"diagnostics": {"previous_message_id": "msg_1"}}, Additions()),
        ({"metadata": {"user_id": "file_id"}}, Additions()),
    ],
)
def test_fields(fields: dict[str, Any], expected: Additions) -> None:
    """
    The request's own fields.
    """
    assert added(**fields) == expected


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([FILE], Additions(files=("file_1",))),
        ([FILE, FILE, block("image", type="file", file_id="file_2")], Additions(files=("file_1", "file_2"))),
        ([{"type": "container_upload", "file_id": "file_1"}], Additions(files=("file_1",))),
        ([block("document", type="file", file_id=7)], UNREAD),
        ([block("document", type="file", file_id=LONG)], UNREAD),
        ([block("document", type="url", url="https://example.com/a.pdf")], Additions(documents=True)),
        ([block("document", type="base64", media_type="application/pdf", data="JVBE")], Additions(documents=True)),
        ([block("document", type="moon")], Additions(documents=True)),
        ([block("document", type="text", media_type="text/plain", data="hello")], Additions()),
        ([block("image", type="base64", media_type="image/png", data="iVBO")], Additions(tokens=IMAGE_TOKENS)),
        ([block("image", type="url", url="https://example.com/a.png")] * 3, Additions(tokens=3 * IMAGE_TOKENS)),
        # What a tool has made is named in its result, and read only if somebody asks for it.
        ([{"type": "code_execution_output", "file_id": "file_1"}], Additions()),
        ([{"type": "search_result", "source": "https://example.com", "content": []}], Additions()),
        ([{"type": "text", "text": '"file_id":"file_1"'}], Additions()),
        ([{"type": "tool_use", "id": "t", "name": "n", "input": FILE}], Additions()),
    ],
)
def test_blocks(blocks: list[Any], expected: Additions) -> None:
    """
    Blocks of messages, and the same inside a tool's result and inside a document.
    """
    assert said(*blocks) == expected
    assert said({"type": "tool_result", "tool_use_id": "t", "content": blocks}) == expected
    assert said({"type": "document", "source": {"type": "content", "content": blocks}}) == expected


def test_names_that_are_spelled_with_escapes() -> None:
    """
    JSON has several spellings of one name.
    """
    body = rb'{"thr\u0065ad":{"type":"continue","previous_message_id":"msg\u005f1"},"messages":[{"role":"user",'
    body += rb'"content":[{"type":"document","sourc\u0065":{"type":"file","file\u005fid":"file_1"}}]}]}'

    assert facts(body).added == Additions(thread="continue", previous_id="msg_1", files=("file_1",))


def test_body_that_is_not_looked_through() -> None:
    """
    Too many breakpoints: what else stands in it is not known.
    """
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}

    assert said(*[marked] * 100) == UNREAD
