"""
Counters of an answer, added up and priced.
"""

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.money.pricing import InputRates
from savemode_cli.core.wire.usage import MIXED, Extra, Tokens, Usage
from tests.core.money.test_pricing import usages

tokens = st.builds(Tokens, *[st.integers(0, 2**53)] * 5)


@given(tokens, tokens)
def test_a_difference_undoes_a_sum(one: Tokens, two: Tokens) -> None:
    """
    Counter by counter.
    """
    assert one + two - two == one
    assert one - one == Tokens()
    assert (one + two).prompt == one.prompt + two.prompt


def test_each_counter_has_its_own_rate() -> None:
    """
    In the order of the price page; no counter is taken for another.
    """
    rates = Tokens(1, 10, 100, 1000, 10_000)

    assert Tokens(2, 3, 4, 5, 6).at(rates) == 65_432
    assert Tokens(2, 3, 4, 5, 6).prompt_at(InputRates(1, 10, 100, 1000, "exact")) == 5_432
    assert (Tokens(2, 3, 4, 5, 6).prompt, Tokens(2, 3, 4, 5, 6).written) == (14, 7)


@given(usages, usages, usages)
def test_sum_is_a_sum(one: Usage, two: Usage, three: Usage) -> None:
    """
    In any order, with nothing as nothing.
    """
    assert (one + two) + three == one + (two + three)
    assert one + two == two + one
    assert Usage() + one == one


def test_sum_of_different_labels_is_mixed() -> None:
    """
    A label that both have stays; extras are kept apart.
    """
    extra = Extra("compaction", None, Usage(Tokens(input=5)))
    one = Usage(Tokens(input=1), service_tier="batch", speed="fast", extra=(extra,))
    two = Usage(Tokens(input=2), service_tier="standard", speed="fast")

    assert one + two == Usage(Tokens(input=3), service_tier=MIXED, speed="fast", extra=(extra,))


def test_the_prefix_of_several_passes() -> None:
    """
    The counters are sums; the next request reads the last pass's prefix, and the later passes read the earlier ones'.
    """
    one_pass = Usage(Tokens(3, 2_000, read=100_000))
    # Pass 1 reads 100,000 and writes 2,000; pass 2 reads 102,000 and writes 5,000.
    two_passes = Usage(Tokens(6, 7_000, read=202_000), prefix_tokens=107_000)

    assert (one_pass.cached_tokens, one_pass.repeated_tokens, one_pass.first_read_tokens) == (102_000, 0, 100_000)
    assert (two_passes.cached_tokens, two_passes.repeated_tokens, two_passes.first_read_tokens) == (
        107_000,
        102_000,
        100_000,
    )
