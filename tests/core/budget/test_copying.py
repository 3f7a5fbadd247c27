"""
Copying a ledger.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.copying import copy_ledger, strangers
from savemode_cli.core.budget.ledger import Settle, reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.personal import PersonalLimit
from savemode_cli.core.budget.window import Window

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROLLING = Budget("r", 1, Window("rolling", hours=5)).key("", NOW)


def filled() -> MemoryLedger:
    """
    A ledger with something of everything.
    """
    ledger = MemoryLedger()
    for number in range(450):
        at = NOW - timedelta(minutes=number)
        hold = Hold(f"c{number}", ("a/none/all", ROLLING), 3, at, "m", override=number % 2 == 0)
        ledger.post([Settle(hold.id, number, "reported", at, (), hold)], ())
    for number in range(3):
        reserve(ledger, Hold(f"h{number}", ("a/none/all",), 7, NOW + timedelta(minutes=number - 1)), (), NOW)
    ledger.release("h0")
    ledger.set_budget(Budget("a", 100, set_at_us=5))
    ledger.set_limit(PersonalLimit("a", "ann", 7))
    ledger.allow(NOW + timedelta(hours=1), "a", "ann")
    return ledger


def test_copy_has_the_same_and_may_be_repeated() -> None:
    """
    Charges in their order, holds that ran out too, and each once.
    """
    source, target, told = filled(), MemoryLedger(), []

    for _ in range(2):
        copied = copy_ledger(source, target, NOW, lambda done, of: told.append((done, of)))
        assert (copied.charges, copied.nusd, copied.holds, copied.differences) == (450, sum(range(450)), 2, ())
        assert target.charges() == source.charges()
        assert target.balances(NOW) == source.balances(NOW)
        assert target.holds(NOW) == source.holds(NOW)
        assert target.budgets() == source.budgets()
    assert told == [(200, 450), (400, 450), (450, 450)] * 2
    assert strangers(source, target) == 0


def test_ledger_that_is_written_meanwhile_is_found() -> None:
    """
    The copy is not the ledger any more, and says what differs.
    """

    class Busy(MemoryLedger):
        """
        Somebody settles while it is read.
        """

        def limits(self) -> tuple[PersonalLimit, ...]:
            """
            Once.
            """
            settle(self, "h1", 5, "reported", NOW)
            return super().limits()

    source = Busy()
    reserve(source, Hold("h1", ("k",), 7, NOW + timedelta(minutes=1)), (), NOW)
    target = MemoryLedger()

    first, second = copy_ledger(source, target, NOW), copy_ledger(source, target, NOW)

    assert first.differences == ("the balance of k", "the charges", "the open holds")
    assert second.differences == ()


def test_charges_of_somebody_else_are_counted() -> None:
    """
    Two ledgers are not added up.
    """
    target = filled()
    assert strangers(MemoryLedger(), target) == 450
