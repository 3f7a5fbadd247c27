"""
The ledger that is kept in memory.

Rule of this file: it is the specification of a ledger, so each call is written in the simplest correct way.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock

from savemode_cli.core.budget.admission import (
    Allowed,
    Balance,
    Decision,
    Hold,
    Standing,
    decide,
    rolling_in_the_way,
    with_free_time,
)
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import (
    Charge,
    OpenHold,
    Posted,
    Reserve,
    Settle,
    Settled,
    check_posted,
    is_allowed,
    is_lifted,
    used_before,
)
from savemode_cli.core.budget.open_holds import OpenHolds, is_expired
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.budget.rolling import RollingCharges
from savemode_cli.core.budget.window import span_of


class MemoryLedger:
    """
    A ledger that ends with the process. It is never unavailable.
    """

    clock_offset = timedelta()
    """It goes by the clock of this machine."""

    def __init__(self) -> None:
        """
        Start with nothing.
        """
        # Without the lock two threads could both read a balance before either holds anything, and both pass the cap.
        self._lock = Lock()
        self._open: dict[str, Hold] = {}
        self._counted: dict[str, OpenHolds] = {}
        self._released: set[str] = set()
        self._charges: dict[str, Charge] = {}
        self._settled_nusd: defaultdict[str, int] = defaultdict(int)
        self._rolling: dict[str, RollingCharges] = {}
        self._budgets: dict[str, Budget] = {}
        self._limits: dict[tuple[str, str], PersonalLimit] = {}
        self._allowances: dict[tuple[str, str], Allowance] = {}

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `Ledger`.
        """
        check_posted(settles, reserves)
        with self._lock:
            brought = {one.hold_id for one in settles if one.hold is not None}
            for one in reserves:
                if one.hold.id in self._open or one.hold.id in self._charges or one.hold.id in brought:
                    raise used_before(one.hold)
            settled = [self._settle(one) for one in settles]
            balances = {key: self._balance(key, one.now) for one in settles for key in one.keys}
            allowed_until = self._allowed_until() if reserves else None
            return Posted(settled, balances, [self._reserve(one) for one in reserves], allowed_until)

    def release(self, hold_id: str) -> bool:
        """
        See `Ledger`.
        """
        with self._lock:
            if hold_id not in self._open or hold_id in self._released:
                return False
            self._released.add(hold_id)
            self._count_no_more(self._open[hold_id])
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
            keys = {*self._settled_nusd, *self._rolling, *self._counted}
            return {key: self._balance(key, now) for key in sorted(keys)}

    def holds(self, now: datetime) -> tuple[OpenHold, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            counted = [hold for hold in self._open.values() if hold.id not in self._released]
            counted.sort(key=lambda hold: (hold.expires_at, hold.id))
            return tuple(OpenHold(hold, is_expired(hold.expires_at, now)) for hold in counted)

    def charges(self, since: datetime | None = None) -> tuple[Charge, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            return tuple(one for one in self._charges.values() if since is None or one.settled_at >= since)

    def allow(self, until: datetime | None, budget: str = "", who: str = "") -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            if until is not None:
                self._allowances[budget, who] = Allowance(until, budget, who)
            elif budget:
                self._allowances.pop((budget, who), None)
            else:
                self._allowances.clear()

    def allowed_until(self) -> datetime | None:
        """
        See `Ledger`.
        """
        with self._lock:
            return self._allowed_until()

    def allowances(self) -> tuple[Allowance, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            return tuple(self._allowances[key] for key in sorted(self._allowances))

    def set_limit(self, limit: PersonalLimit) -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            self._limits[limit.budget, limit.who] = replace(limit, set_at_us=self._set_at(limit.set_at_us))

    def drop_limit(self, budget: str, who: str) -> bool:
        """
        See `Ledger`.
        """
        with self._lock:
            return self._limits.pop((budget, who), None) is not None

    def limits(self) -> tuple[PersonalLimit, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            return tuple(self._limits[key] for key in sorted(self._limits))

    def set_budget(self, budget: Budget) -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            set_at_us = self._set_at(budget.set_at_us)
            self._budgets[budget.name] = replace(budget, limits=(), set_at_us=set_at_us, source="")

    def drop_budget(self, name: str) -> bool:
        """
        See `Ledger`.
        """
        with self._lock:
            self._limits = {key: limit for key, limit in self._limits.items() if limit.budget != name}
            return self._budgets.pop(name, None) is not None

    def budgets(self) -> tuple[Budget, ...]:
        """
        See `Ledger`.
        """
        with self._lock:
            return tuple(self._budgets[name] for name in sorted(self._budgets))

    def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `Ledger`.
        """
        return self.budgets(), self.limits()

    def check(self) -> None:
        """
        See `Ledger`.
        """

    def close(self) -> None:
        """
        Nothing to let go of, and nothing that could then be unavailable.
        """

    def _settle(self, one: Settle) -> Settled:
        if one.hold_id in self._charges:
            return "repeated"
        hold = self._open.pop(one.hold_id, None)
        if hold is None:
            if one.hold is None:
                return "unknown"
            hold = one.hold
        elif hold.id in self._released:
            self._released.remove(hold.id)
        else:
            self._count_no_more(hold)
        for key in hold.keys:
            self._charge(key, one.now, one.nusd)
        self._charges[hold.id] = Charge(hold.id, hold.keys, one.nusd, one.basis, hold.model, one.now, hold.override)
        return "charged"

    def _charge(self, key: str, now: datetime, nusd: int) -> None:
        span = span_of(key)
        if span is None:
            self._settled_nusd[key] += nusd
        else:
            self._rolling.setdefault(key, RollingCharges(span)).add(now, nusd)

    def _reserve(self, one: Reserve) -> Decision:
        for limit in one.limits:
            if limit.key in self._rolling:
                self._rolling[limit.key].drop_left(one.now)
        allowances = [allowance for allowance in self._allowances.values() if allowance.budget]
        standings = [
            Standing(limit, self._balance(limit.key, one.now), is_lifted(limit, allowances, one.now))
            for limit in one.limits
        ]
        decision = decide(one.hold, standings, override=is_allowed(self._allowed_until(), one.now))
        if isinstance(decision, Allowed) and decision.hold is not None:
            self._open[one.hold.id] = decision.hold
            for key in decision.hold.keys:
                self._counted.setdefault(key, OpenHolds()).add(decision.hold)
        standing = rolling_in_the_way(decision)
        rolling = None if standing is None else self._rolling.get(standing.limit.key)
        return decision if rolling is None else with_free_time(decision, rolling.leaving(one.now))

    def _allowed_until(self) -> datetime | None:
        allowance = self._allowances.get(("", ""))
        return None if allowance is None else allowance.until

    def _set_at(self, given_us: int) -> int:
        budgets, limits = self._budgets.values(), self._limits.values()
        kept = [one.set_at_us for one in budgets] + [one.set_at_us for one in limits]
        return max(given_us, max(kept, default=0) + 1)

    def _count_no_more(self, hold: Hold) -> None:
        for key in hold.keys:
            self._counted[key].remove(hold)
            if not self._counted[key]:
                del self._counted[key]

    def _balance(self, key: str, now: datetime) -> Balance:
        counted = self._counted.get(key)
        held = 0 if counted is None else counted.held_nusd(now)
        unsettled = 0 if counted is None else counted.nusd - held
        span = span_of(key)
        if span is None:
            return Balance(self._settled_nusd.get(key, 0), unsettled, held)
        if counted is not None:
            unsettled -= counted.left_nusd(now - span)
        rolling = self._rolling.get(key)
        return Balance(0 if rolling is None else rolling.settled_nusd(now), unsettled, held)
