"""
The blocks of a request: their places, and the parameters of each level.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.cache.blocks import RequestBlocks, read_blocks
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.reading_work import TooMuchWork


def read(**body: Any) -> RequestBlocks:
    """
    The blocks of a body.
    """
    return read_blocks(json.dumps({"model": "claude-opus-5-5", "messages": [], **body}).encode())


TEXT = {"type": "text", "text": "hello"}


def test_every_block_has_its_place() -> None:
    """
    Paths lead through the body as it was sent. A string has a place of its own.
    """
    document = {"type": "document", "source": {"type": "content", "content": [TEXT, TEXT]}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [TEXT]}
    request = read(
        tools=[{"name": "a"}, {"name": "b"}],
        system=[TEXT],
        messages=[{"role": "user", "content": "hi"}, {"role": "user", "content": [result, document]}],
    )

    assert [block.path for block in request.blocks] == [
        ("tools", 0),
        ("tools", 1),
        ("system", 0),
        ("messages", 0, "content"),
        ("messages", 1, "content", 0, "content", 0),
        ("messages", 1, "content", 0),
        ("messages", 1, "content", 1, "source", "content", 0),
        ("messages", 1, "content", 1, "source", "content", 1),
        ("messages", 1, "content", 1),
    ]
    assert read(system="Be good.").blocks[0].path == ("system",)


def test_thinking_that_a_model_forgets_is_not_there() -> None:
    """
    The places of the blocks after it are the same as in the body.
    """
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": [thinking, TEXT]},
        {"role": "user", "content": "two"},
    ]
    paths = [block.path for block in read(model="claude-haiku-4-5", messages=messages).blocks]

    assert paths == [("messages", 0, "content"), ("messages", 1, "content", 1), ("messages", 2, "content")]
    assert len(read(messages=messages).blocks) == 4


def test_the_parameters_of_each_level() -> None:
    """
    A parameter belongs to the first level that a change of it invalidates.
    """
    cited = {"type": "document", "source": {"type": "text", "data": "page"}, "citations": {"enabled": True}}
    request = read(
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
        messages=[{"role": "user", "content": [cited, {"type": "image", "source": {"type": "url", "url": "u"}}]}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2000},
        output_config={"format": {"type": "json"}, "effort": "low", "other": 1},
        speed="fast",
    )
    tools, system, messages = request.levels

    assert tools.parameters == (("model", "claude-opus-5-5"),)
    assert system.parameters == (("speed", "fast"), ("web_search", "on"), ("citations", "on"))
    assert messages.parameters == (
        ("tool_choice", '{"disable_parallel_tool_use":true,"type":"any"}'),
        ("images", "on"),
        ("thinking", '{"budget_tokens":2000,"type":"enabled"}'),
        ("effort", '"low"'),
        ("format", '{"type":"json"}'),
    )


def test_defaults_that_are_written_out_change_nothing() -> None:
    """
    `auto` is the tool choice of a request that names none, and standard is its speed.
    """
    plain = read().levels

    assert read(tool_choice={"type": "auto"}, speed="standard").levels == plain
    assert read(tool_choice={"type": "auto", "disable_parallel_tool_use": True}).levels[2] != plain[2]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model":"m"}', b'{"model":"m","messages":[{"role":"user"}]}', b'{"model":"m' * 2]
)
def test_other_bodies_are_refused(body: bytes) -> None:
    """
    All of them raise the same error.
    """
    with pytest.raises(BadInput):
        read_blocks(body)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{}] * 101},
        {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "a"}] * 101}]},
        {"role": "user", "content": [{f"k{number}": 1 for number in range(101)}]},
        {"role": "user", "content": "\u00e4 \u00f6 " * 51},
    ],
)
def test_reading_is_bounded(message: dict[str, object]) -> None:
    """
    Blocks, nested blocks, keys of a block and escapes are counted before they are read.
    """
    body = json.dumps({"model": "claude-opus-5-5", "messages": [message]}).encode()

    with pytest.raises(TooMuchWork):
        read_blocks(body, most_steps=100)
    assert read_blocks(body, most_steps=1_000).blocks == read_blocks(body).blocks


def test_the_attribution_is_not_content() -> None:
    """
    The first block of Claude Code's system prompt changes with its version; the cache ignores it there, and nowhere else.
    """
    header = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.332.487; cc_entrypoint=cli;"}
    other = {**header, "text": header["text"].replace("487", "cf6")}
    rest = {"type": "text", "text": "You are an agent."}

    def contents(*system: object) -> list[bytes]:
        body = {"model": "claude-opus-5-5", "messages": [], "system": list(system)}
        return [block.digest for block in read_blocks(json.dumps(body).encode()).blocks]

    assert contents(header, rest) == contents(other, rest)
    assert contents(header, rest)[0] == b""
    assert contents(rest, header) != contents(rest, other)
    assert contents(header) != contents(other)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": 1, "content": "b"}]}, "messages[1].role"),
        ({"messages": [], "tools": "all"}, "tools"),
        ({"messages": [], "system": 1}, "system"),
    ],
)
def test_an_error_names_the_place_of_a_wrong_type(body: dict[str, object], words: str) -> None:
    """
    As a path through the body.
    """
    with pytest.raises(BadInput) as raised:
        read(**body)
    assert words in raised.value.message
