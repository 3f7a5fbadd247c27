"""
Which alerts there are, when, and what is in them.
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from savemode_cli.core.budget.admission import Balance, Standing
from savemode_cli.core.budget.alerts import (
    Alert,
    Crossings,
    downgrade_alert,
    guard_alert,
    ledger_alert,
    sample_alert,
    strict_alert,
)
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.budget.report import BudgetReport
from savemode_cli.core.budget.window import parse_window

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
USD = 10**9
SHARES = tuple(map(Decimal, ("0.5", "0.8", "1")))


def standing(spent_nusd: int, *, now: datetime = NOW, who: str = "", **terms: Any) -> Standing:
    """
    A budget of $10 of which so much is spent, and $5 is held, which does not count.
    """
    budget = Budget("b", terms.pop("limit_nusd", 10 * USD), **terms)
    return Standing(limit_of(budget, who, now), Balance(spent_nusd, held_nusd=5 * USD))


def told(crossings: Crossings, *standings: Standing, now: datetime = NOW) -> list[float]:
    """
    The share of the last alert of each crossing.
    """
    return [alerts[-1].facts["budget"]["share"] for alerts in crossings.crossed(standings, now)]


def test_each_share_once() -> None:
    """
    At the amount itself, and not again until the next one.
    """
    crossings = Crossings(SHARES)
    shares = [
        told(crossings, standing(spent)) for spent in (5 * USD - 1, 5 * USD, 6 * USD, 8 * USD, 99 * USD, 100 * USD)
    ]

    assert shares == [[], [0.5], [], [0.8], [1.0], []]


def test_what_lies_behind_is_not_told() -> None:
    """
    But comes along, so that no process tells it later.
    """
    (alerts,) = Crossings(SHARES).crossed([standing(9 * USD)], NOW)

    assert [alert.facts["budget"]["share"] for alert in alerts] == [0.5, 0.8]


def test_window_and_limit_begin_anew() -> None:
    """
    Another window, another person and another limit are alerts of their own; the same is the same in each process.
    """
    month = NOW + timedelta(days=30)
    first = Crossings(SHARES).crossed([standing(5 * USD)], NOW)[0][-1]
    ids = {
        Crossings(SHARES).crossed([one], now)[0][-1].id
        for one, now in (
            (standing(5 * USD), NOW + timedelta(hours=1)),
            (standing(5 * USD, now=month), month),
            (standing(5 * USD, scope="user", who="ann"), NOW),
            (standing(10 * USD, limit_nusd=20 * USD), NOW),
        )
    }

    assert len(ids) == 4
    assert first.id in ids


def test_rolling_window() -> None:
    """
    It has no beginning, so it counts as a new one each time that its length has passed.
    """
    crossings = [
        Crossings(SHARES).crossed([standing(5 * USD, now=now, window=parse_window("24h"))], now)[0][-1].id
        for now in (NOW, NOW + timedelta(minutes=1), NOW + timedelta(days=1))
    ]

    assert crossings[0] == crossings[1] != crossings[2]


def test_budget_without_a_limit() -> None:
    """
    Has no shares.
    """
    assert told(Crossings(SHARES), standing(5 * USD, limit_nusd=0)) == []


def test_text_and_facts() -> None:
    """
    A sentence for people, and numbers for programs, as JSON.
    """
    alert = Crossings(SHARES).crossed([standing(8_031_200_000, scope="user", who="ann")], NOW)[0][-1]

    assert alert.title == "Budget b (user ann): 80 % spent"
    assert alert.text == "$8.0312 of $10.0000 is spent (monthly; resets 2026-12-01 00:00 UTC)."
    shown = alert.to_json()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["budget"] == {
        "name": "b",
        "scope": "user",
        "who": "ann",
        "share": 0.8,
        "refuses": True,
        "limit_nusd": 10 * USD,
        "limit_usd": "10.000000000",
        "spent_nusd": 8_031_200_000,
        "spent_usd": "8.031200000",
    }


def test_other_kinds() -> None:
    """
    A sign of the guard and the ledger's trouble once an hour, a downgrade once a day.
    """
    alarm = Alarm("agents", 21, 20, refused=True)
    later, tomorrow = NOW + timedelta(hours=1), NOW + timedelta(days=1)
    makes: dict[str, tuple[Any, datetime]] = {
        "guard": (lambda at: guard_alert(alarm, "s", at), later),
        "ledger": (lambda at: ledger_alert("l", "disk full", at), later),
        "downgrade": (lambda at: downgrade_alert("m", at), tomorrow),
        "test": (sample_alert, NOW + timedelta(microseconds=1)),
    }
    for kind, (make, then) in makes.items():
        first: Alert = make(NOW)
        assert first.kind == kind
        assert first.text.endswith(".")
        assert first.id == make(NOW).id != make(then).id
    assert guard_alert(alarm, "s", NOW).id != guard_alert(alarm, "other", NOW).id
    assert guard_alert(alarm, "s", NOW).text == (
        "The guard refused a conversation: it runs 21 sub-agents at the same time (limit: 20)."
    )


def test_refusal_of_a_strict_budget() -> None:
    """
    Once a day for each budget and person; what is left is in it, and who it is about.
    """
    report = BudgetReport(
        allowed=False, status="exceeded", reason="ask", left_nusd=300_000_000, name="day", scope="user", who="ann"
    )
    alert = strict_alert(report, NOW)

    assert (alert.kind, alert.title) == ("strict", "Budget day (user ann): a request was refused")
    assert alert.text == (
        "The budget is strict and refused a request, because it may cost more than is left. $0.3000 is left."
    )
    assert alert.to_json()["budget"]["remaining_usd"] == "0.300000000"
    assert alert.id == strict_alert(report, NOW + timedelta(hours=1)).id
    others = [strict_alert(replace(report, who="bob"), NOW), strict_alert(replace(report, name="week"), NOW)]
    tomorrow = strict_alert(report, NOW + timedelta(days=1))
    assert len({one.id for one in (alert, tomorrow, *others)}) == 4
    uncounted = strict_alert(replace(report, reason="uncounted", left_nusd=None), NOW)
    assert uncounted.text.endswith("because its cost is not known.")


def test_memory_is_bounded() -> None:
    """
    The budgets used last are remembered.
    """
    crossings = Crossings(SHARES)
    for number in range(10_001):
        crossings.crossed([standing(5 * USD, scope="user", who=str(number))], NOW)

    assert told(crossings, standing(5 * USD, scope="user", who="10000")) == []
    assert told(crossings, standing(5 * USD, scope="user", who="0")) == [0.5]
