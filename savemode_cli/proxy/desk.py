"""
Where requests stand in line for the ledger.

Rule of this file: what comes up within one turn of the event loop goes to the ledger in one step, bills first. A step of a
ledger on a disk costs three times what another request in it does, and the loop does nothing else meanwhile. Nobody waits
for company: a request that is alone is served at once, and a bill in the very next turn, once the client has its answer.
"""

import asyncio
from collections.abc import Callable, Sequence

from savemode_cli.proxy.accounts import Accounts, Settled
from savemode_cli.proxy.billing import Account, Ask, Due

Then = Callable[[Settled | None], None]
"""Told once what became of a bill; None where a fault of ours kept it from the books. Must not raise."""

_Due = tuple[Due, Then]
_Ask = tuple[Ask, asyncio.Future[Account]]


class Desk:
    """
    The line before the ledger of these accounts. `failed` is told of a fault of ours; what it hits, it hits alone.
    """

    def __init__(self, accounts: Accounts, failed: Callable[[Exception], None]) -> None:
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
        if alone:
            self.flush()
            return self._accounts.post((), (ask,))[1][0]
        future: asyncio.Future[Account] = asyncio.get_running_loop().create_future()
        self._asks.append((ask, future))
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
            for due in dues:
                self._serve([due], [])
            for ask in asks:
                self._serve([], [ask])
            return
        for (_, future), account in zip(asks, accounts, strict=True):
            future.set_result(account)
        for (_, then), one in zip(dues, settled, strict=True):
            then(one)

    def _give_up(self, dues: Sequence[_Due], asks: Sequence[_Ask], error: Exception) -> None:
        for _, future in asks:
            future.set_exception(error)
        for _, then in dues:
            self._failed(error)
            then(None)
