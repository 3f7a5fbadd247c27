"""
What holds of every prompt and every history of requests: random bodies, random markers, random times.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.cache.lifetimes import LIFETIMES
from savemode_cli.core.cache.model import PromptCache
from savemode_cli.core.cache.prompt import prompt_of
from savemode_cli.core.cache.tokens import TokenEstimate
from savemode_cli.core.wire.facts import facts
from tests.support.examples import examples

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
PLAIN = TokenEstimate(text=0.002, data=0.002, tool=0.002)  # so that a letter is long enough to be cached

control = st.sampled_from(
    [{}, {}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)
word = st.text('aé\\"/\n\x1b😀', max_size=3)
document = {"type": "document", "source": {"type": "text", "data": "page"}, "citations": {"enabled": True}}
image = {"type": "image", "source": {"type": "url", "url": "u"}}
thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}


def block(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """
    A block of these fields, with a marker or without.
    """
    return st.builds(lambda one, mark: one | mark, st.fixed_dictionaries(fields), control)


text = block(type=st.just("text"), text=word.map("x".__add__))
call = block(type=st.just("tool_use"), id=word, name=st.just("n"), input=st.dictionaries(word, st.integers()))
result = block(type=st.just("tool_result"), tool_use_id=word, content=word | st.lists(text, max_size=2))
other = st.sampled_from([document, image, thinking])
message = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant", "system"]),
    word | st.lists(text | call | result | other, max_size=4),
)
bodies = st.builds(
    lambda required, optional: required | optional,
    st.fixed_dictionaries(
        {"model": st.sampled_from(["claude-opus-5", "m"]), "messages": st.lists(message, max_size=6)}
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "tools": st.lists(block(name=word, input_schema=st.just({"type": "object"})), max_size=3),
            "system": word | st.lists(text, max_size=3),
            "cache_control": st.just({"type": "ephemeral"}),
            "thinking": st.just({"type": "adaptive"}),
        },
    ),
)
quick = examples(150)


def written(body: dict[str, Any], **how: Any) -> bytes:
    """
    The body as bytes.
    """
    return json.dumps(body, **how).encode()


def unmarked(value: Any) -> Any:
    """
    The same without markers.
    """
    if isinstance(value, dict):
        return {key: unmarked(inner) for key, inner in value.items() if key != "cache_control"}
    return [unmarked(inner) for inner in value] if isinstance(value, list) else value


@quick
@given(st.lists(st.tuples(bodies, st.integers(0, 4000), st.integers(0, 400)), max_size=8), st.booleans())
def test_read_written_and_uncached_add_up_to_the_prompt(history: list[tuple[Any, int, int]], ttl_in_key: bool) -> None:
    """
    Whatever came before, no count is negative, their sum is the prompt, and what was read had been written.
    """
    cache, now = PromptCache(ttl_in_key=ttl_in_key, max_entries=5), START
    ever: set[bytes] = set()
    for body, pause_s, answer_s in history:
        prompt = prompt_of(written(body), PLAIN)
        lookup = cache.look_up(prompt, now)
        parts = lookup.read_tokens, lookup.write_5m_tokens, lookup.write_1h_tokens, lookup.input_tokens

        assert min(parts) >= 0
        assert sum(parts) == lookup.total_tokens == prompt.total_tokens
        assert lookup.read_tokens == prompt.tokens_before(lookup.read_blocks)
        assert lookup.read_blocks == 0 or prompt.chain[lookup.read_blocks - 1] in ever
        ever |= {key[0] for key, _ in lookup.writes}
        cache.answered(lookup, now, now + timedelta(seconds=answer_s))
        assert len(cache) <= 5
        now += timedelta(seconds=pause_s)


@quick
@given(bodies)
def test_the_same_request_at_once_reads_all_that_the_first_wrote(body: dict[str, Any]) -> None:
    """
    And writes nothing more; after an hour and its own idle time nothing of it is left.
    """
    cache, prompt = PromptCache(), prompt_of(written(body), PLAIN)
    first = cache.look_up(prompt, START)
    cache.answered(first, START)
    second = cache.look_up(prompt, START)

    assert second.read_tokens == first.write_5m_tokens + first.write_1h_tokens
    assert second.write_5m_tokens == second.write_1h_tokens == 0
    assert cache.look_up(prompt, START + LIFETIMES["1h"] + timedelta(seconds=21)).read_tokens == 0


@quick
@given(bodies)
def test_markers_and_spelling_change_no_digest(body: dict[str, Any]) -> None:
    """
    Without its markers, spread over lines and reduced to ASCII, it is the same prompt.
    """
    plain = prompt_of(written(unmarked(body), indent=2, ensure_ascii=False))

    assert plain.chain == prompt_of(written(body, separators=(",", ":"))).chain
    assert plain.marks == ()


@quick
@given(bodies)
def test_breakpoints_are_those_that_the_transform_sees(body: dict[str, Any]) -> None:
    """
    Two readers of one body: the same lifetimes in the same order. Automatic caching is judged apart.
    """
    explicit = {key: value for key, value in body.items() if key != "cache_control"}
    raw = written(explicit)

    assert [mark.lifetime for mark in prompt_of(raw).marks] == [one.lifetime for one in facts(raw).breakpoints]


@quick
@given(bodies, text)
def test_what_is_appended_leaves_the_prefix_alone(body: dict[str, Any], more: dict[str, Any]) -> None:
    """
    A conversation that grows keeps every digest it had, on models that keep their thinking.
    """
    longer = body | {"messages": [*body["messages"], {"role": "user", "content": [more]}]}
    before, after = prompt_of(written(body)), prompt_of(written(longer))

    assert after.chain[: len(before.chain)] == before.chain
    assert len(after.chain) == len(before.chain) + 1


@quick
@given(bodies, st.integers(0, 30))
def test_changing_a_block_changes_every_digest_from_it_on(body: dict[str, Any], at: int) -> None:
    """
    And none before it.
    """
    texts = [one for message in body["messages"] for one in message["content"] if _is_text(one)]
    if not texts:
        return
    before = prompt_of(written(body)).chain
    texts[at % len(texts)]["text"] += "!"
    after = prompt_of(written(body)).chain
    same = [one == other for one, other in zip(before, after, strict=True)]

    assert same == sorted(same, reverse=True)
    assert not same[-1]


def _is_text(one: Any) -> bool:
    return isinstance(one, dict) and one["type"] == "text"
