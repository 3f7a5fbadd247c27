"""
The replacement of a ledger that cannot be opened.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from operator import methodcaller

import pytest

from savemode_cli.core.budget.admission import Balance
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Ledger
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.personal import PersonalLimit
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.unavailable import UnavailableLedger

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Disk:
    """
    A place where a ledger can be opened once `ready` is set; it counts the attempts.
    """

    def __init__(self) -> None:
        """
        Start not ready.
        """
        self.ready = False
        self.attempts = 0
        self.opened = Closing()

    def open(self) -> Ledger:
        """
        The ledger, or the current error.
        """
        self.attempts += 1
        if not self.ready:
            raise LedgerUnavailable(f"failure {self.attempts}")
        return self.opened


class Closing(MemoryLedger):
    """
    A ledger that records that it was closed.
    """

    closed = False

    def close(self) -> None:
        """
        Record it.
        """
        self.closed = True


@pytest.fixture
def disk() -> Disk:
    """
    A disk that is not ready.
    """
    return Disk()


@pytest.fixture
def ledger(disk: Disk) -> UnavailableLedger:
    """
    The replacement.
    """
    return UnavailableLedger(disk.open)


@pytest.mark.parametrize(
    "call",
    [
        methodcaller("budgets"),
        methodcaller("terms"),
        methodcaller("set_limit", PersonalLimit("b", "ann", 1)),
        methodcaller("allowances"),
        methodcaller("balance", "k", NOW),
        methodcaller("allowed_until"),
        methodcaller("settle", "h", 1, "reported", NOW),
        methodcaller("set_budget", Budget("b", 1)),
        methodcaller("check"),
    ],
)
def test_every_method_is_unavailable(ledger: UnavailableLedger, disk: Disk, call: Callable[[object], object]) -> None:
    """
    Each call tries to open the ledger, and raises the current error.
    """
    for number in (1, 2):
        with pytest.raises(LedgerUnavailable, match=f"failure {number}"):
            call(ledger)


def test_becomes_the_real_one(ledger: UnavailableLedger, disk: Disk) -> None:
    """
    When the ledger can be opened, it is opened once and answers all calls.
    """
    disk.ready = True
    ledger.set_budget(Budget("b", 1))

    assert ledger.budgets() == (Budget("b", 1),)
    assert ledger.balance("k", NOW) == Balance()
    assert disk.opened.budgets() == (Budget("b", 1),)
    assert disk.attempts == 1


def test_close(ledger: UnavailableLedger, disk: Disk) -> None:
    """
    Closing does nothing before the ledger is open, does not open it, and closes it if it is open.
    """
    ledger.close()
    assert disk.attempts == 0

    disk.ready = True
    ledger.budgets()
    ledger.close()
    assert disk.opened.closed
