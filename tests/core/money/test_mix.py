"""
The same tokens at the price of another model cost exactly what the requests would have cost.
"""

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.money.mix import TYPICAL, TokenMix
from savemode_cli.core.money.pricing import cost_nusd
from savemode_cli.core.money.rates import LongContext, Price
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.builders import a_price, usd

LONG = a_price(
    "claude-haiku-5-5", "0.10 0.50 0.125 0.20 0.01", long=LongContext(above_tokens=100, rates=usd("1 5 2 3 1"))
)
USAGES = st.lists(st.builds(Usage, st.builds(Tokens, *[st.integers(0, 120)] * 5), st.integers(0, 3)), max_size=8)


@given(USAGES, st.sampled_from([a_price(), LONG]))
def test_a_mix_costs_what_its_requests_cost(usages: list[Usage], price: Price) -> None:
    """
    Each request is priced at the rates of its own length. The sum is rounded once.
    """
    mix = TokenMix(usages)
    apart = sum(cost_nusd(usage, price) for usage in usages)

    assert mix.requests == len(usages)
    assert 0 <= apart - mix.cost_nusd(price) <= len(usages)


def test_labels_and_advisors_are_left_out() -> None:
    """
    The other model is priced at standard speed and without advisors.
    """
    plain = Usage(Tokens(1, 2, 3, 4, 5), 6)
    labelled = Usage(
        Tokens(1, 2, 3, 4, 5), 6, "batch", "us", "fast", (Extra("advisor_message", "x", Usage(Tokens(input=9))),)
    )

    assert TokenMix([labelled]).cost_nusd(a_price()) == TokenMix([plain]).cost_nusd(a_price())


def test_a_typical_request() -> None:
    """
    Reads are most of its cost, and output is a tenth, as in the record from which it is taken.
    """
    price = a_price("claude-opus-4-5", "5 25 6.25 10 0.50")
    whole = TokenMix([TYPICAL]).cost_nusd(price)

    assert 0.5 < TYPICAL.tokens.read * 500 / whole < 0.65
    assert 0.08 < TYPICAL.tokens.output * 25_000 / whole < 0.13
