"""
Money on the road of a request: held before it is sent, settled when it is over.

Rule of this file: it remembers and asks. What may start is decided by the ledger with the core's rules, what it costs by
the price table; this keeps what a session cost lately, and says once what a person must know.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from savemode_cli.core.admission import Allowed, Decision, Hold, Refused, Standing, decide, unaccounted
from savemode_cli.core.budget import ALL, Budget, Limit, identify, limit_of
from savemode_cli.core.caller import Caller, Headers
from savemode_cli.core.charge import (
    RECENT,
    Outcome,
    Settlement,
    ask_nusd,
    ceiling_nusd,
    estimated,
    expected_nusd,
    opening_nusd,
    settlement,
)
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import Ledger
from savemode_cli.core.messages import Facts
from savemode_cli.core.pricing import Bill, PriceTable, Usage
from savemode_cli.core.receipt import Receipt, Shadow, receipt
from savemode_cli.core.tiers import Fail, dollars
from savemode_cli.core.transform import Edit

_REMEMBERED_SESSIONS = 10_000
_HOLD_LIFETIME = timedelta(minutes=30)  # longer than any answer; a bill that comes later still counts, once

UNCAPPED = Budget("default", 0)
"""Where no budget is set: spend is counted all the same, so that one set later knows of it."""


_NOBODY = Caller(product="", idle_prone=False)


class Metered(Protocol):
    """
    What a finished exchange knows of its usage: the reading side of `UsageMeter`.
    """

    final: bool
    emitted_chars: int
    model: str | None

    @property
    def usage(self) -> Usage | None:
        """
        What was reported.
        """


@dataclass(slots=True)
class _Past:
    costs_nusd: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    body_bytes: int = 0
    shadow: Shadow | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """
    One request's place in the books, from its hold to its bill.
    """

    decision: Decision
    session: str
    known: Facts
    started_at: datetime
    body_bytes: int

    @property
    def held_nusd(self) -> int:
        """
        What is held for it.
        """
        hold = self.decision.hold if isinstance(self.decision, Allowed) else None
        return 0 if hold is None else hold.ask_nusd


@dataclass(frozen=True, slots=True)
class Settled:
    """
    What a request cost: the charge, the receipt, and the usage and bill they rest on where there are any.

    `decision` is the account's with the budgets as they stand now that it is charged.
    """

    settlement: Settlement
    receipt: Receipt
    decision: Decision
    usage: Usage | None = None
    bill: Bill | None = None


class Accounts:
    """
    The ledger, the prices and the memory of what sessions cost.

    `announce` tells the person at the terminal; each trouble with the ledger is told once, and its end too.
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
        self.downgraded_models: set[str | None] = set()
        self._ledger = ledger
        self._table = table
        self._announce = announce
        self._configured = tuple(budgets)
        self._budgets: Sequence[Budget] = self._configured or (UNCAPPED,)
        self._stored: Sequence[Budget] | None = None
        self._stored_at_start: dict[str, Budget] | None = None
        self._unpaid: dict[str, tuple[Settlement, datetime]] = {}
        self._in_force()
        self._fail: Fail = fail
        self._kept_limits: dict[tuple[str, str], tuple[datetime, Limit]] = {}
        self._pasts: OrderedDict[str, _Past] = OrderedDict()
        self._unpriced: set[str | None] = set()

    def reserve(
        self, hold_id: str, caller: Caller, headers: Headers, known: Facts, body_bytes: int, session: str, now: datetime
    ) -> Account:
        """
        Hold the expected cost of a request, or be refused.
        """
        price = self._table.find(known.model, now).price
        # Models share no cache, and cost differently: one session has a past with each.
        session = f"{session} {known.model or ''}"
        past = self._pasts.get(session) or _Past()
        ceiling = ceiling_nusd(known, body_bytes, price)
        expected = expected_nusd(
            tuple(past.costs_nusd),
            ceiling,
            opening_nusd(known, body_bytes, price),
            body_bytes=body_bytes,
            new_bytes=body_bytes - past.body_bytes,
        )
        which = self._limits(caller, headers, now)
        keys = tuple(dict.fromkeys(limit.key for limit in which))
        hold = Hold(
            hold_id, keys, ask_nusd(which, expected, ceiling), now + _HOLD_LIFETIME, known.model or "", caller.override
        )
        return Account(self._ask(hold, which, caller, now), session, known, now, body_bytes)

    def look(self, caller: Caller | None, headers: Headers, now: datetime) -> Decision:
        """
        Where the budgets stand for this caller, nothing held: for what is free, and for batches.

        Without a caller, where his headers cannot be read, it is the budgets for everybody that are looked at.
        """
        which = self._shared(now) if caller is None else self._limits(caller, headers, now)
        caller = caller or _NOBODY
        if not which:
            return Allowed(None, None)
        hold = Hold("look", tuple(dict.fromkeys(limit.key for limit in which)), 0, now, "", caller.override)
        try:
            standings = [Standing(limit, self._ledger.balance(limit.key, now)) for limit in which]
            allowed_until = self._ledger.allowed_until()
        except LedgerUnavailable as error:
            return self._without_ledger(error, which, caller)
        return decide(hold, standings, override=allowed_until is not None and now < allowed_until)

    def standings(self, now: datetime, others: Iterable[Limit] = ()) -> tuple[Standing, ...]:
        """
        Where the budgets for everybody stand, and these others.

        Raises:
            LedgerUnavailable: nobody knows.
        """
        which = {limit.key: limit for limit in (*self._shared(now), *others)}.values()
        return tuple(Standing(one, self._ledger.balance(one.key, now)) for one in which if one.capped)

    def settle(
        self, account: Account, outcome: Outcome, meter: Metered | None, edits: Sequence[Edit], now: datetime
    ) -> Settled:
        """
        Put the bill in the place of the hold, once. Never raises: what cannot be written is said with its amount.

        `edits` are those that were on the wire.
        """
        final = meter is not None and meter.final
        usage = meter.usage if meter is not None else None
        if usage is not None and meter is not None and not final:
            usage = estimated(usage, meter.emitted_chars)
        model = (meter.model if meter is not None else None) or account.known.model

        bill = None if usage is None else self._table.bill(usage, model, account.started_at)

        def bill_for(used: Usage) -> Bill:
            return bill if bill is not None and used is usage else self._table.bill(used, model, account.started_at)

        cost = None if bill is None else bill.cost.total_nusd
        charge = settlement(outcome, cost, final=final, held_nusd=account.held_nusd)
        self._write(account, charge, now)
        if bill is not None:
            self._say_unpriced(bill, model)
        past = self._past(account.session)
        reached = outcome in ("ok", "client_gone", "broken")
        printed, past.shadow = receipt(
            past.shadow, account.known, edits, usage, bill_for, account.started_at, now, final=final, reached=reached
        )
        self._say_downgraded(printed, model)
        if charge.basis in ("reported", "estimated"):
            past.costs_nusd.append(charge.nusd)
            past.body_bytes = account.body_bytes
        return Settled(charge, printed, self._after(account.decision, now), usage, bill)

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

    def _limits(self, caller: Caller, headers: Headers, now: datetime) -> tuple[Limit, ...]:
        return tuple(self._limit(one, identify(one.scope, caller, headers), now) for one in self._in_force())

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
            if len(self._kept_limits) > _REMEMBERED_SESSIONS:
                self._kept_limits.clear()
            kept = limit_of(budget, who, now)
            self._kept_limits[budget.name, who] = (now, kept)
        return kept

    def _ask(self, hold: Hold, which: Sequence[Limit], caller: Caller, now: datetime) -> Decision:
        try:
            decision = self._ledger.reserve(hold, which, now)
        except LedgerUnavailable as error:
            return self._without_ledger(error, which, caller)
        if self.ledger_trouble:
            self.ledger_trouble = ""
            self._announce("ledger_back", "the budget ledger answers again")
        if self._unpaid:
            self._pay()
        return decision

    def _without_ledger(self, error: LedgerUnavailable, which: Sequence[Limit], caller: Caller) -> Decision:
        self._in_trouble(error)
        return unaccounted(which, override=caller.override, fail=self._fail)

    def _in_trouble(self, error: LedgerUnavailable) -> None:
        # Told once: the same trouble has other words where a balance is read than where money is held.
        if not self.ledger_trouble:
            what = "requests go on uncounted" if self._fail == "open" else "requests are refused (--fail closed)"
            self._announce("ledger_unavailable", f"{error.message}; until it answers, {what}")
        self.ledger_trouble = error.message

    def _after(self, decision: Decision, now: datetime) -> Decision:
        if isinstance(decision, Refused) or not decision.standings:
            return decision
        try:
            return decision.after([self._ledger.balance(one.limit.key, now) for one in decision.standings])
        except LedgerUnavailable:
            return Allowed(decision.hold, "unknown")

    def _write(self, account: Account, charge: Settlement, now: datetime) -> None:
        hold = account.decision.hold if isinstance(account.decision, Allowed) else None
        if hold is None:
            return
        try:
            self._charge(hold.id, charge, now)
        except LedgerUnavailable as error:
            # The hold counts until the bill can be written; writing it twice changes nothing.
            self._unpaid[hold.id] = (charge, now)
            self._in_trouble(error)

    def _pay(self) -> None:
        """
        Write the bills that could not be written when they came.
        """
        for hold_id, (charge, when) in list(self._unpaid.items()):
            try:
                self._charge(hold_id, charge, when)
            except LedgerUnavailable:
                return
            del self._unpaid[hold_id]

    def _charge(self, hold_id: str, charge: Settlement, when: datetime) -> None:
        if self._ledger.settle(hold_id, charge.nusd, charge.basis, when) == "unknown":
            self._say_lost(hold_id, charge, "the ledger does not know the hold any more")

    def _say_lost(self, hold_id: str, charge: Settlement, why: str) -> None:
        self._announce("charge_lost", f"{dollars(charge.nusd)} ({charge.basis}) of {hold_id} not written: {why}")

    def _say_unpriced(self, bill: Bill, model: str | None) -> None:
        if bill.state == "unpriced" and model not in self._unpriced:
            self._unpriced.add(model)
            self._announce(
                "model_unpriced",
                f"no price for {model or 'a request without a model'}: charged at the dearest known price",
            )

    def _say_downgraded(self, printed: Receipt, model: str | None) -> None:
        if printed.verified is False and model not in self.downgraded_models:
            self.downgraded_models.add(model)
            self._announce(
                "ttl_downgraded",
                f"{model or 'a model'} was asked for 1h and billed 5m: the upgrade has no effect there, and costs nothing",
            )

    def _past(self, session: str) -> _Past:
        past = self._pasts.setdefault(session, _Past())
        self._pasts.move_to_end(session)
        if len(self._pasts) > _REMEMBERED_SESSIONS:
            self._pasts.popitem(last=False)
        return past
