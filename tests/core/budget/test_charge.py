"""
What a request is charged: an estimate before it is sent, and a settlement by how it ended.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.charge import (
    Ending,
    PromptSize,
    Settlement,
    ask_nusd,
    ceiling_nusd,
    estimated,
    expected_nusd,
    opening_nusd,
    prompt_size,
    settlement,
)
from savemode_cli.core.wire.additions import UNREAD, Additions
from savemode_cli.core.wire.answer import Outcome
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.builders import a_price, usd

NOW = datetime(2026, 11, 24, tzinfo=UTC)


OUTCOMES: tuple[Outcome, ...] = ("ok", "upstream_error", "client_gone", "broken")
OK, ERROR, GONE, BROKEN = (Ending(one) for one in OUTCOMES)
LOST = Ending("unreachable")
"""It was sent, and nothing came back."""
NOT_SENT = Ending("unreachable", sent=False)


@pytest.mark.parametrize(
    ("ending", "cost", "final", "charged"),
    [
        (OK, 7, True, Settlement(7, "reported")),
        (OK, 0, True, Settlement(0, "reported")),
        (OK, 7, False, Settlement(7, "estimated")),
        (OK, None, False, Settlement(100, "held")),
        (Ending("refused"), None, False, Settlement(0, "none")),
        (NOT_SENT, None, False, Settlement(0, "none")),
        (Ending("client_gone", sent=False), None, False, Settlement(0, "none")),
        (LOST, None, False, Settlement(100, "held")),
        (ERROR, None, False, Settlement(0, "none")),
        (ERROR, 7, False, Settlement(7, "estimated")),
        (ERROR, 7, True, Settlement(7, "reported")),
        (GONE, 7, False, Settlement(7, "estimated")),
        (GONE, 7, True, Settlement(7, "reported")),
        (GONE, 0, False, Settlement(0, "estimated")),
        (GONE, None, False, Settlement(100, "held")),
        (BROKEN, None, False, Settlement(100, "held")),
        (BROKEN, 7, False, Settlement(7, "estimated")),
        (BROKEN, 107, True, Settlement(107, "reported")),
        (Ending("broken", silent=True), None, False, Settlement(0, "none")),
        (Ending("broken", readable=False), None, False, Settlement(100, "held")),
        (Ending("broken", readable=False), 7, False, Settlement(100, "held")),
        (Ending("client_gone", readable=False), 107, False, Settlement(107, "held")),
    ],
)
def test_settlement(ending: Ending, cost: int | None, final: bool, charged: Settlement) -> None:
    """
    Each ending has its charge. A reported 0 is a value. If nobody counted the usage, the hold is charged.
    """
    found = settlement(ending, cost, final=final, held_nusd=100)

    assert charged == found
    assert bool(found.note) == (found.basis in ("held", "estimated") or ending.silent or not ending.sent)


@pytest.mark.parametrize("final", [True, False])
def test_what_the_api_does_not_bill(final: bool) -> None:
    """
    The charge is 0, whatever was held, and the note says why.
    """
    found = settlement(OK, 0, final=final, held_nusd=100, billed=False)

    assert found == Settlement(0, "none")
    assert "does not bill" in found.note


@pytest.mark.parametrize(
    ("ending", "reached"),
    [(OK, True), (GONE, True), (BROKEN, True), (LOST, True), (NOT_SENT, False), (ERROR, False)],
)
def test_reached(ending: Ending, reached: bool) -> None:
    """
    Whether a model may have received the request.
    """
    assert ending.reached == reached


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
    assert held == expected_nusd(recent, 5000, 4500, prompt_tokens=body, new_tokens=new)


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
    A hold is between 0 and the ceiling, whatever the past costs are.
    """
    assert 0 <= expected_nusd(recent, ceiling, opening, prompt_tokens=body, new_tokens=new) <= ceiling


def test_agent_is_not_held_at_many_times_its_cost() -> None:
    """
    The median step of an agent: the hold covers it, at less than four times its cost, where the ceiling has a hundred.

    At $4 input, $5 write, $0.20 read, $20 output per million: 126,000 tokens of prompt of which 857 are new, and 252 of
    output cost 125,143 x 200 + 857 x 5,000 + 252 x 20,000 = 34,353,600 nano-USD. The ceiling writes all of the prompt
    and puts out 128,000: 126,000 x 5,000 + 128,000 x 20,000 = 3,190,000,000.
    """
    cost, ceiling = 34_353_600, 3_190_000_000

    held = expected_nusd([cost] * 5, ceiling, ceiling, prompt_tokens=126_000 * 4, new_tokens=857 * 4)

    assert cost < held < 4 * cost
    assert ceiling > 90 * cost


def test_strict_budget_holds_the_ceiling() -> None:
    """
    Only the ceiling is never crossed. A strict budget without a limit does not count.
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
    The whole prompt written, and an answer of some pages at most.
    """
    assert opening_nusd(Facts(max_tokens=max_tokens, fast=fast), 200, FAST) == opening


@pytest.mark.parametrize(
    ("added", "held", "most", "likely"),
    [
        (Additions(), 0, 700, 200),
        (Additions(tokens=300), 0, 1_000, 200),
        (Additions(thread="continue"), 5_000, 5_700, 5_200),
        (Additions(thread="continue"), 200_000, 200_000, 200_000),
        (Additions(thread="continue"), None, 200_000, 200_000),
        (Additions(documents=True), 0, 200_000, 200),
        (Additions(documents=True, files=("a",)), 5_000, 200_000, 5_200),
        (UNREAD, 0, 200_000, 200),
    ],
)
def test_prompt_size(added: Additions, held: int | None, most: int, likely: int) -> None:
    """
    A token for each byte at most, and for each 3.5 bytes likely, and what the API adds; of a context of 200,000.
    """
    assert prompt_size(Facts(added=added), 700, held, 200_000) == PromptSize(most, likely)


def test_prompt_beyond_the_context() -> None:
    """
    The API would refuse it. savemode does not refuse a body for its length.
    """
    assert prompt_size(Facts(added=UNREAD), 300_000, 0, 200_000).most_tokens == 300_000
    assert prompt_size(Facts(problem="not valid JSON"), 700, 0, 200_000).most_tokens == 200_000


def test_compaction_is_a_pass_of_its_own() -> None:
    """
    Its tokens are billed in addition to the answer's.
    """
    known = Facts(max_tokens=10, added=Additions(compacts=True))

    assert ceiling_nusd(known, 700, FAST) == 2 * ceiling_nusd(Facts(max_tokens=10), 700, FAST)


@pytest.mark.parametrize(("chars", "tokens"), [(0, 3), (12, 3), (13, 4), (4000, 1000)])
def test_cut_short(chars: int, tokens: int) -> None:
    """
    Four characters per token, rounded up, and never less than was reported.
    """
    assert estimated(Usage(Tokens(output=3)), chars) == Usage(Tokens(output=tokens))


def test_unknown_bill_costs_what_was_held() -> None:
    """
    This includes a request for which nothing was held.
    """
    assert settlement(BROKEN, None, final=False, held_nusd=0) == Settlement(0, "held")


def test_body_of_one_byte() -> None:
    """
    The smallest body that grew by all of itself is held at the ceiling, if the session has a past.
    """
    assert expected_nusd((1,), 100, 50, prompt_tokens=1, new_tokens=1) == 100
    assert expected_nusd((1,), 100, 50, prompt_tokens=1, new_tokens=0) == 2
