"""
Money on the road of a request: held before it is sent, settled when it is over.

Rule of this file: it asks the ledger, which decides by the core's rules, and goes on without it where it must; what is
the matter with it is said once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from savemode_cli.core.admission import Allowed, Balance, Decision, Hold, Refused, Standing, decide, unaccounted
from savemode_cli.core.budget import ALL, Budget, Limit, identify, limit_of
from savemode_cli.core.caller import Caller, Headers
from savemode_cli.core.charge import Settlement, ask_nusd
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import Ledger, Reserve, Settle
from savemode_cli.core.ledger import Settled as LedgerSettled
from savemode_cli.core.pricing import PriceTable
from savemode_cli.core.tiers import Fail, dollars
from savemode_cli.proxy.billing import Account, Ask, Billing, Due

_REMEMBERED_LIMITS = 10_000
_HOLD_LIFETIME = timedelta(minutes=30)  # longer than any answer; a bill that comes later still counts, once

UNCAPPED = Budget("default", 0)
"""Where no budget is set: spend is counted all the same, so that one set later knows of it."""


_FORGOTTEN = "the ledger does not know the hold any more"
_NOBODY = Caller(product="", idle_prone=False)


@dataclass(frozen=True, slots=True)
class Settled:
    """
    What a request cost: the bill, and the account's decision with the budgets as they stand now that it is charged.
    """

    due: Due
    decision: Decision


class Accounts:
    """
    The ledger, the prices and the memory of what sessions cost.

    `announce` tells the person at the terminal, and must not raise; each trouble with the ledger is told once, and its end
    too.
    """

    def __init__(
        self,
        ledger: Ledger,
        table: PriceTable,
        announce: Callable[[str, str], None],
        *,
        budgets: Sequence[Budget] = (),
        fail: Fail = "open",
    ) -> None:
        """
        `budgets` are those configured; the ledger may have others, and newer ones.
        """
        self.ledger_trouble = ""
        self.billing = Billing(table, announce)
        self._ledger = ledger
        self._announce = announce
        self._configured = tuple(budgets)
        self._budgets: Sequence[Budget] = self._configured or (UNCAPPED,)
        self._stored: Sequence[Budget] | None = None
        self._stored_at_start: dict[str, Budget] | None = None
        self._unpaid: dict[str, tuple[Settlement, datetime]] = {}
        self._in_force()
        self._fail: Fail = fail
        self._kept_limits: dict[tuple[str, str], tuple[datetime, Limit]] = {}

    def post(self, dues: Sequence[Due], asks: Sequence[Ask]) -> tuple[list[Settled], list[Account]]:
        """
        Charge what is due, then judge who asks, in one step of the ledger.
        """
        budgets = self._in_force() if asks else ()
        limits = [self._limits(budgets, ask.caller, ask.headers, ask.now) for ask in asks]
        reserves = [Reserve(_hold(ask, which), which, ask.now) for ask, which in zip(asks, limits, strict=True)]
        settles = [_settle(due, due.account.hold) for due in dues if due.account.hold is not None]
        if not settles and not reserves:
            return [Settled(due, due.account.decision) for due in dues], []
        try:
            posted = self._ledger.post(settles, reserves)
        except LedgerUnavailable as error:
            self._in_trouble(error)
            decisions = [self._uncounted(which, ask.caller) for ask, which in zip(asks, limits, strict=True)]
            settled = [self._unsettled(due) for due in dues]
        else:
            decisions = posted.decisions
            results = dict(zip((one.hold_id for one in settles), posted.settled, strict=True))
            settled = [self._settled(due, results, posted.balances) for due in dues]
            self._ledger_answers()
        accounts = [
            Account(decision, ask.session, ask.known, ask.now, ask.body_bytes)
            for ask, decision in zip(asks, decisions, strict=True)
        ]
        return settled, accounts

    def look(self, caller: Caller | None, headers: Headers, now: datetime) -> Decision:
        """
        Where the budgets stand for this caller, nothing held: for what is free, and for batches.

        Without a caller, where his headers cannot be read, it is the budgets for everybody that are looked at.
        """
        which = self._shared(now) if caller is None else self._limits(self._in_force(), caller, headers, now)
        caller = caller or _NOBODY
        if not which:
            return Allowed(None, None)
        hold = Hold("look", tuple(dict.fromkeys(limit.key for limit in which)), 0, now, "", caller.override)
        try:
            standings = [Standing(limit, self._ledger.balance(limit.key, now)) for limit in which]
            allowed_until = self._ledger.allowed_until()
        except LedgerUnavailable as error:
            self._in_trouble(error)
            return self._uncounted(which, caller)
        return decide(hold, standings, override=allowed_until is not None and now < allowed_until)

    def standings(self, now: datetime, others: Iterable[Limit] = ()) -> tuple[Standing, ...]:
        """
        Where the budgets for everybody stand, and these others.

        Raises:
            LedgerUnavailable: nobody knows.
        """
        which = {limit.key: limit for limit in (*self._shared(now), *others)}.values()
        return tuple(Standing(one, self._ledger.balance(one.key, now)) for one in which if one.capped)

    def close(self) -> None:
        """
        Write what is still to be written, and close the ledger.
        """
        self._pay()
        for hold_id, (charge, _) in self._unpaid.items():
            self._say_lost(hold_id, charge, self.ledger_trouble)
        self._ledger.close()

    def _shared(self, now: datetime) -> tuple[Limit, ...]:
        return tuple(self._limit(one, "", now) for one in self._in_force() if one.scope == ALL)

    def _limits(self, budgets: Sequence[Budget], caller: Caller, headers: Headers, now: datetime) -> tuple[Limit, ...]:
        return tuple(self._limit(one, identify(one.scope, caller, headers), now) for one in budgets)

    def _in_force(self) -> Sequence[Budget]:
        """
        The budgets that count now: those configured, and those that only the ledger has.

        A configured one gives way to one of its name that was set in the ledger since we started: that is how
        `savemode budget set` raises it. What was there before does not, so a flag means what it says; and a ledger that
        is gone or new takes no cap with it.
        """
        # Where the ledger cannot be asked the last ones known hold; the next call to it says what is wrong.
        with suppress(LedgerUnavailable):
            found = self._ledger.budgets()
            if found == self._stored:
                return self._budgets
            self._stored = found
            stored = {one.name: one for one in found}
            if self._stored_at_start is None:
                self._stored_at_start = stored
            now_set = {name for name, one in stored.items() if one != self._stored_at_start.get(name)}
            own = [stored[one.name] if one.name in now_set else one for one in self._configured]
            names = {one.name for one in own}
            self._budgets = (*own, *(one for name, one in stored.items() if name not in names)) or (UNCAPPED,)
        return self._budgets

    def _limit(self, budget: Budget, who: str, now: datetime) -> Limit:
        """
        A budget for somebody, kept until its window ends: a calendar is slow, and the same for each request.
        """
        since, kept = self._kept_limits.get((budget.name, who), (now, None))
        if kept is None or kept.budget is not budget or not since <= now < kept.resets_at:
            if len(self._kept_limits) > _REMEMBERED_LIMITS:
                self._kept_limits.clear()
            kept = limit_of(budget, who, now)
            self._kept_limits[budget.name, who] = (now, kept)
        return kept

    def _ledger_answers(self) -> None:
        if self.ledger_trouble:
            self.ledger_trouble = ""
            self._announce("ledger_back", "the budget ledger answers again")
        if self._unpaid:
            self._pay()

    def _uncounted(self, which: Sequence[Limit], caller: Caller) -> Decision:
        return unaccounted(which, override=caller.override, fail=self._fail)

    def _in_trouble(self, error: LedgerUnavailable) -> None:
        # Told once: the same trouble has other words where a balance is read than where money is held.
        if not self.ledger_trouble:
            what = "requests go on uncounted" if self._fail == "open" else "requests are refused (--fail closed)"
            self._announce("ledger_unavailable", f"{error.message}; until it answers, {what}")
        self.ledger_trouble = error.message

    def _settled(self, due: Due, results: Mapping[str, LedgerSettled], balances: Mapping[str, Balance]) -> Settled:
        hold = due.account.hold
        if hold is not None and results[hold.id] == "unknown":
            self._say_lost(hold.id, due.settlement, _FORGOTTEN)
        return Settled(due, _after(due.account.decision, balances.__getitem__))

    def _unsettled(self, due: Due) -> Settled:
        """
        The hold counts until the bill can be written; writing it twice changes nothing.
        """
        hold = due.account.hold
        if hold is not None:
            self._unpaid[hold.id] = (due.settlement, due.now)
        try:
            # A ledger that cannot be written may still be read.
            return Settled(due, _after(due.account.decision, lambda key: self._ledger.balance(key, due.now)))
        except LedgerUnavailable:
            return Settled(due, Allowed(hold, "unknown"))

    def _pay(self) -> None:
        """
        Write the bills that could not be written when they came.
        """
        for hold_id, (charge, when) in list(self._unpaid.items()):
            try:
                settled = self._ledger.settle(hold_id, charge.nusd, charge.basis, when)
            except LedgerUnavailable:
                return
            del self._unpaid[hold_id]
            if settled == "unknown":
                self._say_lost(hold_id, charge, _FORGOTTEN)

    def _say_lost(self, hold_id: str, charge: Settlement, why: str) -> None:
        self._announce("charge_lost", f"{dollars(charge.nusd)} ({charge.basis}) of {hold_id} not written: {why}")


def _hold(ask: Ask, limits: Sequence[Limit]) -> Hold:
    keys = tuple(dict.fromkeys(limit.key for limit in limits))
    nusd = ask_nusd(limits, ask.expected_nusd, ask.ceiling_nusd)
    return Hold(ask.hold_id, keys, nusd, ask.now + _HOLD_LIFETIME, ask.known.model or "", ask.caller.override)


def _settle(due: Due, hold: Hold) -> Settle:
    decision = due.account.decision
    keys = tuple(one.limit.key for one in decision.standings) if isinstance(decision, Allowed) else ()
    return Settle(hold.id, due.settlement.nusd, due.settlement.basis, due.now, keys)


def _after(decision: Decision, balance_of: Callable[[str], Balance]) -> Decision:
    """
    The decision with its budgets as they stand now. A refusal stays as it was told.
    """
    if isinstance(decision, Refused) or not decision.standings:
        return decision
    return decision.after([balance_of(one.limit.key) for one in decision.standings])
