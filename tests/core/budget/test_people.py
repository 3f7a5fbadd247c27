"""
What people with a token spent and have left, worked out by hand.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.overview import in_force
from savemode_cli.core.budget.people import people
from savemode_cli.core.budget.window import Window

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MONTH = Budget("person", 80, scope="token", limits=(("bob", 50),))
HOURS = Budget("pace", 10, Window("rolling", hours=5), scope="user")
ALL = Budget("default", 1000)


def charge(ledger: MemoryLedger, who: str, nusd: int, at: datetime) -> None:
    """
    A bill of somebody under all budgets.
    """
    hold = Hold(f"{who}{at}", tuple(one.key(who, at) for one in (MONTH, HOURS, ALL)), nusd, at + timedelta(minutes=10))
    reserve(ledger, hold, [], at)
    settle(ledger, hold.id, nusd, "reported", at)


def test_what_each_has_left() -> None:
    """
    Only in budgets that each person has, in their current windows, with a limit of one's own; nobody without a token.
    """
    ledger = MemoryLedger()
    charge(ledger, "alice", 5, NOW - timedelta(days=30))
    charge(ledger, "alice", 7, NOW - timedelta(hours=6))
    charge(ledger, "bob", 11, NOW)
    charge(ledger, "carl", 1, NOW)
    found = people(("alice", "bob", "dora"), in_force([MONTH, HOURS, ALL], []), ledger, NOW)

    assert [
        (one.name, [(line.standing.balance.spent_nusd, line.remaining_nusd) for line in one.lines], one.refused)
        for one in found
    ] == [
        ("alice", [(7, 73), (0, 10)], False),
        ("bob", [(11, 39), (11, 0)], True),
        ("dora", [(0, 80), (0, 10)], False),
    ]


def test_lifted_is_not_refused() -> None:
    """
    For the person it was lifted for, as long as it lasts.
    """
    ledger = MemoryLedger()
    for name in ("alice", "bob"):
        charge(ledger, name, 90, NOW)
    ledger.allow(NOW + timedelta(hours=1), "person", "bob")
    budgets = in_force([MONTH], [])

    def refused(at: datetime) -> list[bool]:
        return [one.refused for one in people(("alice", "bob"), budgets, ledger, at)]

    assert refused(NOW) == [True, False]
    assert refused(NOW + timedelta(hours=1)) == [True, True]


def test_no_budget_for_each() -> None:
    """
    Then there are only names.
    """
    (alice,) = people(("alice",), in_force([ALL], []), MemoryLedger(), NOW)

    assert (alice.name, alice.lines, alice.refused) == ("alice", (), False)
