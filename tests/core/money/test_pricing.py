"""
Costs: the formula, its multipliers, its rounding, and which row of the table applies to which model.
"""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.errors import ConfigError, UnknownModel
from savemode_cli.core.money.pricing import Cost, LongContext, Price, PriceTable, Rates, cost, cost_nusd, nusd_of
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.builders import a_price, usd
from tests.support.values import replace

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

OPUS = a_price(
    us_multiplier=Decimal("1.1"),
    regional_multiplier=Decimal("1.1"),
    fast=usd("8 40 10 16 0.40"),
)
HAIKU = a_price(
    "claude-haiku-5-5",
    "0.10 0.50 0.125 0.20 0.01",
    us_multiplier=Decimal("1.1"),
    regional_multiplier=Decimal("1.1"),
    long=LongContext(above_tokens=100_000, rates=usd("0.50 2.50 0.625 1.00 0.05")),
)
FABLE_5 = a_price("claude-fable-5", "10 50 12.5 20 1.00")
FABLE_5_1 = a_price("claude-fable-5-1", "10 50 12.5 20 0.25")
SONNET_BEFORE = a_price("claude-sonnet-5-5", "2 10 2.5 4 0.20")
SONNET = a_price("claude-sonnet-5-5", "2 10 2.5 4 0.10", effective=date(2026, 10, 7))
TABLE = PriceTable(
    [SONNET, OPUS, HAIKU, FABLE_5, FABLE_5_1, SONNET_BEFORE, a_price("claude-opus-4", "15 75 18.75 30 1.50")],
    {"claude-opus-4-0": "claude-opus-4"},
)

EACH = Usage(Tokens(1000, 100, 10, 10_000, 200))
"""At Opus 5.5, in nano-dollars: 4,000 a token is 4,000,000; 500,000; 80,000; 2,000,000; output 4,000,000."""


@pytest.mark.parametrize(
    ("usage", "price", "expected"),
    [
        (Usage(), OPUS, 0),
        (Usage(Tokens(input=1)), OPUS, 4_000),
        (Usage(Tokens(write_5m=1)), OPUS, 5_000),
        (Usage(Tokens(write_1h=1)), OPUS, 8_000),
        (Usage(Tokens(read=1)), OPUS, 200),
        (Usage(Tokens(output=1)), OPUS, 20_000),
        (EACH, OPUS, 10_580_000),
        (replace(EACH, service_tier="standard", inference_geo="global", speed="standard"), OPUS, 10_580_000),
        (replace(EACH, service_tier="priority", inference_geo="not_available"), OPUS, 10_580_000),
        (replace(EACH, service_tier="batch"), OPUS, 5_290_000),
        (replace(EACH, inference_geo="us"), OPUS, 11_638_000),
        (replace(EACH, inference_geo="us", service_tier="batch"), OPUS, 5_819_000),
        (replace(EACH, inference_geo="us"), FABLE_5, 10_000_000 + 1_250_000 + 200_000 + 10_000_000 + 10_000_000),
        (replace(EACH, speed="fast"), OPUS, 21_160_000),
        (replace(EACH, speed="fast", inference_geo="us"), OPUS, 23_276_000),
        (replace(EACH, speed="fast"), FABLE_5_1, 10_000_000 + 1_250_000 + 200_000 + 2_500_000 + 10_000_000),
        # 10 dollars a thousand searches: a cent each, whatever the tier and the place.
        (Usage(web_searches=3), OPUS, 30_000_000),
        (Usage(web_searches=3, service_tier="batch", inference_geo="us"), OPUS, 30_000_000),
        # The vendor's own client printed 0.01318 USD for this one.
        (
            Usage(Tokens(input=10, write_5m=2000, read=15_000, output=7)),
            OPUS,
            13_180_000,
        ),
    ],
)
def test_cost(usage: Usage, price: Price, expected: int) -> None:
    """
    The cost is the tokens times the price of the column, times the multipliers, plus the searches.
    """
    assert expected == cost_nusd(usage, price)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # 100,000 exactly is the low price: 0.10 dollars per million is 100 nano-dollars a token.
        (Usage(Tokens(input=100_000)), 10_000_000),
        (Usage(Tokens(input=100_001)), 50_000_500),
        # The whole prompt counts: 99,000 reads and 1,000 writes are not above, one token more is.
        (
            Usage(Tokens(read=99_000, write_5m=500, write_1h=500)),
            990_000 + 62_500 + 100_000,
        ),
        (Usage(Tokens(1, 500, 500, 99_000)), 500 + 312_500 + 500_000 + 4_950_000),
        # Output follows the prompt and does not count towards it.
        (Usage(Tokens(output=200_000)), 100_000_000),
        (Usage(Tokens(input=100_001, output=2)), 50_000_500 + 5_000),
        (Usage(Tokens(input=100_001), service_tier="batch"), 25_000_250),
    ],
)
def test_long_context(usage: Usage, expected: int) -> None:
    """
    Above the threshold every token of the request costs the higher price.
    """
    assert expected == cost_nusd(usage, HAIKU)


def test_rounds_up_once() -> None:
    """
    A batch of one read at 0.01 dollars is 5 nano-dollars; three reads of a third of one are one, not three.
    """
    tiny = a_price("tiny", "0.001 0.001 0.001 0.001 0.0003")

    assert cost_nusd(Usage(Tokens(read=1), service_tier="batch"), HAIKU) == 5
    assert cost_nusd(Usage(Tokens(read=3)), tiny) == 1
    assert cost_nusd(Usage(Tokens(read=4)), tiny) == 2


def test_split_has_both_sides() -> None:
    """
    The prompt is one side; output and searches are the other.
    """
    assert Cost(6_580_000, 4_000_000 + 10_000_000) == cost(replace(EACH, web_searches=1), OPUS)


def test_negative_counter_is_a_bug() -> None:
    """
    A negative counter raises an error.
    """
    with pytest.raises(ValueError, match="negative"):
        cost_nusd(Usage(Tokens(output=-1)), OPUS)


def test_surroundings_do_not_matter() -> None:
    """
    The result does not depend on the decimal context of the caller.
    """
    from decimal import localcontext

    with localcontext() as narrow:
        narrow.prec = 3
        assert cost_nusd(Usage(Tokens(input=123_456_789)), OPUS) == 493_827_156_000


counts = st.integers(0, 2**53)
usages = st.builds(
    Usage,
    st.builds(Tokens, *[counts] * 5),
    web_searches=st.integers(0, 1000),
    service_tier=st.sampled_from([None, "standard", "batch"]),
    inference_geo=st.sampled_from([None, "global", "us"]),
    speed=st.sampled_from([None, "standard", "fast"]),
)
prices = st.sampled_from(TABLE.rows)


@given(usages, prices)
def test_split_sums_to_the_total(usage: Usage, price: Price) -> None:
    """
    To the nano-dollar, and no side is negative.
    """
    split = cost(usage, price)

    assert split.total_nusd == cost_nusd(usage, price)
    assert split.input_nusd >= 0
    assert split.output_nusd >= 0


@given(usages, prices, st.sampled_from(["input", "read", "output"]), counts)
def test_more_never_costs_less(usage: Usage, price: Price, name: str, more: int) -> None:
    """
    Monotonic in every counter, across the long-context step too.
    """
    larger = usage.tokens + Tokens(**{name: more})

    assert cost_nusd(replace(usage, tokens=larger), price) >= cost_nusd(usage, price)
    assert cost_nusd(replace(usage, web_searches=usage.web_searches + more), price) >= cost_nusd(usage, price)


odd = st.decimals("0", "1000", places=9)


@st.composite
def odd_prices(draw: st.DrawFn) -> Price:
    """
    A row with nine decimals everywhere; in this order no column is out of place.
    """
    read, ask, write_5m, write_1h, answer = sorted(draw(st.lists(odd, min_size=5, max_size=5)))
    return replace(
        a_price(),
        standard=Rates(ask, write_5m, write_1h, read, answer),
        us_multiplier=draw(st.decimals("1", "2", places=17)),
        web_search_usd_per_1k=draw(odd),
    )


def by_hand(usage: Usage, price: Price) -> tuple[Fraction, Fraction]:
    """
    The two sides in nano-dollars as fractions: the formula of the price page, word for word.
    """
    rates = [Fraction(one) * 1000 for one in price.rates(usage.tokens.prompt, fast=usage.speed == "fast").columns]
    factor = Fraction(1, 2) if usage.service_tier == "batch" else Fraction(1)
    factor *= Fraction(price.us_multiplier) if usage.inference_geo == "us" else 1
    counted = (
        (usage.tokens.input, rates[0]),
        (usage.tokens.write_5m, rates[1]),
        (usage.tokens.write_1h, rates[2]),
        (usage.tokens.read, rates[3]),
    )
    prompt = factor * sum(tokens * rate for tokens, rate in counted)
    searches = usage.web_searches * Fraction(price.web_search_usd_per_1k) * 10**6
    return prompt, factor * usage.tokens.output * rates[4] + searches


@given(st.lists(st.tuples(usages, prices | odd_prices()), min_size=1, max_size=4))
def test_exact_to_the_nano_dollar(parts: list[tuple[Usage, Price]]) -> None:
    """
    A sum of parts is exact whatever digits a price and its multipliers have, and is rounded up once.
    """
    rows = [replace(price, model=f"model-{number}") for number, (_, price) in enumerate(parts)]
    first, *others = [usage for usage, _ in parts]
    extra = tuple(Extra("compaction", row.model, one) for row, one in zip(rows[1:], others, strict=True))
    sides = [by_hand(usage, price) for usage, price in parts]
    prompt, total = sum(one for one, _ in sides), sum(one + other for one, other in sides)

    billed = PriceTable(rows).bill(replace(first, extra=extra), "model-0", NOON).cost

    assert (billed.input_nusd, billed.total_nusd) == (math.ceil(prompt), math.ceil(total))


@given(st.lists(usages, min_size=1, max_size=5), prices)
def test_additive_up_to_rounding(parts: list[Usage], price: Price) -> None:
    """
    If labels agree and no threshold is crossed, the cost of a sum is the sum of the costs, minus at most a nano-dollar
    each.
    """
    flat = replace(price, long=None)
    parts = [replace(one, service_tier="batch", inference_geo="us", speed=None) for one in parts]
    whole = cost_nusd(reduce(Usage.__add__, parts), flat)
    apart = sum(cost_nusd(one, flat) for one in parts)

    assert 0 <= apart - whole < len(parts)


def test_extra_is_billed_at_its_own_model() -> None:
    """
    A compaction is billed at the price of the answer, and an advisor at its own price.
    """
    usage = Usage(
        Tokens(input=100),
        extra=(
            Extra("compaction", None, Usage(Tokens(10, output=1))),
            Extra("advisor_message", "claude-fable-5-1", Usage(Tokens(3, output=1))),
        ),
    )
    bill = TABLE.bill(usage, "claude-opus-5-5", NOON)

    assert Cost(110 * 4_000 + 3 * 10_000, 20_000 + 50_000) == bill.cost
    assert (bill.state, bill.price) == ("exact", OPUS)
    assert cost_nusd(usage, OPUS) == 113 * 4_000 + 2 * 20_000


def test_extra_has_a_prompt_of_its_own() -> None:
    """
    Neither prompt is above the threshold, although both together are.
    """
    usage = Usage(Tokens(input=60_000), extra=(Extra("compaction", None, Usage(Tokens(input=60_000))),))

    assert TABLE.bill(usage, "claude-haiku-5-5", NOON).cost.total_nusd == 12_000_000


def test_bill_is_as_certain_as_its_worst_part() -> None:
    """
    One unknown advisor makes the bill unpriced. Its part is billed at the highest known price.
    """
    usage = Usage(Tokens(input=1), extra=(Extra("advisor_message", "claude-next-9", Usage(Tokens(input=1))),))
    bill = TABLE.bill(usage, "claude-opus-4-0", NOON)

    assert (bill.state, bill.cost.total_nusd) == ("unpriced", 15_000 + 15_000)


@pytest.mark.parametrize(
    ("model", "row", "state"),
    [
        ("claude-opus-5-5", "claude-opus-5-5", "exact"),
        ("claude-opus-5-5[1m]", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5-20261001", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5-20261001[1m]", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5@20261001", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5@default", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5-latest", "claude-opus-5-5", "fallback"),
        ("claude-opus-4-0", "claude-opus-4", "fallback"),
        ("claude-opus-4-20250514", "claude-opus-4", "fallback"),
        ("claude-fable-5", "claude-fable-5", "exact"),
        ("claude-fable-5-1", "claude-fable-5-1", "exact"),
        ("global.anthropic.claude-opus-5-5", "claude-opus-5-5", "fallback"),
        ("global.anthropic.claude-opus-4-20250514-v1:0", "claude-opus-4", "fallback"),
        ("us.anthropic.claude-opus-4-20250514-v1:0:200k", "claude-opus-4", "fallback"),
        (
            "arn:aws:bedrock:us-east-1:123:inference-profile/global.anthropic.claude-fable-5-v1",
            "claude-fable-5",
            "fallback",
        ),
        ("publishers/anthropic/models/claude-fable-5@20260601", "claude-fable-5", "fallback"),
        ("projects/p/locations/l/publishers/anthropic/models/claude-fable-5-1", "claude-fable-5-1", "fallback"),
        ("anthropic/claude-opus-5-5", "claude-opus-5-5", "fallback"),
        ("anthropic/claude-opus-5-5[1m]", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5[1M]", "claude-opus-5-5", "fallback"),
        ("anthropic/claude-opus-5-5@default", "claude-opus-5-5", "fallback"),
        ("anthropic/claude-opus-5.5", "claude-opus-5-5", "fallback"),
        ("openrouter/anthropic/claude-opus-5.5:beta", "claude-opus-5-5", "fallback"),
        ("anthropic/claude-5.5-opus-20261001", "claude-opus-5-5", "fallback"),
        ("anthropic/claude-4-opus", "claude-opus-4", "fallback"),
        ("litellm_proxy/claude-opus-5-5", "claude-opus-5-5", "fallback"),
        ("vertex_ai/claude-opus-5-5@20261001", "claude-opus-5-5", "fallback"),
        ("vertex_ai/claude-opus-5-5@default", "claude-opus-5-5", "fallback"),
        ("azure_ai/claude-opus-5-5", "claude-opus-5-5", "fallback"),
        ("databricks/databricks-claude-opus-5-5", "claude-opus-5-5", "fallback"),
        ("bedrock/global.anthropic.claude-opus-5-5-v1:0", "claude-opus-5-5", "fallback"),
        ("bedrock/converse/global.anthropic.claude-opus-5-5", "claude-opus-5-5", "fallback"),
        (
            "bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-fable-5-v1",
            "claude-fable-5",
            "fallback",
        ),
        ("claude-opus-5.5", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5-thinking", "claude-opus-5-5", "fallback"),
        ("claude-opus-5-5-v2@20261001", "claude-opus-5-5", "fallback"),
        ("anthropic/claude-opus-5-5-fast", "(unpriced)", "unpriced"),
        ("anthropic/claude-opus-latest", "(unpriced)", "unpriced"),
        ("anthropic/", "(unpriced)", "unpriced"),
        ("claude-opus-5.5.1", "(unpriced)", "unpriced"),
        ("/claude-opus-5-5", "(unpriced)", "unpriced"),
        ("claude-opus-5-5/other", "(unpriced)", "unpriced"),
        ("anthropic claude-opus-5-5", "(unpriced)", "unpriced"),
        (None, "(unpriced)", "unpriced"),
        ("", "(unpriced)", "unpriced"),
        ("claude-fable", "(unpriced)", "unpriced"),
        ("claude-fable-5-2", "(unpriced)", "unpriced"),
        ("claude-fable-5-1-1", "(unpriced)", "unpriced"),
        ("claude-opus-5-5x", "(unpriced)", "unpriced"),
        ("claude-opus-5-5-2026", "(unpriced)", "unpriced"),
        ("claude-opus-5-5-20261001-20261001", "(unpriced)", "unpriced"),
        ("xclaude-opus-5-5", "(unpriced)", "unpriced"),
        ("amazon.nova-pro-v1:0", "(unpriced)", "unpriced"),
        ("arn:aws:bedrock:us-east-1:123:application-inference-profile/abc", "(unpriced)", "unpriced"),
        ("a" * 177 + ".anthropic.claude-opus-5-5-1", "(unpriced)", "unpriced"),
    ],
)
def test_whose_price(model: str | None, row: str, state: str) -> None:
    """
    A model is found by its whole ID or a known form of it, never by the beginning of an ID.
    """
    found = TABLE.find(model, NOON)

    assert (row, state) == (found.price.model, found.state)


@pytest.mark.parametrize(
    ("model", "nusd"),
    [
        ("us.anthropic.claude-opus-5-5", 4_400),
        ("us-gov.anthropic.claude-opus-5-5-v1:0", 4_400),
        ("anthropic.claude-opus-5-5", 4_400),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-opus-5-5", 4_400),
        ("global.anthropic.claude-opus-5-5", 4_000),
        ("eu.anthropic.claude-opus-4-20250514-v1:0", 15_000),
        ("bedrock/us.anthropic.claude-opus-5-5", 4_400),
        ("bedrock/us-east-1/anthropic.claude-opus-5-5", 4_400),
        ("bedrock/converse/global.anthropic.claude-opus-5-5", 4_000),
    ],
)
def test_regional_endpoint_costs_more(model: str, nusd: int) -> None:
    """
    A region in a Bedrock id costs a tenth more where the row says so; the US surcharge of the API is not added to it.
    """
    assert (
        nusd
        == TABLE.bill(
            Usage(Tokens(input=1), inference_geo="us" if nusd == 4_400 else None), model, NOON
        ).cost.total_nusd
    )


def test_regional_rows_keep_their_columns() -> None:
    """
    Fast and long prices are raised alike.
    """
    fast = TABLE.at("us.anthropic.claude-opus-5-5", NOON)
    long = TABLE.at("us.anthropic.claude-haiku-5-5", NOON)

    assert cost_nusd(Usage(Tokens(input=1), speed="fast"), fast) == 8_800
    assert cost_nusd(Usage(Tokens(input=100_001)), long) == 55_000_550
    assert "regional" in long.source


@pytest.mark.parametrize(
    ("when", "read"),
    [
        (datetime(2024, 1, 1, tzinfo=UTC), "0.20"),
        (datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC), "0.20"),
        (datetime(2026, 10, 7, tzinfo=UTC), "0.10"),
        (datetime(2026, 10, 7, 1, tzinfo=timezone(timedelta(hours=2))), "0.20"),
    ],
)
def test_price_of_the_day(when: datetime, read: str) -> None:
    """
    Days begin at midnight UTC.
    """
    assert Decimal(read) == TABLE.at("claude-sonnet-5-5", when).standard.cache_read_usd_per_mtok


def test_price_changes_at_midnight_utc_while_it_is_asked_for() -> None:
    """
    A price that was found a minute ago applies to its day only, whatever the time zone of the caller is.
    """
    table = PriceTable([SONNET_BEFORE, SONNET])
    last, first = datetime(2026, 10, 6, 23, 59, tzinfo=UTC), datetime(2026, 10, 7, tzinfo=UTC)
    east = timezone(timedelta(hours=14))
    found = [table.find("claude-sonnet-5-5", when).price for when in (last, first, last.astimezone(east), last)]

    assert found == [SONNET_BEFORE, SONNET, SONNET_BEFORE, SONNET_BEFORE]


def test_names_nobody_knows_are_not_kept() -> None:
    """
    The cache of prices stays small, whatever names clients give to models.
    """
    table = PriceTable([OPUS])
    for number in range(1_500):
        table.find(f"claude-opus-5-5-2025{number:04d}", NOON)
        table.find(f"who-{number}", NOON)

    assert len(table._found) <= 1_000
    assert all(found.state != "unpriced" for found in table._found.values())


def test_first_row_reaches_back() -> None:
    """
    Before the first row of a model, its first row applies.
    """
    table = PriceTable([SONNET])

    assert table.at("claude-sonnet-5-5", datetime(2020, 1, 1, tzinfo=UTC)) == SONNET
    assert table.current(NOON) == (SONNET,)


def test_unknown_model_names_the_nearest() -> None:
    """
    The error says which model was requested for which day. The hint names similar models.
    """
    with pytest.raises(UnknownModel, match='no price for model "claude-opus-5-6" on 2026-11-24') as caught:
        TABLE.at("claude-opus-5-6", NOON)

    assert caught.value.hint.startswith("nearest known: claude-opus-5-5")
    with pytest.raises(UnknownModel) as caught:
        TABLE.at("?" * 100_000, NOON)
    assert "nearest" not in caught.value.hint
    assert len(str(caught.value)) < 300


def test_unknown_model_costs_the_dearest() -> None:
    """
    No known price is higher in any column, at either speed.
    """
    dearest = TABLE.find("claude-next-9", NOON).price

    for row in TABLE.rows:
        for speed in ("standard", "fast"):
            usage = replace(EACH, web_searches=1, speed=speed, inference_geo="us")
            assert cost_nusd(usage, dearest) >= cost_nusd(usage, row)


def test_free_is_a_price() -> None:
    """
    A price of zero is allowed. An empty table is an error.
    """
    assert cost_nusd(EACH, PriceTable([a_price(rates="0 0 0 0 0")]).at("claude-opus-5-5", NOON)) == 0
    with pytest.raises(ConfigError, match="empty"):
        PriceTable([])


@given(
    st.sampled_from([row.model for row in TABLE.rows] + ["us.anthropic.claude-opus-5-5-v1:0", "claude-next-9"]),
    st.lists(st.integers(0, 10**7), min_size=4, max_size=4),
    st.sampled_from([None, "standard", "fast"]),
    st.sampled_from([None, "batch"]),
    st.sampled_from([None, "us", "global"]),
)
def test_rates_per_token_are_the_bill(
    model: str, counts: list[int], speed: str | None, tier: str | None, geo: str | None
) -> None:
    """
    Summed in atto-dollars and rounded once, many requests cost what a single bill for them would say.
    """
    plain, five, hour, read = counts
    tokens = Tokens(plain, five, hour, read)
    usage = Usage(tokens, service_tier=tier, inference_geo=geo, speed=speed)
    rates = TABLE.input_rates(usage, model, NOON)

    assert tokens.prompt_at(rates) == rates.cost_ausd(plain, five, hour, read)
    assert nusd_of(tokens.prompt_at(rates)) == TABLE.bill(usage, model, NOON).cost.input_nusd
    assert rates.state == TABLE.find(model, NOON).state


def test_atto_dollars_are_rounded_up() -> None:
    """
    Positive and negative amounts are rounded up.
    """
    assert [nusd_of(ausd) for ausd in (0, 1, 10**9, 10**9 + 1, -1, -(10**9))] == [0, 1, 1, 2, 0, -1]
