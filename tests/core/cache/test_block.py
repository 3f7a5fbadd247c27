"""
One block: its members, and whether it asks for citations.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.cache.block import Block, members_of
from savemode_cli.core.cache.blocks import read_blocks

TEXT = {"type": "text", "text": "hello"}


def blocks_of(block: dict[str, Any]) -> tuple[Block, ...]:
    """
    A block and those nested in it, as a prompt has them.
    """
    body = {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": [block]}]}
    return read_blocks(json.dumps(body).encode()).blocks


@pytest.mark.parametrize(
    ("block", "members"),
    [
        ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"text": '"a"', "type": '"text"'}),
        ({"type": "tool_use", "input": {"b": 1, "a": 2}}, {"type": '"tool_use"', "input": '{"b":1,"a":2}'}),
        ({"type": "tool_result", "content": [TEXT]}, {"type": '"tool_result"'}),
        (
            {"type": "document", "source": {"type": "content", "content": [TEXT]}},
            {"type": '"document"', "source": '{"type":"content"}'},
        ),
    ],
)
def test_members_are_what_the_cache_hashes(block: dict[str, Any], members: dict[str, str]) -> None:
    """
    A breakpoint is not a member, and nested blocks are separate blocks.
    """
    last = blocks_of(block)[-1]

    assert members_of(last) == {name: value.encode() for name, value in members.items()}


@pytest.mark.parametrize(
    ("more", "cited"),
    [
        ({"citations": {"enabled": True}}, True),
        ({"citations": {"enabled": False}}, False),
        ({"citations": None}, False),
        ({"title": '"citations": {"enabled": true}'}, False),
        ({}, False),
    ],
)
def test_a_document_may_ask_for_citations(more: dict[str, Any], cited: bool) -> None:
    """
    By a member of its own.
    """
    document = {"type": "document", "source": {"type": "text", "data": "page"}, **more}

    assert blocks_of(document)[-1].cited == cited
