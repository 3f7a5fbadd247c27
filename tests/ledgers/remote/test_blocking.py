"""
A ledger on a server, for commands.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Charge
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.remote.blocking import RemoteLedger
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked, Question
from savemode_cli.ledgers.remote.steps import Steps
from savemode_cli.ledgers.remote.texts import Terms

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class FailingLedger(RemoteLedger):
    """
    A server that keeps terms and fails as often as it is told.
    """

    def __init__(self, *failures: NotAsked) -> None:
        """
        Args:
            failures: the next ones.
        """
        super().__init__(Steps("x"))
        self.failures = list(failures)
        self.present = Terms("")
        self.versions: list[str] = []

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def _ask(self, question: Question) -> Any:
        self._fail()
        return self.present

    def _release(self, hold_id: str, call_id: str) -> bool:
        self.versions.append(call_id)
        self._fail()
        return True

    def _read_keys(self) -> list[str]:
        return []

    def _read_holds(self) -> list[Hold]:
        return []

    def _read_charges(self, since: datetime | None) -> tuple[Charge, ...]:
        return ()

    def _change_terms(self, change: Callable[[Terms], Terms], version: str) -> bool:
        self.versions.append(version)
        changed = change(self.present)
        self.present = Terms(version, changed.budgets, changed.limits, changed.allowances)
        self._fail()
        return True

    def _disconnect(self) -> None:
        pass


def test_stale_connection_is_tried_again_as_the_same_call() -> None:
    """
    Under the same id, so that the server can say that it has done it.
    """
    ledger = FailingLedger(NoAnswer("closed", is_stale=True))

    assert ledger.release("h")
    ledger.failures = [NoAnswer("closed", is_stale=True)]
    ledger.set_budget(Budget("a", 1))

    assert len(ledger.versions) == 4
    assert len(set(ledger.versions)) == 2


@pytest.mark.parametrize("error", [NotAsked("refused", "ask"), NoAnswer("slow")])
def test_other_failures_are_errors(error: NotAsked) -> None:
    """
    At once.
    """
    with pytest.raises(LedgerUnavailable, match=error.why):
        FailingLedger(error).release("h")
    with pytest.raises(LedgerUnavailable, match=error.why):
        FailingLedger(error).budgets()


def test_closed_ledger_asks_nothing() -> None:
    """
    It was closed by whoever had it.
    """
    ledger = FailingLedger()
    ledger.close()

    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.release("h")
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.terms()
