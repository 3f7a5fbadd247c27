"""
Where requests stand in line for the ledger.

Rule of this file: what comes up within one turn of the event loop goes to the ledger in one step, bills first. A step of a
ledger on a disk costs three times what another request in it does, and the loop does nothing else meanwhile. Nobody waits
for company: a request that is alone is served at once, and a bill in the next turn, so that the end of its answer, written
in that turn too, need not wait for a disk. Who reads the ledger lets the line be served first.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from savemode_cli.core.admission import Decision, Standing
from savemode_cli.core.budget import Limit
from savemode_cli.core.caller import Caller, Headers
from savemode_cli.proxy.accounts import Accounts, Settled
from savemode_cli.proxy.billing import Account, Ask, Due

Then = Callable[[Settled | None], None]
"""Told once what became of a bill; None where a fault of ours kept it from the books."""

_Due = tuple[Due, Then]
_Ask = tuple[Ask, asyncio.Future[Account]]


class Desk:
    """
    The line before the ledger of these accounts. `failed` is told of a fault of ours and of the request that it hits,
    alone.
    """

    def __init__(self, accounts: Accounts, failed: Callable[[Exception, str], None]) -> None:
        """
        Nobody is waiting.
        """
        self._accounts = accounts
        self._failed = failed
        self._dues: list[_Due] = []
        self._asks: list[_Ask] = []
        self._called = False

    async def reserve(self, ask: Ask, *, alone: bool) -> Account:
        """
        Hold the expected cost of a request, or be refused. `alone`: no other request is under way.
        """
        future: asyncio.Future[Account] = asyncio.get_running_loop().create_future()
        self._asks.append((ask, future))
        if alone:
            self.flush()
            return future.result()
        self._call()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                # Its money was held in the moment in which its client left.
                account = future.result()
                self.settle(self._accounts.billing.bill(account, "refused", None, (), ask.now), lambda _: None)
            raise

    def settle(self, due: Due, then: Then) -> None:
        """
        Put a bill in the place of its hold, in the next turn of the loop.
        """
        self._dues.append((due, then))
        self._call()

    def flush(self) -> None:
        """
        Serve all who wait.
        """
        self._called = False
        dues, self._dues = self._dues, []
        asks, self._asks = [one for one in self._asks if not one[1].cancelled()], []
        if dues or asks:
            self._serve(dues, asks)

    def look(self, caller: Caller | None, headers: Headers, now: datetime) -> Decision:
        """
        See `Accounts.look`; with every bill that is due.
        """
        self.flush()
        return self._accounts.look(caller, headers, now)

    def standings(self, now: datetime, others: Iterable[Limit] = ()) -> tuple[Standing, ...]:
        """
        See `Accounts.standings`; with every bill that is due.
        """
        self.flush()
        return self._accounts.standings(now, others)

    def close(self) -> None:
        """
        Serve all who wait, and close the books.
        """
        self.flush()
        self._accounts.close()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self.flush)

    def _serve(self, dues: Sequence[_Due], asks: Sequence[_Ask]) -> None:
        try:
            settled, accounts = self._accounts.post([due for due, _ in dues], [ask for ask, _ in asks])
        except Exception as error:  # noqa: BLE001 - whatever it is
            if len(dues) + len(asks) == 1:
                self._give_up(dues, asks, error)
                return
            # One of them is at fault, and nothing was changed: each by itself, then, or the others would suffer for it.
            for bill in dues:
                self._serve([bill], [])
            for asking in asks:
                self._serve([], [asking])
            return
        for (_, future), account in zip(asks, accounts, strict=True):
            future.set_result(account)
        for (due, then), one in zip(dues, settled, strict=True):
            self._tell(due, then, one)

    def _give_up(self, dues: Sequence[_Due], asks: Sequence[_Ask], error: Exception) -> None:
        for _, future in asks:
            future.set_exception(error)
        for due, then in dues:
            self._failed(error, _whose(due))
            self._tell(due, then, None)

    def _tell(self, due: Due, then: Then, settled: Settled | None) -> None:
        try:
            then(settled)
        except Exception as error:  # noqa: BLE001 - who cannot hear must not keep the others of this step from it
            self._failed(error, _whose(due))


def _whose(due: Due) -> str:
    """
    The id of its request, which is that of its hold.
    """
    return due.account.hold.id if due.account.hold is not None else ""
