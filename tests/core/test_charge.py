"""
What a request is charged: sized before it is sent, settled by how it ended.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.budget import Budget, limit_of
from savemode_cli.core.charge import (
    Outcome,
    Settlement,
    ask_nusd,
    ceiling_nusd,
    estimated,
    expected_nusd,
    opening_nusd,
    settlement,
)
from savemode_cli.core.messages import Facts
from savemode_cli.core.pricing import Usage
from tests.builders import a_price, usd

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("outcome", "cost", "final", "charged"),
    [
        ("ok", 7, True, Settlement(7, "reported")),
        ("ok", 0, True, Settlement(0, "reported")),
        ("ok", 7, False, Settlement(7, "estimated")),
        ("ok", None, False, Settlement(100, "held")),
        ("refused", None, False, Settlement(0, "none")),
        ("unreachable", None, False, Settlement(0, "none")),
        ("upstream_error", None, False, Settlement(0, "none")),
        ("upstream_error", 7, False, Settlement(7, "estimated")),
        ("upstream_error", 7, True, Settlement(7, "reported")),
        ("client_gone", 7, False, Settlement(7, "estimated")),
        ("client_gone", 7, True, Settlement(7, "reported")),
        ("client_gone", 0, False, Settlement(0, "estimated")),
        ("client_gone", None, False, Settlement(100, "held")),
        ("broken", None, False, Settlement(100, "held")),
        ("broken", 7, False, Settlement(100, "held")),
        ("broken", 107, True, Settlement(107, "held")),
    ],
)
def test_settlement(outcome: Outcome, cost: int | None, final: bool, charged: Settlement) -> None:
    """
    Each way to end has its charge; a reported 0 is a value, and what nobody counted costs what was held.
    """
    assert charged == settlement(outcome, cost, final=final, held_nusd=100)


@pytest.mark.parametrize(
    ("recent", "body", "new", "held"),
    [
        ([], 1000, 1000, 4500),
        ([90], 1000, 0, 180),
        ([90], 1000, 10, 230),
        ([90], 1000, -10, 180),
        ([90], 1000, 3, 195),
        ([90], 999, 1, 186),
        ([90], 1000, -1000, 180),
        ([90], 1000, -1001, 4500),
        ([90], 1000, 9999, 5000),
        ([90], 0, 0, 4500),
        ([4000], 1000, 0, 5000),
        ([900, 90], 1000, 0, 1800),
        ([900, 90, 80], 1000, 0, 180),
        ([900, 900, 900, 90, 80, 70, 60, 50], 1000, 0, 140),
        ([0], 1000, 0, 0),
    ],
)
def test_expected(recent: list[int], body: int, new: int, held: int) -> None:
    """
    Twice the median of the last five, what is new at the ceiling's rate rounded up, never more than the ceiling.
    """
    assert held == expected_nusd(recent, 5000, 4500, body_bytes=body, new_bytes=new)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 10**10)),
    st.integers(0, 10**10),
    st.integers(0, 10**10),
    st.integers(0, 10**7),
    st.integers(-(10**7), 10**7),
)
def test_expected_is_never_beyond_the_ceiling(
    recent: list[int], ceiling: int, opening: int, body: int, new: int
) -> None:
    """
    Whatever the past, a hold is an amount between nothing and the ceiling.
    """
    assert 0 <= expected_nusd(recent, ceiling, opening, body_bytes=body, new_bytes=new) <= ceiling


def test_agent_is_not_held_at_many_times_its_cost() -> None:
    """
    The median step of an agent: the hold covers it, at less than four times its cost, where the ceiling has a hundred.

    At $4 input, $5 write, $0.20 read, $20 output per million: 126,000 tokens of prompt of which 857 are new, and 252 of
    output cost 125,143 x 200 + 857 x 5,000 + 252 x 20,000 = 34,353,600 nano-USD. The ceiling writes all of the prompt
    and puts out 128,000: 126,000 x 5,000 + 128,000 x 20,000 = 3,190,000,000.
    """
    cost, ceiling = 34_353_600, 3_190_000_000

    held = expected_nusd([cost] * 5, ceiling, ceiling, body_bytes=126_000 * 4, new_bytes=857 * 4)

    assert cost < held < 4 * cost
    assert ceiling > 90 * cost


def test_strict_budget_holds_the_ceiling() -> None:
    """
    Only a ceiling is never crossed; a strict budget that caps nothing does not count.
    """
    loose, strict, off = (
        limit_of(Budget("b", limit, strict=strict), "", NOW) for limit, strict in [(9, False), (9, True), (0, True)]
    )

    assert ask_nusd([loose, off], 1, 7) == 1
    assert ask_nusd([loose, strict], 1, 7) == 7


# A token written for an hour costs 8,000 nano-dollars, one of output 20,000; fast mode doubles, US inference is x 1.1.
FAST = a_price(fast=usd("8 40 10 16 0.40"), us_multiplier=Decimal("1.1"))


@pytest.mark.parametrize(
    ("max_tokens", "fast", "ceiling"),
    [
        (10, False, (700 * 8_000 + 10 * 20_000) * 11 // 10),
        (0, False, 700 * 8_000 * 11 // 10),
        (-5, False, 700 * 8_000 * 11 // 10),
        (None, False, (700 * 8_000 + 128_000 * 20_000) * 11 // 10),
        (10, True, (700 * 16_000 + 10 * 40_000) * 11 // 10),
    ],
)
def test_ceiling(max_tokens: int | None, fast: bool, ceiling: int) -> None:
    """
    Every byte a token written for an hour, every token of output that is allowed, at US rates.
    """
    assert ceiling_nusd(Facts(max_tokens=max_tokens, fast=fast), 700, FAST) == ceiling


@pytest.mark.parametrize(
    ("max_tokens", "fast", "opening"),
    [
        (10, False, 200 * 8_000 + 10 * 20_000),
        (0, False, 200 * 8_000),
        (-5, False, 200 * 8_000),
        (5_000, False, 200 * 8_000 + 4_000 * 20_000),
        (None, False, 200 * 8_000 + 4_000 * 20_000),
        (10, True, 200 * 16_000 + 10 * 40_000),
    ],
)
def test_opening(max_tokens: int | None, fast: bool, opening: int) -> None:
    """
    A token for each 3.5 bytes, and an answer of some pages at most.
    """
    assert opening_nusd(Facts(max_tokens=max_tokens, fast=fast), 700, FAST) == opening


@pytest.mark.parametrize(("chars", "tokens"), [(0, 3), (12, 3), (13, 4), (4000, 1000)])
def test_cut_short(chars: int, tokens: int) -> None:
    """
    Four characters a token, rounded up, and never less than was reported.
    """
    assert estimated(Usage(output_tokens=3), chars) == Usage(output_tokens=tokens)


def test_broken_without_a_count_costs_what_was_held() -> None:
    """
    Also where nothing was held.
    """
    assert settlement("broken", None, final=False, held_nusd=0) == Settlement(0, "held")


def test_body_of_one_byte() -> None:
    """
    The smallest body that grew by all of itself is held at the ceiling, if the session has a past.
    """
    assert expected_nusd((1,), 100, 50, body_bytes=1, new_bytes=1) == 100
    assert expected_nusd((1,), 100, 50, body_bytes=1, new_bytes=0) == 2
