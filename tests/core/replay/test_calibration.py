"""
Lengths of prefixes, as bills show them.
"""

from datetime import timedelta

from savemode_cli.core.cache.model import PromptCache
from savemode_cli.core.cache.prompt import Prompt, prompt_of
from savemode_cli.core.replay.calibration import PrefixLengths, as_long_as_billed, billed_split
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.core.replay.test_bodies import NOON, a_body, billed, conversation, run

MINUTE = timedelta(minutes=1)


def test_a_bill_makes_a_prompt_as_long_as_it_was() -> None:
    """
    All prefixes in proportion; without a bill the estimate stays.
    """
    prompt = prompt_of(a_body(3))
    twice = as_long_as_billed(prompt, Usage(Tokens(prompt.total_tokens * 2)))

    assert twice.total_tokens == prompt.total_tokens * 2
    assert twice.prefix_tokens == tuple(2 * tokens for tokens in prompt.prefix_tokens)
    assert as_long_as_billed(prompt, None) is prompt


def test_a_prefix_that_was_billed_has_the_length_of_the_bill() -> None:
    """
    However wrong the estimate is. What lies behind it is divided by the estimate.
    """
    lengths, cache = PrefixLengths(), PromptCache()
    first, second = prompt_of(a_body(1)), prompt_of(a_body(2))
    lookup = cache.look_up(first, NOON)
    cache.answered(lookup, NOON)
    lengths.learn(first, lookup, billed(0, 77_777))

    assert billed_split(second, cache.look_up(second, NOON + MINUTE), billed(70_000, 30_000), lengths) == (
        22_223,
        0,
        77_777,
    )


def test_what_was_read_is_the_length_of_the_prefix_that_was_found() -> None:
    """
    Where a request reads up to a breakpoint in the middle of an earlier prompt, its bill shows how long that is.
    """
    lengths, cache = PrefixLengths(), PromptCache()
    one, other, third = (prompt_of(a_body(turns, system="s " * 9000)) for turns in (1, 2, 3))
    lookup = cache.look_up(one, NOON)
    cache.answered(lookup, NOON)
    lengths.learn(one, lookup, Usage(prefix_tokens=5))
    later = cache.look_up(other, NOON + MINUTE)
    lengths.learn(other, later, billed(9_000, 2_000))

    assert lengths.tokens(third, later.read_blocks, 13_000) == 9_000


def test_a_bill_that_contradicts_the_model_teaches_no_read() -> None:
    """
    The model expected the long prefix, and a short one was read.
    """
    lengths, cache = PrefixLengths(), PromptCache()
    one, other = prompt_of(a_body(4)), prompt_of(a_body(5))
    lookup = cache.look_up(one, NOON)
    cache.answered(lookup, NOON)
    lengths.learn(other, cache.look_up(other, NOON + MINUTE), billed(300, 13_000))

    assert lengths.tokens(other, 5 if lookup.writes else 0, 13_300) > 3_000


def test_nothing_cached_has_no_length() -> None:
    """
    Nor has a prompt without breakpoints.
    """
    prompt: Prompt = prompt_of(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    lookup = PromptCache().look_up(prompt, NOON)

    assert billed_split(prompt, lookup, Usage(Tokens(9)), PrefixLengths()) == (0, 0, 0)
    assert billed_split(prompt, lookup, billed(5, 6), PrefixLengths()) == (0, 0, 0)
    assert PrefixLengths().tokens(prompt, 1, 100) == 0


def test_a_wrong_estimate_does_not_spoil_the_grade() -> None:
    """
    Every request's length is five times what the estimate says, in other proportions: the model is exact all the same.
    """
    calls = conversation([10.0] * 12 + [400.0] * 9)
    done, _ = run(*calls)

    assert (done.grade.requests, done.grade.right) == (21, 21)
    assert done.grade.alone_error == 0
