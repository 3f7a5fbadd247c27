"""
The stand-in for a ledger that could not be opened.
"""

from datetime import UTC, datetime
from typing import cast

import pytest

from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import Ledger, MemoryLedger
from savemode_cli.ledgers import unavailable
from savemode_cli.ledgers.unavailable import UnavailableLedger

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_says_what_is_wrong_until_it_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each call raises the last trouble; once opening works, the real ledger answers.
    """
    monkeypatch.setattr(unavailable, "_PAUSE_S", 0.0)
    real = MemoryLedger()
    tries: list[int] = []

    def reopen() -> Ledger:
        tries.append(1)
        if len(tries) < 3:
            raise LedgerUnavailable(f"try {len(tries)}")
        return real

    ledger = cast("Ledger", UnavailableLedger(LedgerUnavailable("first"), reopen))
    for number in (1, 2):
        with pytest.raises(LedgerUnavailable, match=f"try {number}"):
            ledger.budgets()

    assert ledger.budgets() == ()
    assert ledger.balances(NOON) == {}
    assert len(tries) == 3
    ledger.close()


def test_opening_is_not_tried_at_every_call() -> None:
    """
    A disk that is gone is not asked a thousand times a second.
    """
    tries: list[int] = []

    def reopen() -> Ledger:
        tries.append(1)
        raise LedgerUnavailable("gone")

    ledger = cast("Ledger", UnavailableLedger(LedgerUnavailable("first"), reopen))
    for _ in range(50):
        with pytest.raises(LedgerUnavailable, match="gone"):
            ledger.allowed_until()

    assert len(tries) == 1
    ledger.close()
