"""
The two scales of a spend and the save modes: every case of the three tables, and amounts to the last nano-dollar.
"""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.tiers import (
    ENGAGE_AT,
    MOST_NUSD,
    WARN_AT,
    Resolved,
    advise,
    amounts,
    dollars,
    exact_usd,
    guard,
    parse_usd,
    reaches,
    resolve_mode,
    usd,
)
from tests.cases import cases


@pytest.mark.parametrize("case", cases("guard"))
def test_guard_case(case: dict[str, Any]) -> None:
    """
    The guard answers as the table says, the remaining amount in cents included.
    """
    verdict = guard(parse_usd(case["budget_usd"]), parse_usd(case["spend_usd"]), override=case["override"])

    assert (case["allow"], case["status"]) == (verdict.allow, verdict.status)
    assert case["remaining_usd"] == verdict.remaining_usd


@pytest.mark.parametrize("case", cases("states"))
def test_state_case(case: dict[str, Any]) -> None:
    """
    The client's state and the mode it should run are those of the table.
    """
    spend = parse_usd(case["spend_usd"])
    assert spend is not None

    advice = advise(
        parse_usd(case["budget_usd"]),
        spend,
        WARN_AT if case["warn_at"] is None else Decimal(case["warn_at"]),
        ENGAGE_AT if case["engage_at"] is None else Decimal(case["engage_at"]),
    )

    assert (case["state"], case["recommended_mode"]) == (advice.state, advice.recommended_mode)
    assert case["block"] == advice.block


@pytest.mark.parametrize("case", cases("modes"))
def test_mode_case(case: dict[str, Any]) -> None:
    """
    A mode runs the model and effort of the table.
    """
    resolved = resolve_mode(case["mode"], case["model"], case["effort"], full_power=case["full_power"])

    assert case["effective_model"] == resolved.model
    assert case["effective_effort"] == resolved.effort
    assert case["save_mode_active"] == resolved.active


@pytest.mark.parametrize("effort", [None, "adaptive"])
def test_effort_nobody_can_rank_stays(effort: str | None) -> None:
    """
    An effort that is absent or unknown is neither lowered nor invented.
    """
    assert resolve_mode("max_save", "claude-haiku-4-5", effort) == Resolved("claude-haiku-4-5", effort, active=True)


@pytest.mark.parametrize("fail", ["open", "closed"])
def test_unknown_spend(fail: Any) -> None:
    """
    Without a ledger the request starts, unless the configuration says otherwise; the status is `unknown` either way.
    """
    verdict = guard(1, None, fail=fail)

    assert (verdict.allow, verdict.status) == (fail == "open", "unknown")


@pytest.mark.parametrize(
    ("text", "nusd"),
    [
        ("20", 20_000_000_000),
        (" 0.01 ", 10_000_000),
        ("-5", -5_000_000_000),
        ("+.5", 500_000_000),
        ("5.", 5_000_000_000),
        ("1e-9", 1),
        ("2E1", 20_000_000_000),
        ("0.000000001", 1),
        ("1.000000000000000000000000000000", 1_000_000_000),
        ("9007199.254740991", MOST_NUSD),
        ("9007199.254740992", None),
        ("0.0000000001", None),
        ("123456789012.000000000000000000000000000001", None),
        ("1e99", None),
        ("1e999999999", None),
        ("9" * 5000, None),
        ("NaN", None),
        ("sNaN", None),
        ("Infinity", None),
        ("-inf", None),
        ("", None),
        ("$5", None),
        ("1,5", None),
        ("1_000", None),
        ("٣", None),
        ("5 USD", None),
        (None, None),
    ],
)
def test_parse_usd(text: str | None, nusd: int | None) -> None:
    """
    A decimal amount is read exactly or not at all.
    """
    assert nusd == parse_usd(text)


@pytest.mark.parametrize(
    ("nusd", "text", "for_people"),
    [
        (0, "0.00", "$0.00"),
        (9_999_999, "0.00", "$0.009999999"),
        (13_200_000, "0.01", "$0.0132"),
        (500_000_000, "0.50", "$0.50"),
        (19_999_999_999, "19.99", "$19.99"),
        (20_000_000_000, "20.00", "$20.00"),
        (-1, "-0.01", "-$0.000000001"),
    ],
)
def test_amounts_are_written_rounded_down(nusd: int, text: str, for_people: str) -> None:
    """
    Two decimals never promise more than is there; a person sees the small ones in full.
    """
    assert (text, for_people) == (usd(nusd), dollars(nusd))


@settings(deadline=None)
@given(st.integers(1, MOST_NUSD), st.integers(0, MOST_NUSD), st.decimals("0.01", "1", places=4, allow_nan=False))
def test_tiers_are_exact(budget: int, spend: int, fraction: Decimal) -> None:
    """
    A fraction is reached exactly where a comparison without rounding says so.
    """
    scaled = int(fraction * 10_000)

    assert reaches(spend, budget, fraction) == (spend * 10_000 >= budget * scaled)


def test_every_cent_of_small_budgets_stands_in_its_tier() -> None:
    """
    Budgets of whole cents whose 85 % is a whole cent too: that cent warns, and a nano-dollar less does not.
    """
    for cents in range(20, 20_000, 20):
        budget = cents * 10_000_000
        edge = budget * 85 // 100

        assert (guard(budget, edge).status, guard(budget, edge - 1).status) == ("warn", "ok")


def test_amounts() -> None:
    """
    For machines: the integer and the same amount as text, and neither where there is none.
    """
    assert amounts(spent=17_509_999_999, left=None) == {
        "spent_nusd": 17_509_999_999,
        "spent_usd": "17.509999999",
        "left_nusd": None,
        "left_usd": None,
    }


@given(st.integers(0, MOST_NUSD))
def test_machines_get_the_exact_amount(nusd: int) -> None:
    """
    What is printed for machines reads back as the same integer; what people read is never more.
    """
    shown = parse_usd(dollars(nusd).removeprefix("$"))

    assert parse_usd(exact_usd(nusd)) == nusd
    assert shown is not None
    assert nusd - 10_000_000 < shown <= nusd


def test_the_smallest_budget_is_one() -> None:
    """
    A nano-dollar is a cap; nothing, and less than nothing, is none.
    """
    assert (guard(1, 0).status, guard(1, 1).status) == ("ok", "exceeded")
    assert (guard(1, 0).remaining_nusd, guard(1, 1).remaining_nusd) == (1, 0)
    assert (guard(0, 0).status, guard(-1, 0).status) == (None, None)
    assert (advise(1, 0).state, advise(1, 1).state) == ("ok", "blocked")
    assert (advise(0, 0).state, advise(-1, 0).state) == ("disabled", "disabled")


@pytest.mark.parametrize(
    ("nusd", "expected"),
    [
        (-5_000_000_000, "-$5.00"),
        (-1_500_000, "-$0.0015"),
        (0, "$0.00"),
        (1_500_000, "$0.0015"),
        (20 * 10**9, "$20.00"),
    ],
)
def test_a_sign_stands_before_the_currency(nusd: int, expected: str) -> None:
    """
    `$-5.00` is no amount that anybody writes.
    """
    assert dollars(nusd) == expected
