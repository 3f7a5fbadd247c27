"""
How the till uses the ledger, and what it does while the ledger does not answer.

Rule of this file: the ledger decides, by the rules of the core. While the ledger does not answer, it is not called:
requests are judged from memory, and their invoices are kept in memory and written when the ledger answers again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from savemode_cli.core.budget.admission import Allowed, Decision, Hold, Standing, decide
from savemode_cli.core.budget.budget import Budget, Limit
from savemode_cli.core.budget.choices import Fail
from savemode_cli.core.budget.ledger import (
    CLAIMS,
    AsyncLedger,
    Looked,
    Posted,
    Reserve,
    Settle,
    TermsChanged,
    is_allowed,
    is_lifted,
)
from savemode_cli.core.budget.overview import InForce
from savemode_cli.core.budget.scopes import Process
from savemode_cli.core.budget.unwritten import Batch, Unwritten
from savemode_cli.core.budget.without_ledger import decide_from_memory, fail_for
from savemode_cli.core.errors import LedgerBusy, LedgerUnavailable
from savemode_cli.core.money.amounts import dollars
from savemode_cli.core.wire.caller import UNKNOWN_CALLER, Caller, Headers
from savemode_cli.proxy.ledger_steps import (
    HOLD_LIFETIME,
    balances_in,
    decision_after,
    decision_unknown_after,
    hold_for,
    settle_for,
)
from savemode_cli.proxy.local_ledger import LocalLedger, completed
from savemode_cli.proxy.request_limits import RequestLimits
from savemode_cli.proxy.reservation import Invoice, Quote

T = TypeVar("T")

_MOST_CHANGES = 5  # of the budgets, during one call

_BATCH = 200  # bills that the thread writes in one step, which takes about 10 ms
_LAST_BATCH = 20  # bills that are written on the event loop, so that no other bill comes in between: 1 ms
_CLOSING_S, _POLL_S = 5.0, 0.05


class LedgerAccess:
    """
    The ledger, and its replacement in memory while it does not answer.

    One event loop uses it. Only `write` may run in another thread, and only while the ledger does not answer.
    """

    def __init__(
        self,
        ledger: AsyncLedger,
        announce: Callable[[str, str], None],
        *,
        budgets: Sequence[Budget] = (),
        fail: Fail | None = None,
        trouble: LedgerUnavailable | None = None,
        process: Process | None = None,
    ) -> None:
        """
        Args:
            ledger: where spend is stored. Its calls must not wait.
            announce: receives an event and a text for the user, and must not raise. Each problem with the ledger is
                announced once, and so is its end.
            budgets: the configured budgets; the ledger may have others, and newer ones.
            fail: what to do with requests while the ledger does not answer; None: see `fail_for`.
            trouble: why the ledger cannot be used now.
            process: what all requests of this process have in common, for budgets of a run or a project.
        """
        self.ledger_trouble = ""
        """Why the ledger is not used; empty if it is used."""
        self.unwritten = Unwritten()
        """What must still be written to the ledger."""
        self.lost_calls = 0
        """How many calls were never entered in the ledger, and never will be."""
        self._ledger = ledger
        self._announce = announce
        self._limits = RequestLimits(budgets, process)
        self._allowed_until: datetime | None = None
        self._ignored_overrides: set[str] = set()
        self._busy = False
        self._told_calls = self._told_nusd = 0
        self._fail = fail
        if trouble is not None:
            self.give_up(trouble)
        if isinstance(ledger, LocalLedger):
            completed(self._read_terms())

    async def post(self, invoices: Sequence[Invoice], quotes: Sequence[Quote]) -> tuple[list[Decision], list[Decision]]:
        """
        Settle the invoices, then judge the requests, in one step of the ledger; from memory if the ledger does not
        answer.

        Returns:
            The decision of each invoice's reservation with the state of the budgets that includes the invoice, and the
            decision of each request.

        Raises:
            LedgerBusy: another process keeps the ledger locked, and nothing was changed. Post the same again a moment
                later, or call `give_up` first.
        """
        return await _with_present_terms(lambda: self._post(invoices, quotes))

    async def _post(
        self, invoices: Sequence[Invoice], quotes: Sequence[Quote]
    ) -> tuple[list[Decision], list[Decision]]:
        if quotes:
            await self._read_terms()
        offset = self._ledger.clock_offset
        limits = [self._limits.of_call(quote.call, quote.call.started_at + offset) for quote in quotes]
        reserves = [
            Reserve(hold_for(quote, which, offset), which, quote.call.started_at + offset)
            for quote, which in zip(quotes, limits, strict=True)
        ]
        settles = [
            settle_for(one, one.reservation.hold, offset) for one in invoices if one.reservation.hold is not None
        ]
        if not settles and not reserves:
            return [one.reservation.decision for one in invoices], []
        posted = await self._posted(settles, reserves)
        if posted is None:
            for settle in settles:
                self.unwritten.keep(settle)
            decisions = [self._judge_and_hold(one) for one in reserves]
            settled = [decision_unknown_after(one.reservation.decision) for one in invoices]
        else:
            decisions = posted.decisions
            settled = [decision_after(one.reservation.decision, posted.balances) for one in invoices]
        return settled, [self._said(one, which) for one, which in zip(decisions, limits, strict=True)]

    async def look(self, caller: Caller | None, headers: Headers, now: datetime) -> Decision:
        """
        The state of the budgets for this caller, for requests that are free and for batches. Nothing is reserved.

        Args:
            caller: the caller; None if the headers cannot be read. Then only the shared budgets count.
            headers: all headers of the request.
            now: the time.
        """
        return await _with_present_terms(lambda: self._look(caller, headers, now + self._ledger.clock_offset))

    async def _look(self, caller: Caller | None, headers: Headers, now: datetime) -> Decision:
        await self._read_terms()
        which = self._limits.shared(now) if caller is None else self._limits.of_caller(caller, headers, now)
        caller = caller or UNKNOWN_CALLER
        if not which:
            return Allowed(None, None)
        hold = Hold("look", tuple(dict.fromkeys(limit.key for limit in which)), 0, now, "", caller.override)
        if not self.ledger_trouble:
            try:
                looked = await self._ledger.look(hold.keys, now)
            except LedgerBusy:
                self._busy = True  # the ledger may answer a moment later, but a free request does not wait for it
            except LedgerUnavailable as error:
                self.give_up(error)
            else:
                self.unwritten.learn(looked.balances.items())
                self._allowed_until = next((one.until for one in looked.allowances if not one.budget), None)
                lifted = [one for one in looked.allowances if one.budget]
                standings = [
                    Standing(limit, looked.balances[limit.key], is_lifted(limit, lifted, now)) for limit in which
                ]
                return self._said(decide(hold, standings, override=is_allowed(self._allowed_until, now)), which)
        return self._said(self._judge(hold, which, now), which)

    async def claim(self, name: str, now: datetime) -> bool:
        """
        Whether this process is the first one to claim this name. The name is charged $0, which a ledger does only once.

        Raises:
            LedgerBusy: another process keeps the ledger locked.
        """
        if self.ledger_trouble:
            return True
        hold = Hold(name, (CLAIMS,), 0, now)
        try:
            posted = await self._ledger.post([Settle(name, 0, "none", now, (), hold)], ())
        except LedgerBusy:
            raise
        except LedgerUnavailable:
            return True  # the next bill reports the problem
        return posted.settled == ["charged"]

    async def is_lifted(self, name: str, now: datetime) -> bool:
        """
        Whether everything passes now, or what this name stands for; as far as it is known while the ledger does not answer.
        """
        if not self.ledger_trouble:
            try:
                looked: Looked = await _with_present_terms(lambda: self._ledger.look((), now))
                self._allowed_until = next((one.until for one in looked.allowances if not one.budget), None)
                named = [one for one in looked.allowances if one.budget == name and not one.who]
                return is_allowed(self._allowed_until, now) or any(not one.is_over(now) for one in named)
            except LedgerBusy:
                self._busy = True
            except LedgerUnavailable as error:
                self.give_up(error)
        return is_allowed(self._allowed_until, now)

    async def standings(self, now: datetime, *, personal: bool = False) -> tuple[Standing, ...]:
        """
        The state of the shared budgets.

        Args:
            now: the time.
            personal: whether to add the budgets of all persons whose requests were judged in this process.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        if self.ledger_trouble:
            raise LedgerUnavailable(self.ledger_trouble)
        return await _with_present_terms(lambda: self._standings(now + self._ledger.clock_offset, personal=personal))

    async def _standings(self, now: datetime, *, personal: bool) -> tuple[Standing, ...]:
        await self._read_terms()
        used = self._limits.personal(now) if personal else ()
        which = {limit.key: limit for limit in (*self._limits.shared(now), *used)}.values()
        capped = [one for one in which if one.capped]
        looked = await self._ledger.look([one.key for one in capped], now)
        self.unwritten.learn(looked.balances.items())
        return tuple(Standing(one, looked.balances[one.key]) for one in capped)

    def give_up(self, error: LedgerUnavailable) -> None:
        """
        Stop using the ledger until everything in memory is `written`.
        """
        # Announce it once: the same problem has different messages when a balance is read and when money is reserved.
        if not self.ledger_trouble:
            what = _what(fail_for(self._limits.budgets, self._fail), self._fail)
            self._announce("ledger_unavailable", f"{error.message}; until it answers, {what}")
        self.ledger_trouble = error.message
        self._busy = isinstance(error, LedgerBusy)

    def next_batch(self) -> Batch:
        """
        What must be written to the ledger next; empty if there is nothing.
        """
        return self.unwritten.next_batch(_BATCH)

    async def write(self, batch: Batch) -> None:
        """
        Write a batch to the ledger. This may run in another thread. Writing a batch twice changes nothing.

        Raises:
            LedgerUnavailable: the ledger still does not answer.
        """
        settles = [bill.settle for bill in batch.bills]
        reserves = [Reserve(hold, (), hold.expires_at - HOLD_LIFETIME) for hold in batch.holds]
        if not batch:
            await self._ledger.check()
            return
        try:
            await self._ledger.post(settles, reserves)
        except ValueError:
            # A hold is already in the ledger, although the call that wrote it failed.
            await self._ledger.post(settles, ())
            for reserve in reserves:
                with suppress(ValueError):
                    await self._ledger.post((), (reserve,))

    async def written(self, batch: Batch) -> bool:
        """
        A batch was written to the ledger.

        The last few bills are written here on the event loop; otherwise, under load, there would always be another one.

        Returns:
            Whether everything is written; then the ledger is used again.
        """
        self._forget(batch)
        if len(self.unwritten) > _LAST_BATCH:
            return False
        with suppress(LedgerUnavailable):
            while rest := self.unwritten.next_batch(_LAST_BATCH):
                await self.write(rest)
                self._forget(rest)
            self._ledger_answers()
        return not self.ledger_trouble

    async def in_force(self) -> tuple[InForce, ...]:
        """
        The budgets in force, and the origin of each.
        """
        return await _with_present_terms(self._present_origins)

    async def _present_origins(self) -> tuple[InForce, ...]:
        await self._read_terms()
        if not self.ledger_trouble:
            with suppress(LedgerUnavailable):
                await self._ledger.look((), datetime.now(UTC))
        return self._limits.origins

    async def disconnect(self) -> None:
        """
        Release what belongs to the running event loop.
        """
        await self._ledger.disconnect()

    async def close(self) -> None:
        """
        Write everything to the ledger, waiting for it if necessary, and close it.
        """
        end = time.monotonic() + _CLOSING_S
        while self.ledger_trouble:
            batch = self.next_batch()
            try:
                await self.write(batch)
                await self.written(batch)
            except LedgerUnavailable as error:
                self.ledger_trouble = error.message
                if not isinstance(error, LedgerBusy) or time.monotonic() > end:
                    break
                await self._pause(_POLL_S)
        lost, lost_nusd = self.unwritten.forget_lost()
        self._say_lost(self.unwritten.calls + lost, self.unwritten.nusd + lost_nusd, self.ledger_trouble)
        await self._ledger.close()

    async def _pause(self, seconds: float) -> None:
        if isinstance(self._ledger, LocalLedger):
            time.sleep(seconds)  # noqa: ASYNC251 - the event loop has ended, so nothing is blocked
        else:
            await asyncio.sleep(seconds)

    async def _read_terms(self) -> None:
        """
        Read the budgets in the ledger. If the ledger cannot be read, the last known budgets stay in force; the next call to
        it reports the problem.
        """
        if not self.ledger_trouble:
            with suppress(LedgerUnavailable):
                self._limits.learn(*await self._ledger.terms())

    async def _posted(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted | None:
        """
        The answer of the ledger; None: it does not answer.
        """
        if self.ledger_trouble:
            return None
        try:
            posted = await self._ledger.post(settles, reserves)
        except LedgerBusy:
            raise
        except LedgerUnavailable as error:
            self.give_up(error)
            return None
        self.unwritten.learn(balances_in(posted))
        if reserves:
            self._allowed_until = posted.allowed_until
        return posted

    def _judge(self, hold: Hold, which: Sequence[Limit], now: datetime) -> Decision:
        standings = [Standing(limit, self.unwritten.balance(limit.key)) for limit in which]
        override = is_allowed(self._allowed_until, now)
        fail = fail_for((limit.budget for limit in which), self._fail)
        return decide_from_memory(hold, standings, override=override, fail=fail, busy=self._busy)

    def _judge_and_hold(self, one: Reserve) -> Decision:
        decision = self._judge(one.hold, one.limits, one.now)
        if isinstance(decision, Allowed) and decision.hold is not None:
            self.unwritten.hold(decision.hold)
        return decision

    def _said(self, decision: Decision, limits: Sequence[Limit]) -> Decision:
        """
        The decision. If a budget ignored the override header, that is announced once for each budget.
        """
        if decision.override_ignored:
            for name in {one.budget.name for one in limits if one.capped and not one.budget.allow_override}:
                if name not in self._ignored_overrides:
                    self._ignored_overrides.add(name)
                    text = f"a request has the header x-posthog-budget-override, which budget {name} does not accept"
                    self._announce("override_ignored", text)
        return decision

    def _forget(self, batch: Batch) -> None:
        self._told_calls += sum(bill.calls for bill in batch.bills)
        self._told_nusd += sum(bill.settle.nusd for bill in batch.bills)
        self.unwritten.written(batch)

    def _ledger_answers(self) -> None:
        self.unwritten.end()
        self.ledger_trouble = ""
        told = f"; {_bills(self._told_calls, self._told_nusd)} entered" if self._told_calls else ""
        self._told_calls = self._told_nusd = 0
        self._announce("ledger_back", f"the budget ledger answers again{told}")
        self._say_lost(*self.unwritten.forget_lost(), "there were too many to keep")

    def _say_lost(self, calls: int, nusd: int, why: str) -> None:
        self.lost_calls += calls
        if calls:
            self._announce("charge_lost", f"{_bills(calls, nusd)} not entered: {why}")


async def _with_present_terms(call: Callable[[], Awaitable[T]]) -> T:
    """
    The result of a call. The call is repeated if the budgets in the ledger have changed.

    Raises:
        LedgerBusy: they keep changing.
    """
    for _ in range(_MOST_CHANGES):
        with suppress(TermsChanged):
            return await call()
    raise LedgerBusy("the budgets in the ledger keep changing")


def _what(fail: Fail, chosen: Fail | None) -> str:
    """
    What happens to requests while the ledger does not answer.
    """
    if fail == "open":
        return "requests are allowed, and their bills are kept in memory"
    if chosen == "closed":
        return "requests are refused (--fail closed)"
    return "requests under a strict budget are refused (--fail open allows them)"


def _bills(calls: int, nusd: int) -> str:
    """
    For example `1 bill of $0.12`.
    """
    return f"1 bill of {dollars(nusd)}" if calls == 1 else f"{calls} bills of {dollars(nusd)}"
