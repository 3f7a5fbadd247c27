"""
What a decision reads, in one statement.
"""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from savemode_cli.core.budget.admission import Balance, Hold
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.window import Window
from savemode_cli.ledgers.sqlite import SqliteLedger
from savemode_cli.ledgers.sums import balances_of, before, sums_of, text_of
from tests.ledgers.worker import NOW

HOUR = timedelta(hours=1)
BUDGETS = (
    Budget("month", 1000),
    Budget("day", 1000, Window("day")),
    Budget("hour", 1000, Window("rolling", hours=1)),
    Budget("total", 1000, Window("none")),
    Budget("five-hours", 1000, Window("rolling", hours=5)),
)
LIMITS = [limit_of(one, "", NOW) for one in BUDGETS]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """
    The file of a ledger with a charge, a running request, and one that never returned, under all budgets.
    """
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    keys = tuple(one.key for one in LIMITS)
    for name, ask, minutes in (("charged", 7, 10), ("running", 20, 300), ("lost", 300, 10)):
        reserve(ledger, Hold(name, keys, ask, NOW + timedelta(minutes=minutes)), LIMITS, NOW)
    settle(ledger, "charged", 1, "reported", NOW)
    ledger.close()
    db = sqlite3.connect(path)
    yield db
    db.close()


def test_everything_is_one_statement(db: sqlite3.Connection) -> None:
    """
    The balances of calendar and rolling windows, whether the ID was used, and what is lifted.
    """
    traced: list[str] = []
    db.set_trace_callback(traced.append)
    known = before(db, "new", LIMITS, NOW + 2 * HOUR)
    db.set_trace_callback(None)

    whole, left = Balance(1, 300, 20), Balance(0, 0, 20)
    assert [balance for balance, _ in known.sums] == [whole, whole, left, whole, whole]
    assert [gone for _, gone in known.sums] == [None, None, 1, None, None]
    assert (known.until, known.used, known.lifted) == (None, False, [False] * 5)
    assert len(traced) == 1


@pytest.mark.parametrize("name", ["running", "charged"])
def test_used_names(db: sqlite3.Connection, name: str) -> None:
    """
    Of open holds and of charges, with limits and without.
    """
    assert before(db, name, LIMITS, NOW).used
    assert before(db, name, [], NOW).used


def test_lifted_for_one(db: sqlite3.Connection) -> None:
    """
    What is lifted is looked up only if anything is.
    """
    db.execute("INSERT INTO allowances VALUES ('day', '', ?), ('hour', 'ann', ?)", [text_of(NOW + HOUR)] * 2)

    assert before(db, "new", LIMITS, NOW).lifted == [False, True, False, False, False]
    assert before(db, "new", LIMITS, NOW + HOUR).lifted == [False] * 5


def test_more_keys_than_a_statement_has_places_for(db: sqlite3.Connection) -> None:
    """
    They are read in parts, and each has its own sums.
    """
    many: list[Limit] = []
    for number in range(50):
        many += LIMITS if number % 2 else [limit_of(Budget(f"b{number}", 5, Window("rolling", hours=2)), "", NOW)]
    at = NOW + timedelta(minutes=30)
    expected = [Balance(1, 300, 20) if one in LIMITS else Balance() for one in many]

    assert len(many) > 100
    assert [balance for balance, _ in before(db, "new", many, at).sums] == expected
    assert [balance for balance, _ in sums_of(db, many, at)] == expected
    assert balances_of(db, {one.key: at for one in many}) == {
        one.key: balance for one, balance in zip(many, expected, strict=True)
    }
    assert balances_of(db, {}) == {}
