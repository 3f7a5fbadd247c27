"""
A local ledger with the interface that the till awaits.

Rule of this file: nothing here suspends. A local ledger is called on the event loop, because a call in a thread costs
seven times as much.
"""

from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Ledger, Looked, Posted, Reserve, Settle
from savemode_cli.core.budget.personal import PersonalLimit

T = TypeVar("T")


class LocalLedger:
    """
    Gives a `Ledger` the methods of an `AsyncLedger`.
    """

    clock_offset = timedelta()
    """A local ledger uses the clock of this machine."""

    def __init__(self, ledger: Ledger) -> None:
        """
        Args:
            ledger: the ledger. Its calls must not wait.
        """
        self._ledger = ledger

    async def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `Ledger`.
        """
        return self._ledger.post(settles, reserves)

    async def look(self, keys: Sequence[str], now: datetime) -> Looked:
        """
        See `AsyncLedger`.
        """
        balances = {key: self._ledger.balance(key, now) for key in keys}
        return Looked(balances, self._ledger.allowances())

    async def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `Ledger`.
        """
        return self._ledger.terms()

    async def check(self) -> None:
        """
        See `Ledger`.
        """
        self._ledger.check()

    async def disconnect(self) -> None:
        """
        Do nothing: nothing here belongs to an event loop.
        """

    async def close(self) -> None:
        """
        See `Ledger`.
        """
        self._ledger.close()


def completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """
    The result of a coroutine that does not suspend. No event loop is needed.

    Raises:
        RuntimeError: the coroutine suspended. That is a bug in the caller.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a call of a local ledger suspended")
