"""
What a request costs beside its prompt: with the prompt it is the bill, to the nano-dollar.
"""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.money.pricing import PriceTable, nusd_of
from savemode_cli.core.money.rates import LongContext
from savemode_cli.core.replay.rates import RequestRates, Rest
from savemode_cli.core.replay.recording import Recorded
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.builders import a_price, usd
from tests.support.replayed import MODEL, NOON
from tests.support.values import replace

TABLE = PriceTable([a_price(), a_price("claude-old", long=LongContext(above_tokens=1500, rates=usd("8 20 10 16 1")))])

TOKENS = st.builds(Tokens, *[st.integers(0, 3000)] * 5)
USAGES = st.builds(
    Usage,
    TOKENS,
    web_searches=st.integers(0, 3),
    service_tier=st.sampled_from([None, "standard", "batch"]),
    speed=st.sampled_from([None, "fast"]),
)
EXTRAS = st.lists(
    st.builds(
        Extra,
        st.sampled_from(["compaction", "advisor_message", "message"]),
        st.sampled_from([None, MODEL, "claude-old"]),
        st.builds(Usage, TOKENS),
    ),
    max_size=3,
)


def prompt_of(usage: Usage) -> tuple[int, int, int, int]:
    """
    Its prompt by how it is billed.
    """
    return usage.tokens.input, usage.tokens.write_5m, usage.tokens.write_1h, usage.tokens.read


def a_request(usage: Usage, model: str = MODEL) -> Recorded:
    """
    At noon.
    """
    return Recorded("s", "", model, NOON, NOON + timedelta(seconds=3), usage)


@given(USAGES, EXTRAS, st.sampled_from([MODEL, "claude-old"]))
def test_the_parts_are_the_bill(usage: Usage, extra: list[Extra], model: str) -> None:
    """
    Whatever was used beside the answer, by whichever model: but for the nano-dollar up to which each part is rounded.
    """
    whole = replace(usage, extra=tuple(extra))
    rates, request = RequestRates(TABLE), a_request(whole, model)
    prompt = nusd_of(rates(request).cost_ausd(*prompt_of(usage)))
    rest = rates.rest(request)

    assert 0 <= prompt + rest.beside_nusd + rest.output_nusd - TABLE.bill(whole, model, NOON).cost.total_nusd <= 1
    assert rest.unpriced == ()


def test_an_advisor_by_hand() -> None:
    """
    Opus 5.5 at $4 and $20 per million: 1,000 tokens asked of the advisor, 100 answered by it, 10 by the answer itself.
    """
    usage = Usage(Tokens(5, output=10), extra=(Extra("advisor_message", MODEL, Usage(Tokens(1000, output=100))),))

    assert RequestRates(TABLE).rest(a_request(usage)) == Rest(1000 * 4000, 110 * 20_000)


def test_an_advisor_without_a_price() -> None:
    """
    Is named, and the rest counts.
    """
    unknown = Extra("advisor_message", "claude-unknown", Usage(Tokens(1000, output=100)))
    known = Extra("compaction", None, Usage(Tokens(input=7)))
    rest = RequestRates(TABLE).rest(a_request(Usage(Tokens(5, output=10), extra=(unknown, known))))

    assert rest == Rest(7 * 4000, 10 * 20_000, ("claude-unknown",))
