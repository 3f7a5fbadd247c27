"""
A ledger whose calls take a while, as one over a network.
"""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from savemode_cli.core.budget.admission import Balance
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import AsyncLedger, Ledger, Looked, Posted, Reserve, Settle, TermsChanged
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.errors import LedgerUnavailable

T = TypeVar("T")


class AwaitedLedger:
    """
    A ledger in memory, asked over a network that is slow. Each call gives way to the event loop before it is made. The terms
    are remembered until a call finds others.
    """

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        """
        Args:
            ledger: What the other side of the network has.
        """
        self.ledger = ledger or MemoryLedger()
        self.steps: list[tuple[int, int]] = []
        self.running = 0
        self.most_running = 0
        self.out = False
        self.closed = 0
        self.disconnected = 0
        self.clock_offset = timedelta()
        self._terms: tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]] | None = None
        self.gate: asyncio.Event | None = None
        """What a step waits for; None: nothing but a turn of the loop."""

    async def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        Noted.
        """
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self._travel()
            if self.gate is not None:
                await self.gate.wait()
            if reserves:
                self._expect_present_terms()
            self.steps.append((len(settles), len(reserves)))
            return self.ledger.post(settles, reserves)
        finally:
            self.running -= 1

    async def look(self, keys: Sequence[str], now: datetime) -> Looked:
        """
        See `AsyncLedger`.
        """
        await self._travel()
        self._expect_present_terms()
        return Looked({key: self.ledger.balance(key, now) for key in keys}, self.ledger.allowances())

    async def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `Ledger`.
        """
        await self._travel()
        if self._terms is None:
            self._terms = self.ledger.terms()
        return self._terms

    def _expect_present_terms(self) -> None:
        if self._terms is not None and self._terms != (present := self.ledger.terms()):
            self._terms = present
            raise TermsChanged

    async def check(self) -> None:
        """
        See `Ledger`.
        """
        await self._travel()

    async def disconnect(self) -> None:
        """
        Counted.
        """
        self.disconnected += 1

    async def close(self) -> None:
        """
        Counted.
        """
        await self._travel()
        self.closed += 1

    async def _travel(self) -> None:
        await asyncio.sleep(0)
        if self.out:
            raise LedgerUnavailable("the network is down")


class BlockedLedger:
    """
    The calls of an `AsyncLedger`, on an event loop of their own, as those of a `Ledger`; the others are those of `rest`.
    """

    def __init__(self, ledger: AsyncLedger, rest: Ledger) -> None:
        """
        Args:
            ledger: what is awaited.
            rest: the same ledger.
        """
        self._ledger = ledger
        self._rest = rest
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, ledger: AsyncLedger, rest: Ledger) -> Ledger:
        """
        One, for a test that calls a `Ledger`.
        """
        return cast("Ledger", cls(ledger, rest))

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        Repeated where the terms have changed.
        """
        while True:
            try:
                return self._result(self._ledger.post(settles, reserves))
            except TermsChanged:
                continue

    def balance(self, key: str, now: datetime) -> Balance:
        """
        See `Ledger`.
        """
        return self._looked([key], now).balances[key]

    def allowances(self) -> tuple[Allowance, ...]:
        """
        See `Ledger`.
        """
        return self._looked([], datetime.now(UTC)).allowances

    def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `Ledger`. The present ones.
        """
        self._looked([], datetime.now(UTC))
        return self._result(self._ledger.terms())

    def budgets(self) -> tuple[Budget, ...]:
        """
        See `Ledger`.
        """
        return self.terms()[0]

    def limits(self) -> tuple[PersonalLimit, ...]:
        """
        See `Ledger`.
        """
        return self.terms()[1]

    def check(self) -> None:
        """
        See `Ledger`.
        """
        self._result(self._ledger.check())

    def close(self) -> None:
        """
        See `Ledger`. The loop ends, too.
        """
        if self._thread.is_alive():
            self._result(self._ledger.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._rest.close()

    def __getattr__(self, name: str) -> Any:
        """
        Everything that a proxy does not await.
        """
        return getattr(self._rest, name)

    def _looked(self, keys: Sequence[str], now: datetime) -> Looked:
        while True:
            try:
                return self._result(self._ledger.look(keys, now))
            except TermsChanged:
                continue

    def _result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)
