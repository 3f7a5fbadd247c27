"""
What a ledger does, and the simplest one that does it.

Rule of this file: `MemoryLedger` is the specification. Every other ledger passes the same tests and gives the same
answers to the same calls.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Literal, Protocol

from savemode_cli.core.admission import Allowed, Balance, Decision, Hold, Standing, check_limits, check_nusd, decide
from savemode_cli.core.budget import Budget, Limit, aware
from savemode_cli.core.charge import Basis

Settled = Literal["charged", "repeated", "unknown"]
"""Charged: by this call. Repeated: an earlier call did, this one changed nothing. Unknown: no such hold is on record."""


@dataclass(frozen=True, slots=True)
class OpenHold:
    """
    A hold that is not settled; `unsettled`: it ran out, and counts as spent until it is settled or released.
    """

    hold: Hold
    unsettled: bool


@dataclass(frozen=True, slots=True)
class Charge:
    """
    A settled amount, as it is kept for good: the charges under a key add up to its settled balance.
    """

    hold_id: str
    keys: tuple[str, ...]
    nusd: int
    basis: Basis
    model: str
    settled_at: datetime
    override: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """
    One call of `Ledger.settle`. `keys`: whose balances are wanted once it is done.
    """

    hold_id: str
    nusd: int
    basis: Basis
    now: datetime
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reserve:
    """
    One call of `Ledger.reserve`.
    """

    hold: Hold
    limits: Sequence[Limit]
    now: datetime


@dataclass(frozen=True, slots=True)
class Posted:
    """
    What several calls came to, each list in their order; `balances` as they were between the settles and the reserves.
    """

    settled: list[Settled]
    balances: dict[str, Balance]
    decisions: list[Decision]


class Ledger(Protocol):
    """
    Adds up what is held and charged, and keeps it. Synchronous, and safe to call from any thread.

    Every method may raise `LedgerUnavailable`, and then nothing was changed. Amounts are nano-USD, times are aware.
    """

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        Settle all of these, then reserve all of those, as if called one by one, and in one step: a ledger on a disk pays
        for a step, hardly for what is in it.

        Raises:
            ValueError: as `settle` and `reserve` do, or an id is twice among the reserves; then nothing was changed.
        """

    def reserve(self, hold: Hold, limits: Sequence[Limit], now: datetime) -> Decision:
        """
        Judge a request and hold its money, in one step that nobody else can come between.

        Every key of the hold is charged, every limit is judged; a key without a limit is only counted.

        Raises:
            ValueError: the hold's id was used before, or a limit is not among its keys. A bug in the caller.
        """

    def settle(self, hold_id: str, nusd: int, basis: Basis, now: datetime) -> Settled:
        """
        Put the real cost in the place of a hold, exactly once, however often it is called.

        A hold that ran out, or was released, is settled all the same: the bill came late, and it is a bill.

        Raises:
            ValueError: a negative amount. A bug in the caller.
        """

    def release(self, hold_id: str) -> bool:
        """
        Stop counting a hold, its request being known dead. Whether there was one to release.
        """

    def balance(self, key: str, now: datetime) -> Balance:
        """
        What is settled, unsettled and held under a key; zeroes for one never seen.
        """

    def balances(self, now: datetime) -> dict[str, Balance]:
        """
        The same for every key there is, in order.
        """

    def holds(self, now: datetime) -> tuple[OpenHold, ...]:
        """
        The holds neither settled nor released, the first to run out first.
        """

    def charges(self, since: datetime | None = None) -> tuple[Charge, ...]:
        """
        What was charged (from a moment on), in the order it was.
        """

    def allow(self, until: datetime | None) -> None:
        """
        Let every request start until then, as if each had the override; None: no longer.
        """

    def allowed_until(self) -> datetime | None:
        """
        The end of that time, if one was ever set; it may be over.
        """

    def set_budget(self, budget: Budget) -> None:
        """
        Keep a budget, in the place of the one of the same name.
        """

    def drop_budget(self, name: str) -> bool:
        """
        Forget a budget; what was spent under it stays on record. Whether there was one.
        """

    def budgets(self) -> tuple[Budget, ...]:
        """
        The budgets kept, by name.
        """

    def close(self) -> None:
        """
        Let go of files and connections. Harmless when repeated; any other call afterwards may be `LedgerUnavailable`.
        """


class MemoryLedger:
    """
    A ledger that ends with the process. Never unavailable.
    """

    def __init__(self) -> None:
        """
        Start with nothing.
        """
        # Without the lock two threads could both read a balance before either holds anything, and both pass the cap.
        self._lock = Lock()
        self._open: dict[str, Hold] = {}
        self._released: set[str] = set()
        self._charges: dict[str, Charge] = {}
        self._settled_nusd: defaultdict[str, int] = defaultdict(int)
        self._budgets: dict[str, Budget] = {}
        self._allowed_until: datetime | None = None

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `Ledger`.
        """
        check_posted(settles, reserves)
        with self._lock:
            for one in reserves:
                if one.hold.id in self._open or one.hold.id in self._charges:
                    raise used_before(one.hold)
            settled = [self._settle(one) for one in settles]
            balances = {key: self._balance(key, one.now) for one in settles for key in one.keys}
            return Posted(settled, balances, [self._reserve(one) for one in reserves])

    def reserve(self, hold: Hold, limits: Sequence[Limit], now: datetime) -> Decision:
        """
        See `Ledger`.
        """
        return self.post((), (Reserve(hold, limits, now),)).decisions[0]

    def settle(self, hold_id: str, nusd: int, basis: Basis, now: datetime) -> Settled:
        """
        See `Ledger`.
        """
        return self.post((Settle(hold_id, nusd, basis, now),), ()).settled[0]

    def release(self, hold_id: str) -> bool:
        """
        See `Ledger`.
        """
        with self._lock:
            if hold_id not in self._open or hold_id in self._released:
                return False
            self._released.add(hold_id)
            return True

    def balance(self, key: str, now: datetime) -> Balance:
        """
        See `Ledger`.
        """
        with self._lock:
            return self._balance(key, now)

    def balances(self, now: datetime) -> dict[str, Balance]:
        """
        See `Ledger`.
        """
        with self._lock:
            keys = {*self._settled_nusd, *(key for hold in self._counted() for key in hold.keys)}
            return {key: self._balance(key, now) for key in sorted(keys)}

    def holds(self, now: datetime) -> tuple[OpenHold, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            counted = sorted(self._counted(), key=lambda hold: (hold.expires_at, hold.id))
            return tuple(OpenHold(hold, is_expired(hold.expires_at, now)) for hold in counted)

    def charges(self, since: datetime | None = None) -> tuple[Charge, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            return tuple(one for one in self._charges.values() if since is None or one.settled_at >= since)

    def allow(self, until: datetime | None) -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            self._allowed_until = None if until is None else aware(until)

    def allowed_until(self) -> datetime | None:
        """
        See `Ledger`.
        """
        with self._lock:
            return self._allowed_until

    def set_budget(self, budget: Budget) -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            self._budgets[budget.name] = budget

    def drop_budget(self, name: str) -> bool:
        """
        See `Ledger`.
        """
        with self._lock:
            return self._budgets.pop(name, None) is not None

    def budgets(self) -> tuple[Budget, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            return tuple(self._budgets[name] for name in sorted(self._budgets))

    def close(self) -> None:
        """
        Nothing to let go of, and nothing that could then be unavailable.
        """

    def _settle(self, one: Settle) -> Settled:
        hold = self._open.pop(one.hold_id, None)
        if hold is None:
            return "repeated" if one.hold_id in self._charges else "unknown"
        self._released.discard(hold.id)
        for key in hold.keys:
            self._settled_nusd[key] += one.nusd
        self._charges[hold.id] = Charge(hold.id, hold.keys, one.nusd, one.basis, hold.model, one.now, hold.override)
        return "charged"

    def _reserve(self, one: Reserve) -> Decision:
        standings = [Standing(limit, self._balance(limit.key, one.now)) for limit in one.limits]
        decision = decide(one.hold, standings, override=is_allowed(self._allowed_until, one.now))
        if isinstance(decision, Allowed) and decision.hold is not None:
            self._open[one.hold.id] = decision.hold
        return decision

    def _counted(self) -> Iterable[Hold]:
        return (hold for hold in self._open.values() if hold.id not in self._released)

    def _balance(self, key: str, now: datetime) -> Balance:
        unsettled = held = 0
        for hold in self._counted():
            if key in hold.keys:
                if is_expired(hold.expires_at, now):
                    unsettled += hold.ask_nusd
                else:
                    held += hold.ask_nusd
        return Balance(self._settled_nusd.get(key, 0), unsettled, held)


def check_posted(settles: Sequence[Settle], reserves: Sequence[Reserve]) -> None:
    """
    What can be known to be wrong without the ledger.

    Raises:
        ValueError: an amount is none, a time has no zone, a limit is not among its hold's keys, an id is reserved twice.
    """
    for settle in settles:
        check_nusd(settle.nusd)
        aware(settle.now)
    taken: set[str] = set()
    for reserve in reserves:
        check_limits(reserve.hold, reserve.limits)
        aware(reserve.now)
        if reserve.hold.id in taken:
            raise used_before(reserve.hold)
        taken.add(reserve.hold.id)


def used_before(hold: Hold) -> ValueError:
    """
    The error for a hold whose id is taken.
    """
    return ValueError(f"hold {hold.id} was used before")


def is_expired(expires_at: datetime, now: datetime) -> bool:
    """
    Whether a hold ran out: at that very moment it has.
    """
    return expires_at <= now


def is_allowed(allowed_until: datetime | None, now: datetime) -> bool:
    """
    Whether a temporary override is in force: at its end it no longer is.
    """
    return allowed_until is not None and now < allowed_until
