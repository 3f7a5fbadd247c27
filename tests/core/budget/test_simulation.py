"""
A budget simulated: the guard's and the client's tables through it, and traces whose outcome was worked out by hand.
"""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.admission import Allowed, Refused
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.scales import advise, guard
from savemode_cli.core.budget.simulation import COLUMNS, TraceSimulation, boundaries, telling_spends, trial
from savemode_cli.core.budget.trace import Request
from savemode_cli.core.budget.window import Window
from tests.support.requests import CAP, FIRST, NOW, USD, at, nusd


def test_boundaries() -> None:
    """
    Of $20: 70 % is $14, 85 % is $17 on both scales, and the cap.
    """
    assert [(one.scale, one.name, one.from_nusd) for one in boundaries(CAP)] == [
        ("client", "warn", 14 * USD),
        ("guard", "warn", 17 * USD),
        ("client", "engage", 17 * USD),
        ("guard", "exceeded", 20 * USD),
        ("client", "blocked", 20 * USD),
    ]
    assert boundaries(Budget("b", 0)) == ()


@given(st.integers(1, 10**13), st.decimals("0.0001", "1", places=4), st.decimals("0.0001", "1", places=4))
def test_boundaries_are_where_the_tiers_begin(limit: int, one: Decimal, other: Decimal) -> None:
    """
    At each the scale has moved on, and a nano-dollar before it has not.
    """
    budget = Budget("b", limit, warn_at=min(one, other), engage_at=max(one, other))
    guards, clients = ["ok", "warn", "exceeded"], ["ok", "warn", "engage", "blocked"]
    for tier in boundaries(budget):
        for spend, reached in ((tier.from_nusd, True), (tier.from_nusd - 1, False)):
            if tier.scale == "guard":
                rank = guards.index(str(guard(limit, spend).status)) >= guards.index(tier.name)
            else:
                state = advise(limit, spend, budget.warn_at, budget.engage_at).state
                rank = clients.index(state) >= clients.index(tier.name)
            assert rank == reached


def test_telling_spends() -> None:
    """
    Nothing, each boundary and the nano-dollar before it, a quarter beyond the cap.
    """
    assert telling_spends(CAP) == (
        0,
        14 * USD - 1,
        14 * USD,
        17 * USD - 1,
        17 * USD,
        20 * USD - 1,
        20 * USD,
        25 * USD,
    )
    assert telling_spends(Budget("b", 0)) == (0,)


@pytest.mark.parametrize(
    ("budget", "spend", "override", "allow", "status", "remaining"),
    [
        ("20", "25", True, True, "override", None),
        ("0", "99", False, True, None, None),
        ("20", None, False, True, "unknown", None),
        ("20", "25", False, False, "exceeded", "0"),
        ("20", "12", False, True, "ok", "8"),
        ("20", "18", False, True, "warn", "2"),
        ("20", "20", False, False, "exceeded", "0"),
        ("20", "17", False, True, "warn", "3"),
        ("20", "16.99", False, True, "ok", "3.01"),
        ("-5", "1", False, True, None, None),
        ("20", "-5", False, True, "ok", "25"),
        ("5.40", "4.59", False, True, "warn", "0.81"),
    ],
)
def test_guard(
    budget: str, spend: str | None, override: bool, allow: bool, status: str | None, remaining: str | None
) -> None:
    """
    The guard's table.
    """
    one = trial(Budget("b", nusd(budget)), None if spend is None else nusd(spend), NOW, override=override)

    assert (one.allowed, one.status) == (allow, status)
    assert one.remaining_nusd == (None if remaining is None else nusd(remaining))


@pytest.mark.parametrize(
    ("spend", "mode", "model", "effort"),
    [
        ("5", "off", "claude-opus-4-8", "max"),
        ("15", "balanced", "claude-opus-4-8", "high"),
        ("17.5", "max_save", "claude-sonnet-5-5", "medium"),
        ("22", "max_save", "claude-sonnet-5-5", "medium"),
    ],
)
def test_advice(spend: str, mode: str, model: str, effort: str) -> None:
    """
    The client's table, and what its mode runs.
    """
    one = trial(CAP, nusd(spend), NOW)
    resolved = one.resolved("claude-opus-4-8", "max", "claude-sonnet-5-5")

    assert one.advice is not None
    assert resolved is not None
    assert (one.advice.recommended_mode, resolved.model, resolved.effort) == (mode, model, effort)


def test_unknown_spend() -> None:
    """
    Nobody can advise on it, and `fail` decides.
    """
    one = trial(CAP, None, NOW, fail="closed")

    assert (one.allowed, one.status, one.advice, one.resolved("m", None)) == (False, "unknown", None, None)


@pytest.mark.parametrize(
    ("held", "ask", "strict", "reason"),
    [(3, 0, False, "held"), (1, 2, True, "held"), (0, 3, True, "ask"), (1, 1, True, None), (0, 9, False, None)],
)
def test_held_and_asked(held: int, ask: int, strict: bool, reason: str | None) -> None:
    """
    $18 of $20 spent: what others hold and, if strict, what the request may cost stand in the way.
    """
    budget = Budget("b", 20 * USD, strict=strict)
    decision = trial(budget, 18 * USD, NOW, held_nusd=held * USD, ask_nusd=ask * USD).decision

    assert reason == (decision.reason if isinstance(decision, Refused) else None)


def test_a_month() -> None:
    """
    $6 a day against $20: $6, $12, $18 and $24 run, the fourth crosses the line, then three are refused.
    """
    run = TraceSimulation(CAP)
    decisions = [run.feed(at(day, "6")) for day in range(1, 8)]
    (window,) = run.windows

    assert [isinstance(one, Allowed) for one in decisions] == [True] * 4 + [False] * 3
    assert (window.offered.count, window.offered.nusd) == (7, 42 * USD)
    assert (window.ran.count, window.ran.nusd, window.over_nusd) == (4, 24 * USD, 4 * USD)
    assert (window.refused_in_all.count, window.refused_in_all.nusd) == (3, 18 * USD)
    assert set(window.refused) == {"spent"}
    assert window.first_refused_at == FIRST + timedelta(days=4)
    assert {name: moment.day for name, moment in window.began.items()} == {
        ("client", "warn"): 3,
        ("guard", "warn"): 3,
        ("client", "engage"): 3,
        ("guard", "exceeded"): 4,
        ("client", "blocked"): 4,
    }


def test_strict_month() -> None:
    """
    Strict: $6 three times; the fourth would cross and is refused, a smaller one still fits.
    """
    run = TraceSimulation(Budget("b", 20 * USD, strict=True))
    for day, usd in ((1, "6"), (2, "6"), (3, "6"), (4, "6"), (5, "2"), (6, "0.01")):
        run.feed(at(day, usd))
    (window,) = run.windows

    assert (window.ran.nusd, window.over_nusd) == (20 * USD, 0)
    assert {reason: tally.count for reason, tally in window.refused.items()} == {"ask": 1, "spent": 1}


def test_held_by_others() -> None:
    """
    A request under way holds what it costs: one that comes meanwhile is refused for the moment, not for good.
    """
    run = TraceSimulation(CAP)
    run.feed(at(1, "15", minutes=60))
    run.feed(at(1, "15", minutes=60))
    during = run.feed(at(1, "1", hour=0))
    after = run.feed(at(1, "1", hour=1))

    assert isinstance(during, Refused)
    assert isinstance(after, Refused)
    assert (during.reason, after.reason) == ("held", "spent")


def test_override() -> None:
    """
    With the override nothing is refused, and all is counted.
    """
    run = TraceSimulation(CAP, override=True)
    for day in range(1, 8):
        run.feed(at(day, "6"))

    assert (run.windows[0].ran.nusd, run.windows[0].refused) == (42 * USD, {})


def test_windows() -> None:
    """
    A new window begins with nothing spent; a request is charged to the one it started in.
    """
    run = TraceSimulation(Budget("b", 20 * USD, Window("week")))
    for day in (1, 2, 9):
        run.feed(at(day, "15"))

    assert [(one.starts_at.date().isoformat(), one.ran.nusd) for one in run.windows] == [
        ("2026-10-26", 15 * USD),
        ("2026-11-02", 15 * USD),
        ("2026-11-09", 15 * USD),
    ]


def test_late() -> None:
    """
    A request that comes too late is taken as if it came now, and counted.
    """
    run = TraceSimulation(CAP)
    run.feed(at(9, "1"))
    run.feed(at(1, "1"))

    assert (run.late, run.windows[0].ran.count) == (1, 2)


def test_curve() -> None:
    """
    Half a day is one step of November's sixty; it ends with the last request.
    """
    run = TraceSimulation(CAP)
    for request in (at(1, "6", hour=13), at(3, "6"), at(3, "10"), at(4, "6"), at(30, "1", hour=23)):
        run.feed(request)
    (window,) = run.windows

    assert window.curve_nusd[:7] == [0, 6 * USD, 6 * USD, 6 * USD, 22 * USD, 22 * USD, 22 * USD]
    assert (len(window.curve_nusd), window.curve_nusd[-1]) == (COLUMNS, 22 * USD)
    assert window.offered_curve_nusd[6:8] == [28 * USD, 28 * USD]


def test_rolling_window() -> None:
    """
    What left the window makes room, what was spent in the last period still counts, and the cap is crossed by the one
    request that may.
    """
    simulation = TraceSimulation(Budget("b", 10 * USD, Window("rolling", hours=24)))
    hours, costs = (0, 20, 22, 23, 25, 45), (6, 3, 2, 1, 5, 5)

    decisions = [
        simulation.feed(Request(FIRST + timedelta(hours=hour), cost * USD))
        for hour, cost in zip(hours, costs, strict=True)
    ]

    assert [type(one).__name__ for one in decisions] == ["Allowed"] * 3 + ["Refused"] + ["Allowed"] * 2
    refused = decisions[3]
    assert isinstance(refused, Refused)
    assert refused.standing is not None
    assert refused.standing.resets_at == FIRST + timedelta(hours=24)
    first, second = simulation.windows
    assert (first.starts_at, first.ends_at, second.ends_at) == (
        FIRST,
        FIRST + timedelta(days=1),
        FIRST + timedelta(days=2),
    )
    assert (first.ran.nusd, first.over_nusd, second.ran.nusd) == (11 * USD, USD, 10 * USD)
    assert second.over_nusd == 2 * USD


def test_window_that_does_not_end() -> None:
    """
    It is reported by 30 days, and what was spent in the first of them counts in the last.
    """
    simulation = TraceSimulation(Budget("b", 10 * USD, Window("none")))
    for days in (0, 1, 40, 100):
        simulation.feed(Request(FIRST + timedelta(days=days), 5 * USD))

    runs = [((run.starts_at - FIRST).days, run.ran.count, run.refused_in_all.count) for run in simulation.windows]
    assert runs == [(0, 2, 0), (30, 0, 1), (90, 0, 1)]
