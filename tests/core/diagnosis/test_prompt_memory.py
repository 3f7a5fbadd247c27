"""
Prompts of conversations that grow are those of a fresh reading, and cost what was added.
"""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.cache import blocks
from savemode_cli.core.cache.block import blocks_of_list
from savemode_cli.core.cache.blocks import UNBOUNDED, read_blocks, read_parts
from savemode_cli.core.cache.prompt import prompt_from
from savemode_cli.core.diagnosis import prompt_memory
from savemode_cli.core.diagnosis.fingerprint import Fingerprint, fingerprint_of
from savemode_cli.core.diagnosis.prompt_memory import PromptMemory
from savemode_cli.core.diagnosis.splices import Splice, Splices
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.prefixes import Beginning, SeenPrefixes
from savemode_cli.core.wire.reading_work import TooMuchWork
from tests.support.examples import examples
from tests.support.growing import growing_bodies

TTL = b',"ttl":"1h"'
MARKER = b'"cache_control":{"type":"ephemeral"'


def fresh(body: bytes, most_steps: int, earlier: list[Fingerprint]) -> Any:
    """
    All that is made of a body without a memory, or why nothing is.
    """
    try:
        request = read_blocks(body, most_steps)
    except (BadInput, TooMuchWork) as error:
        return type(error), str(error)
    prompt = prompt_from(request)
    return request.model, prompt, fingerprint_of(request, prompt, earlier)


def remembered(memory: PromptMemory, body: bytes, most_steps: int, earlier: list[Fingerprint], **more: Any) -> Any:
    """
    The same with a memory.
    """
    try:
        read = memory.read(body, "session", most_steps, lambda _: earlier, **more)
    except (BadInput, TooMuchWork) as error:
        return type(error), str(error)
    return read.model, read.prompt, read.fingerprint


@examples(300)
@given(st.integers(0, 2**32), st.sampled_from([1, 8, 16, 64]), st.sampled_from([60, 200, UNBOUNDED]))
def test_the_prompt_is_that_of_a_fresh_reading(seed: int, chunk_bytes: int, most_steps: int) -> None:
    """
    Whatever came before, in whatever order, with edits in the middle and bodies that break off anywhere; also its words for
    what cannot be read, and the steps that it takes.
    """
    memory = PromptMemory(30_000, chunk_bytes)
    earlier: list[Fingerprint] = []
    for body in growing_bodies(seed, 12):
        for _ in range(2):
            expected = fresh(body, most_steps, earlier)
            assert remembered(memory, body, most_steps, earlier) == expected
            assert memory.size_bytes <= 30_000
        earlier = [*earlier, expected[-1]][-3:] if isinstance(expected[-1], Fingerprint) else earlier


def edited(body: bytes, chance: random.Random) -> tuple[bytes, Splices]:
    """
    A body with a TTL in some of its markers.
    """
    splices, at = [], body.find(MARKER)
    while at >= 0:
        if chance.random() < 0.7:
            splices.append(Splice(at + len(MARKER), TTL))
        at = body.find(MARKER, at + 1)
    sent = body
    for splice in reversed(splices):
        sent = sent[: splice.at] + splice.inserted + sent[splice.at :]
    return sent, Splices(splices)


def beginning_of(prefixes: SeenPrefixes[None], body: bytes) -> Beginning:
    """
    How a body begins, as far as the same was seen; it is remembered.
    """
    return prefixes.beginning(prefixes.remember(prefixes.walk(body), body, ()))


@examples(300)
@given(st.integers(0, 2**32), st.sampled_from([1, 8, 16, 64]))
def test_the_prompt_of_a_body_that_was_edited(seed: int, chunk_bytes: int) -> None:
    """
    It is read in the body that was sent. How that begins is known of the body as it came.
    """
    chance, memory = random.Random(seed), PromptMemory(chunk_bytes=chunk_bytes)
    prefixes: SeenPrefixes[None] = SeenPrefixes(10**6, chunk_bytes)
    for body in growing_bodies(seed, 12, sessions=2):
        sent, splices = edited(body, chance)
        beginning = beginning_of(prefixes, body)

        found = remembered(memory, sent, UNBOUNDED, [], beginning=beginning, splices=splices)
        assert found == fresh(sent, UNBOUNDED, [])


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
    read, parts = [], []

    def noted(body: bytes, *rest: Any, **more: Any) -> Any:
        read.append(len(body))
        parts.append(read_parts(body, *rest, **more))
        return parts[-1]

    monkeypatch.setattr(prompt_memory, "read_parts", noted)
    memory = PromptMemory()
    for turns in range(20, 25):
        body = conversation(turns, system="secret " * 99)
        assert memory.read(body).prompt == prompt_from(read_blocks(body))

    assert read[1] > 250_000
    assert all(size < 80_000 for size in read[2:])
    assert not any(block.content for block in parts[-1].request.blocks)


@pytest.mark.parametrize("turns", [2, 20])
def test_only_new_messages_are_looked_into(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Also those of a body that is too small for its beginning to be looked for. The message that has lost its marker is new.
    """
    memory = PromptMemory()
    for more in range(3):
        memory.read(conversation(turns + more))
    looked: list[Any] = []

    def noted(content: Any, role: str, path: Any, work: Any) -> Any:
        looked.append(path)
        return blocks_of_list(content, role, path, work)

    monkeypatch.setattr(blocks, "blocks_of_list", noted)
    memory.read(conversation(turns + 3))

    assert looked == [("messages", 2 * (turns + 2) + new, "content") for new in range(3)]


def test_a_model_that_forgets_thinking() -> None:
    """
    Which thinking counts depends on what follows, so nothing is taken from what another model has left.
    """
    memory = PromptMemory()
    for turns in range(20, 26):
        for model in ("claude-opus-5-5", "claude-haiku-4-5"):
            body = conversation(turns, model=model)
            assert memory.read(body).prompt == prompt_from(read_blocks(body))
