"""
The people with a token, on a screen and for machines.
"""

from datetime import UTC, datetime

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.overview import in_force
from savemode_cli.core.budget.people import Person, people
from savemode_cli.core.budget.window import Window
from savemode_cli.views.people import show, to_json
from tests.support.drawn import drawn

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DOLLAR = 10**9
BUDGETS = (
    Budget("person", 80 * DOLLAR, scope="token"),
    Budget("pace", 0, Window("rolling", hours=5), scope="user"),
)


def seen(*budgets: Budget) -> tuple[Person, ...]:
    """
    Two people who have spent nothing.
    """
    return people(("alice", "bob"), in_force(budgets, []), MemoryLedger(), NOW)


def test_screen() -> None:
    """
    A row for each person and budget; what is least important is left out on 80 columns.
    """
    wide = drawn(show, seen(*BUDGETS), at=NOW, width=140).splitlines()

    assert wide == [
        "person  budget    spent     held     limit      left  status  window",
        "alice   person  $0.0000  $0.0000  $80.0000  $80.0000  ok      monthly, resets 2026-12-01 00:00 UTC (in 6 d 12 h)",
        "alice   pace    $0.0000  $0.0000         -         -  no cap  rolling 5h, what was spent counts for 5h",
        "bob     person  $0.0000  $0.0000  $80.0000  $80.0000  ok      monthly, resets 2026-12-01 00:00 UTC (in 6 d 12 h)",
        "bob     pace    $0.0000  $0.0000         -         -  no cap  rolling 5h, what was spent counts for 5h",
    ]
    narrow = drawn(show, seen(*BUDGETS), at=NOW).splitlines()
    assert narrow[:2] == [
        "person  budget    spent     held     limit      left  status",
        "alice   person  $0.0000  $0.0000  $80.0000  $80.0000  ok",
    ]


def test_names_alone() -> None:
    """
    Where no budget is for each person.
    """
    assert drawn(show, seen(), at=NOW).splitlines() == ["alice", "bob"]


def test_json() -> None:
    """
    Each person has the lines of `budget show --json`.
    """
    value = to_json(seen(*BUDGETS), "sqlite:///l.db", NOW)

    assert (value["at"], value["ledger"]) == ("2026-11-24T12:00:00Z", "sqlite:///l.db")
    assert [one["name"] for one in value["people"]] == ["alice", "bob"]
    alice = value["people"][0]
    assert alice["would_refuse"] is False
    assert [(one["name"], one["who"], one["remaining_usd"]) for one in alice["budgets"]] == [
        ("person", "alice", "80.000000000"),
        ("pace", "alice", None),
    ]
