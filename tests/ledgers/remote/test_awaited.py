"""
A ledger on a server, for a proxy.
"""

import asyncio
from typing import Any

import pytest

from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.remote.awaited import AsyncRemoteLedger
from savemode_cli.ledgers.remote.questions import Question, ReadTerms, Undo
from savemode_cli.ledgers.remote.steps import Steps
from savemode_cli.ledgers.remote.texts import Terms


class SilentLedger(AsyncRemoteLedger):
    """
    A server that never answers a step.
    """

    def __init__(self) -> None:
        """
        Nothing was asked.
        """
        super().__init__(Steps("x"), 0.02)
        self.asked: list[Question] = []

    async def _ask(self, question: Question) -> Any:
        self.asked.append(question)
        if isinstance(question, ReadTerms):
            return Terms("")
        return await asyncio.Event().wait()

    async def _disconnect(self) -> None:
        pass


def test_call_ends_with_its_timeout_and_is_undone_first() -> None:
    """
    The next call asks for nothing before that.
    """

    async def story() -> None:
        assert await ledger.terms() == ((), ())
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match=r"no answer within 0\.02 s"):
                await ledger.check()

    ledger = SilentLedger()
    asyncio.run(story())
    assert [type(one).__name__ for one in ledger.asked] == ["ReadTerms", "Step", "Undo"]
    assert isinstance(ledger.asked[-1], Undo)
