"""
Where requests reserve money and are charged.

Rule of this file: everything that comes up within one iteration of the event loop is posted to the ledger in one step,
invoices first. A step of a ledger on disk costs three times as much as another request in the same step, and blocks the
event loop. No request waits for others to join it: if a request is the only one, it is posted at once. An invoice is
posted in the next iteration, so that the end of its answer, which is written in the same iteration, does not wait for a
disk. Before the ledger is read, everything that waits is posted.

The event loop never waits for a ledger. A ledger on this machine is called on the event loop, and its calls do not
suspend. A step of any other ledger is awaited in a task, and what comes up meanwhile is posted in the next step. While
another process keeps the ledger locked, the requests wait for up to a tenth of a second, and the ledger is tried
repeatedly without blocking. After that they are judged from memory, and the ledger is tried once a second: a local one in
a thread.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from savemode_cli.core.budget.admission import Decision, Standing
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.budget.choices import Fail
from savemode_cli.core.budget.ledger import AsyncLedger
from savemode_cli.core.budget.overview import InForce
from savemode_cli.core.budget.scopes import Process
from savemode_cli.core.errors import LedgerBusy, LedgerUnavailable
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.money.pricing import Bill as PricedUsage
from savemode_cli.core.money.pricing import InputRates, PriceTable
from savemode_cli.core.upgrade.edits import Edit
from savemode_cli.core.wire.caller import Caller, Headers
from savemode_cli.core.wire.usage import Usage
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.failures import tell_failure
from savemode_cli.proxy.ledger_access import LedgerAccess
from savemode_cli.proxy.local_ledger import LocalLedger, completed
from savemode_cli.proxy.pricing_memory import Metered, PricingMemory
from savemode_cli.proxy.reservation import Invoice, Quote, Reservation, reservation_of

T = TypeVar("T")

OnSettled = Callable[[Bill | None], None]
"""Called once with the bill of a request; with None if a bug in savemode kept its invoice from the ledger."""

PAUSE_S = 1.0
"""The time between two attempts to reach a ledger that does not answer, in seconds."""
_PATIENCE_S = 0.1
_PATIENCE_AT_THE_END_S = 3.0
_POLL_S = 0.003

_InvoiceInLine = tuple[Invoice, OnSettled]
_QuoteInLine = tuple[Quote, asyncio.Future[Reservation]]


@dataclass(frozen=True, slots=True)
class Condition:
    """
    The state of the ledger.
    """

    trouble: str
    """Why the ledger is not used at the moment, as a sentence; empty if it is used."""
    unwritten_calls: int
    """How many invoices are in memory until the ledger answers."""
    unwritten_nusd: int
    """Their total."""
    lost_calls: int = 0
    """How many calls are not in the ledger, and never will be."""


class Till:
    """
    Reserves money for requests and charges them. One event loop uses it.
    """

    def __init__(
        self,
        ledger: AsyncLedger,
        table: PriceTable,
        announce: Callable[[str, str], None],
        *,
        budgets: Sequence[Budget] = (),
        fail: Fail | None = None,
        trouble: LedgerUnavailable | None = None,
        process: Process | None = None,
    ) -> None:
        """
        Args:
            ledger: where spend is stored. A `LocalLedger` is called on the event loop, any other one in tasks.
            table: the prices.
            announce: receives an event and a text for the user, and must not raise. Each problem with the ledger is
                announced once, and so is its end.
            budgets: the configured budgets; the ledger may have others, and newer ones.
            fail: what to do with requests while the ledger does not answer; None: see `fail_for`.
            trouble: why the ledger cannot be used now.
            process: what all requests of this process have in common, for budgets of a run or a project.
        """
        self._announce = announce
        self._prices = PricingMemory(table, announce)
        self._ledger = LedgerAccess(ledger, announce, budgets=budgets, fail=fail, trouble=trouble, process=process)
        self._is_local = isinstance(ledger, LocalLedger)
        self._observers: list[Callable[[Decision, datetime], None]] = []
        self._invoices: list[_InvoiceInLine] = []
        self._quotes: list[_QuoteInLine] = []
        self._called = False
        self._step: asyncio.Task[None] | None = None
        self._busy_since: float | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._recovery: asyncio.Task[None] | None = None

    async def open(self, call: CallInProgress, *, alone: bool = False) -> Reservation:
        """
        Reserve the expected cost of a request, or refuse the request.

        Args:
            call: the request, with its caller and its facts.
            alone: whether no other request is running; then it is posted at once.
        """
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        self._quotes.append((self._prices.quote(call), future))
        if alone:
            self._flush()
            if future.done():
                return future.result()
        else:
            self._call()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._cancel(future.result())
            raise

    def close(
        self,
        reservation: Reservation,
        ending: Ending,
        now: datetime,
        on_settled: OnSettled,
        *,
        meter: Metered | None = None,
        edits: Sequence[Edit] = (),
    ) -> None:
        """
        Charge a finished request in place of its hold. It is posted in the next iteration of the event loop.

        Args:
            reservation: the result of `open`.
            ending: how the request ended.
            now: the time.
            on_settled: called with the bill when it is in the ledger, or in memory while the ledger does not answer.
            meter: what was read of the answer; None if no answer reports usage.
            edits: the edits in the forwarded request.
        """
        self._invoices.append((self._prices.invoice(reservation, ending, meter, edits, now), on_settled))
        self._call()

    async def look(self, caller: Caller | None, headers: Headers, now: datetime) -> Decision:
        """
        The state of the budgets for a caller, including everything that waits. Nothing is reserved.

        Args:
            caller: the caller; None if the headers cannot be read. Then only the shared budgets count.
            headers: all headers of the request.
            now: the time.
        """
        await self.post_waiting()
        decision = await self._ledger.look(caller, headers, now)
        self._watch()
        return decision

    def observe(self, observer: Callable[[Decision, datetime], None]) -> None:
        """
        From now on, call this for each request that is charged.

        Args:
            observer: receives the decision of the request, with the budgets including its cost, and the time. It must not
                wait.
        """
        self._observers.append(observer)

    async def claim(self, name: str, now: datetime) -> bool:
        """
        Whether this process is the first one to claim this name, of all processes that use the ledger. True while the
        ledger does not answer.

        Args:
            name: up to 64 characters.
            now: the time.

        Raises:
            LedgerBusy: another process keeps the ledger locked. Claim the name again a moment later.
        """
        return await self._ledger.claim(name, now)

    async def is_lifted(self, name: str, now: datetime) -> bool:
        """
        Whether `savemode budget allow` lets everything pass now, or what this name stands for.

        Args:
            name: of a budget, or of the guard.
            now: The time.
        """
        lifted = await self._ledger.is_lifted(name, now)
        self._watch()
        return lifted

    async def standings(self, now: datetime, *, personal: bool = False) -> tuple[Standing, ...]:
        """
        The state of the shared budgets, including everything that waits.

        Args:
            now: the time.
            personal: whether to add the budgets of all persons whose requests were judged in this process.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        await self.post_waiting()
        return await self._ledger.standings(now, personal=personal)

    async def shut(self) -> None:
        """
        Post everything that waits, and close the ledger. More calls do nothing.
        """
        await self.post_waiting()
        while self._invoices:
            if self._is_local:
                time.sleep(_POLL_S)  # noqa: ASYNC251 - the event loop has ended, so nothing is blocked
            else:
                await asyncio.sleep(_POLL_S)
            await self.post_waiting()
        await self._ledger.close()

    async def post_waiting(self) -> None:
        """
        Post everything that waits. With a local ledger, this does not suspend.
        """
        self._flush()
        if self._step is not None:
            await asyncio.shield(self._step)

    def outside_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """
        The result of one of these calls before the event loop starts, or after it has ended.
        """
        return completed(coroutine) if self._is_local else asyncio.run(self._alone(coroutine))

    async def disconnect(self) -> None:
        """
        Release what belongs to the running event loop, at its end.
        """
        await self._ledger.disconnect()

    async def _alone(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return await coroutine
        finally:
            await self.disconnect()

    def _flush(self) -> None:
        """
        Post everything that waits, or start to.
        """
        self._called = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._is_local:
            completed(self._post_line())
        elif self._step is None and (self._invoices or self._quotes):
            self._step = asyncio.get_running_loop().create_task(self._post_steps())
        self._watch()

    async def _post_steps(self) -> None:
        """
        Post everything that waits, one step at a time, so that the steps reach the ledger in order.
        """
        try:
            while (self._invoices or self._quotes) and self._retry is None:
                await self._post_line()
        finally:
            self._step = None
        self._watch()

    async def _post_line(self) -> None:
        invoices, self._invoices = self._invoices, []
        quotes, self._quotes = [one for one in self._quotes if not one[1].cancelled()], []
        if invoices or quotes:
            await self._serve(invoices, quotes)

    async def in_force(self) -> tuple[InForce, ...]:
        """
        The budgets in force, and the origin of each.
        """
        return await self._ledger.in_force()

    def input_rates(self, usage: Usage, model: str | None, when: datetime) -> InputRates:
        """
        The rates at which the prompt of an answer is billed.
        """
        return self._prices.input_rates(usage, model, when)

    def price(self, usage: Usage, model: str | None, when: datetime) -> PricedUsage:
        """
        What an answer costs, by the price of its model on that day.
        """
        return self._prices.price(usage, model, when)

    @property
    def condition(self) -> Condition:
        """
        The state of the ledger.
        """
        unwritten = self._ledger.unwritten
        return Condition(self._ledger.ledger_trouble, unwritten.calls, unwritten.nusd, self._ledger.lost_calls)

    @property
    def downgraded_models(self) -> list[str]:
        """
        The models for which a 1h TTL was requested and 5m was billed, sorted; "" for a request without a model.
        """
        return sorted(model or "" for model in self._prices.downgraded_models)

    def _cancel(self, reservation: Reservation) -> None:
        """
        Release the money that was reserved at the moment at which the client left.
        """
        self.close(reservation, Ending("refused"), reservation.started_at, lambda _: None)

    def _call(self) -> None:
        if not self._called and self._retry is None:
            self._called = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def _serve(self, invoices: Sequence[_InvoiceInLine], quotes: Sequence[_QuoteInLine]) -> None:
        try:
            settled, judged = await self._ledger.post([one for one, _ in invoices], [one for one, _ in quotes])
        except asyncio.CancelledError:
            # The event loop ends. Settling twice changes nothing, so `shut` posts these again.
            self._invoices[:0] = invoices
            raise
        except LedgerBusy as error:
            await self._be_patient(invoices, quotes, error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is
            if len(invoices) + len(quotes) == 1:
                self._give_up(invoices, quotes, error)
                return
            # One of them caused the error, and nothing was changed. Post each alone, so that the others succeed.
            for one in invoices:
                await self._serve([one], [])
            for another in quotes:
                await self._serve([], [another])
            return
        self._busy_since = None
        for (quote, future), decision in zip(quotes, judged, strict=True):
            reservation = reservation_of(quote, decision)
            if future.done():
                self._cancel(reservation)
            else:
                future.set_result(reservation)
        for (invoice, on_settled), decision in zip(invoices, settled, strict=True):
            self._tell(invoice, on_settled, bill_of(invoice, decision))
            self._tell_observers(invoice, decision)

    async def _be_patient(
        self, invoices: Sequence[_InvoiceInLine], quotes: Sequence[_QuoteInLine], error: LedgerBusy
    ) -> None:
        """
        Wait while another process writes, which takes milliseconds; continue without the ledger if it takes longer.
        """
        now, loop = time.monotonic(), _running_loop()
        if self._busy_since is None:
            self._busy_since = now
        if now - self._busy_since > (_PATIENCE_AT_THE_END_S if loop is None else _PATIENCE_S):
            self._ledger.give_up(error)
            await self._serve(invoices, quotes)
            return
        self._invoices[:0], self._quotes[:0] = invoices, quotes
        if loop is not None and self._retry is None:
            self._retry = loop.call_later(_POLL_S, self._flush)

    def _watch(self) -> None:
        """
        Start a task that tries a ledger again that does not answer.
        """
        if self._ledger.ledger_trouble and self._recovery is None and (loop := _running_loop()) is not None:
            self._recovery = loop.create_task(self._recover())

    async def _recover(self) -> None:
        try:
            while self._ledger.ledger_trouble:
                await asyncio.sleep(PAUSE_S)
                await self._write_unwritten()
        finally:
            self._recovery = None

    async def _write_unwritten(self) -> None:
        """
        Write everything to the ledger that it does not have, or find that it still does not answer.
        """
        try:
            while self._ledger.ledger_trouble:
                batch = self._ledger.next_batch()
                # In a thread, because opening a file and writing many invoices take longer than the event loop may be blocked.
                if self._is_local:
                    writing = self._ledger.write(batch)
                    await asyncio.get_running_loop().run_in_executor(None, completed, writing)
                else:
                    await self._ledger.write(batch)
                if await self._ledger.written(batch):
                    break
        except LedgerUnavailable as error:
            self._ledger.give_up(error)
        except Exception as error:  # noqa: BLE001 - after any error, the ledger is tried again
            tell_failure(self._announce, error)

    def _give_up(self, invoices: Sequence[_InvoiceInLine], quotes: Sequence[_QuoteInLine], error: Exception) -> None:
        for _, future in quotes:
            if not future.done():
                future.set_exception(error)
        for invoice, on_settled in invoices:
            tell_failure(self._announce, error, _request_id(invoice))
            self._tell(invoice, on_settled, None)

    def _tell(self, invoice: Invoice, on_settled: OnSettled, bill: Bill | None) -> None:
        try:
            on_settled(bill)
        except Exception as error:  # noqa: BLE001 - the other requests of this step must still get their bills
            tell_failure(self._announce, error, _request_id(invoice))

    def _tell_observers(self, invoice: Invoice, decision: Decision) -> None:
        for observer in self._observers:
            try:
                observer(decision, invoice.now)
            except Exception as error:  # noqa: BLE001 - as in `_tell`
                tell_failure(self._announce, error, _request_id(invoice))


def bill_of(invoice: Invoice, decision: Decision) -> Bill:
    """
    The bill of an invoice in the ledger.

    Args:
        invoice: the invoice.
        decision: the decision of its reservation, with the state of the budgets that includes it.
    """
    priced = invoice.priced
    return Bill(
        invoice.reservation.report,
        decision.report(),
        invoice.reservation.held_nusd,
        invoice.usage,
        invoice.settlement,
        invoice.receipt,
        None if priced is None else priced.state,
        None if priced is None else priced.cost,
    )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """
    The running event loop; None before it starts and after it has ended.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _request_id(invoice: Invoice) -> str:
    return invoice.reservation.quote.call.id
