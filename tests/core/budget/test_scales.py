"""
The two scales of a spend and the save modes: every case of the three tables, and amounts to the last nano-dollar.
"""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.scales import ENGAGE_AT, WARN_AT, Mode, Resolved, advise, guard, reaches, resolve_mode
from savemode_cli.core.money.amounts import MOST_NUSD, parse_usd
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
    A mode runs the model and effort of the table, in which Sonnet 4.6 stands in for every dear model.
    """
    dear = any(family in case["model"] for family in ("opus", "fable"))
    cheaper = "claude-sonnet-4-6" if dear else None
    mode: Mode = "off" if case["full_power"] else case["mode"]  # a person may ask for full power once
    resolved = resolve_mode(mode, case["model"], case["effort"], cheaper=cheaper)

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
