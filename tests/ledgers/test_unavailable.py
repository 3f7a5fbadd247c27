"""
What stands in for a ledger until it can be opened.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from operator import methodcaller
from types import SimpleNamespace

import pytest

from savemode_cli.core.admission import Balance
from savemode_cli.core.budget import Budget
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import Ledger, MemoryLedger
from savemode_cli.ledgers.unavailable import UnavailableLedger

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Disk:
    """
    A place where a ledger can be opened once `ready`; counts the attempts, and tells the time.
    """

    def __init__(self) -> None:
        """
        Not ready.
        """
        self.ready = False
        self.attempts = 0
        self.clock_s = 1_000.0
        self.opened = Closing()

    def open(self) -> Ledger:
        """
        The ledger, or what is wrong this time.
        """
        self.attempts += 1
        if not self.ready:
            raise LedgerUnavailable(f"failure {self.attempts}")
        return self.opened


class Closing(MemoryLedger):
    """
    A ledger that notes that it was closed.
    """

    closed = False

    def close(self) -> None:
        """
        Note it.
        """
        self.closed = True


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """
    A disk whose clock is the module's.
    """
    made = Disk()
    monkeypatch.setattr("savemode_cli.ledgers.unavailable.time", SimpleNamespace(monotonic=lambda: made.clock_s))
    return made


@pytest.fixture
def ledger(disk: Disk) -> UnavailableLedger:
    """
    What stands in.
    """
    return UnavailableLedger(LedgerUnavailable("failure 0"), disk.open)


@pytest.mark.parametrize(
    "call",
    [
        methodcaller("budgets"),
        methodcaller("balance", "k", NOW),
        methodcaller("allowed_until"),
        methodcaller("settle", "h", 1, "reported", NOW),
        methodcaller("set_budget", Budget("b", 1)),
    ],
)
def test_every_method_is_unavailable(ledger: UnavailableLedger, call: Callable[[object], object]) -> None:
    """
    Whatever is asked, the answer is the error that a relay turns into a decision.
    """
    with pytest.raises(LedgerUnavailable):
        call(ledger)


def test_tries_once_a_second(ledger: UnavailableLedger, disk: Disk) -> None:
    """
    Requests by the hundred do not become attempts by the hundred; what the last attempt said is what is raised.
    """
    said = []
    for clock_s in (1_000.0, 1_000.5, 1_000.999, 1_001.0, 1_001.5):
        disk.clock_s = clock_s
        with pytest.raises(LedgerUnavailable) as raised:
            ledger.budgets()
        said.append(raised.value.message)

    assert said == ["failure 1", "failure 1", "failure 1", "failure 2", "failure 2"]
    assert disk.attempts == 2


def test_becomes_the_real_one(ledger: UnavailableLedger, disk: Disk) -> None:
    """
    Once it can be opened it answers, and is opened once.
    """
    disk.ready = True
    ledger.set_budget(Budget("b", 1))

    assert ledger.budgets() == (Budget("b", 1),)
    assert ledger.balance("k", NOW) == Balance()
    assert disk.opened.budgets() == (Budget("b", 1),)
    assert disk.attempts == 1


def test_close(ledger: UnavailableLedger, disk: Disk) -> None:
    """
    Closing is harmless before there is a ledger, does not open one, and closes the one there is.
    """
    ledger.close()
    assert disk.attempts == 0

    disk.ready = True
    ledger.budgets()
    ledger.close()
    assert disk.opened.closed
