"""
Prompts of conversations that grow are those of a fresh reading, and cost what was added.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.cache.blocks import UNBOUNDED, RequestBlocks, read_blocks, read_more_blocks
from savemode_cli.core.cache.prompt import prompt_from
from savemode_cli.core.diagnosis import blocks_memory
from savemode_cli.core.diagnosis.blocks_memory import BlocksMemory
from savemode_cli.core.diagnosis.fingerprint import Fingerprint, fingerprint_of
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.reading_work import TooMuchWork
from tests.support.examples import examples
from tests.support.growing import growing_bodies


def result(read: Any, body: bytes, most_steps: int, earlier: list[Fingerprint]) -> Any:
    """
    All that is made of a body, or why nothing is.
    """
    try:
        request: RequestBlocks = read(body, most_steps)
    except (BadInput, TooMuchWork) as error:
        return type(error), str(error)
    prompt = prompt_from(request)
    fingerprint = fingerprint_of(request, prompt, earlier)
    assert fingerprint is not None
    parameters = [level.parameters for level in request.levels]
    places = [(block.path, block.role, block.depth, block.carries) for block in request.blocks]
    return request.model, request.control, parameters, places, prompt, fingerprint


@examples(300)
@given(st.integers(0, 2**32), st.sampled_from([1, 8, 16, 64]), st.sampled_from([60, 200, UNBOUNDED]))
def test_the_prompt_is_that_of_a_fresh_reading(seed: int, chunk_bytes: int, most_steps: int) -> None:
    """
    Whatever came before, in whatever order, with edits in the middle and bodies that break off anywhere; also its words for
    what cannot be read, and the steps that it takes.
    """
    memory = BlocksMemory(30_000, chunk_bytes)
    earlier: list[Fingerprint] = []
    for body in growing_bodies(seed, 12):
        for _ in range(2):
            fresh = result(read_blocks, body, most_steps, earlier)
            assert result(memory.read, body, most_steps, earlier) == fresh
            assert memory.seen.size_bytes <= 30_000
        earlier = [*earlier, fresh[-1]][-3:] if isinstance(fresh[-1], Fingerprint) else earlier


def conversation(turns: int, **more: Any) -> bytes:
    """
    A conversation with tools, a marker at its end and thinking in between.
    """
    messages: list[Any] = []
    for at in range(2 * turns + 1):
        blocks: list[Any] = [{"type": "text", "text": f"{at} " + "secret " * 1000}]
        if at % 2:
            blocks.insert(0, {"type": "thinking", "thinking": "hm", "signature": "AAAA"})
        messages.append({"role": ("user", "assistant")[at % 2], "content": blocks})
    messages[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    tools = [{"name": "n", "description": "secret " * 99, "input_schema": {"type": "object"}}]
    return json.dumps({"model": "claude-opus-5-5", "tools": tools, "messages": messages, **more}).encode()


def test_only_the_tail_is_read_and_no_text_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    From the third request of a conversation on.
    """
    read = []

    def noted(body: bytes, *rest: Any, **more: Any) -> Any:
        read.append(len(body))
        return read_more_blocks(body, *rest, **more)

    monkeypatch.setattr(blocks_memory, "read_more_blocks", noted)
    memory = BlocksMemory()
    for turns in range(20, 25):
        request = memory.read(conversation(turns, system="secret " * 99))
        assert prompt_from(request) == prompt_from(read_blocks(conversation(turns, system="secret " * 99)))

    assert read[1] > 250_000
    assert all(size < 80_000 for size in read[2:])
    assert not any(block.content for block in request.blocks[:-5])


def test_a_model_that_forgets_thinking() -> None:
    """
    Which thinking counts depends on what follows, so nothing is taken from what another model has left.
    """
    memory = BlocksMemory()
    for turns in range(20, 26):
        for model in ("claude-opus-5-5", "claude-haiku-4-5"):
            body = conversation(turns, model=model)
            assert prompt_from(memory.read(body)) == prompt_from(read_blocks(body))
