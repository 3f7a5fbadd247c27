"""
What a ledger does: its calls, their results, and the checks that every ledger makes.

Rule of this file: it stores nothing. `memory_ledger.MemoryLedger` is the specification: every other ledger passes the same
tests and gives the same answers to the same calls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct

from savemode_cli.core.budget.admission import (
    Balance,
    Decision,
    Hold,
    check_limits,
    check_nusd,
)
from savemode_cli.core.budget.budget import Budget, Limit, aware
from savemode_cli.core.budget.charge import Basis
from savemode_cli.core.budget.personal import Allowance, PersonalLimit

Settled = Literal["charged", "repeated", "unknown"]
"""Charged: by this call. Repeated: an earlier call did, this one changed nothing. Unknown: no such hold is on record."""

CLAIMS = "claims"
"""
The key of charges of $0 that are no requests: the process whose charge is the first with an ID may do something that is done
once, such as sending an alert.
"""


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
    A settled amount, as it is kept for good: the charges under a key add up to its settled balance, those under a key with
    a rolling window as long as they are in it.
    """

    hold_id: str
    keys: tuple[str, ...]
    nusd: int
    basis: Basis
    model: str
    settled_at: datetime
    override: bool


class Settle(Struct, frozen=True, gc=False):
    """
    The real cost of a hold.
    """

    hold_id: str
    nusd: int
    basis: Basis
    now: datetime
    keys: tuple[str, ...] = ()
    """Whose balances are wanted once it is done."""
    hold: Hold | None = None
    """
    The hold itself: a ledger that has no record of it charges its keys all the same. For calls that were let through while
    the ledger did not answer, and for a ledger file that was deleted meanwhile.
    """


class Reserve(Struct, frozen=True, gc=False):
    """
    A request to hold an amount if the limits allow it.
    """

    hold: Hold
    limits: Sequence[Limit]
    now: datetime


class Posted(Struct, frozen=True, gc=False):
    """
    What several calls came to, each list in their order.
    """

    settled: list[Settled]
    balances: dict[str, Balance]
    """As they were between the settles and the reserves."""
    decisions: list[Decision]
    allowed_until: datetime | None = None
    """The end of the temporary override that the reserves were judged by; None without one, or without reserves."""


class Ledger(Protocol):
    """
    Adds up what is held and charged, and keeps it. Synchronous, and safe to call from any thread.

    Every method may raise `LedgerUnavailable`, and then nothing was changed. Amounts are nano-USD, times are aware.
    """

    @property
    def clock_offset(self) -> timedelta:
        """
        How far the clock by which the ledger's windows begin and end is ahead of the clock of this machine.
        """

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        Settle several holds, then judge and hold several requests, in the order given and in one step that no other call
        can interrupt. One step for many calls is cheaper, because a ledger on a disk pays for each step.

        A settle replaces a hold by the real cost exactly once, however often it is called. A hold that expired or was
        released is settled too, because its bill only came late. A reserve judges every limit and charges every key of the
        hold; a key without a limit is only counted.

        Raises:
            ValueError: an amount is negative, the ID of a hold was used before or is twice among the reserves, or a limit is
                not among the keys of its hold. This is a bug in the caller. Nothing was changed.
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

    def allow(self, until: datetime | None, budget: str = "", who: str = "") -> None:
        """
        Let every request start until then, as if each had the override; None: no longer.

        Args:
            until: the end of that time.
            budget: only as far as this budget is concerned. Empty: every budget; None then ends what is about one, too.
            who: only for this one of those who share its name.
        """

    def allowed_until(self) -> datetime | None:
        """
        The end of the time that is about every budget, if one was ever set; it may be over.
        """

    def allowances(self) -> tuple[Allowance, ...]:
        """
        All such times, by budget and person; some may be over.
        """

    def set_limit(self, limit: PersonalLimit) -> None:
        """
        Keep somebody's own limit, in the place of an earlier one. It counts as set later than whatever is kept already.
        """

    def drop_limit(self, budget: str, who: str) -> bool:
        """
        Forget somebody's own limit. Whether there was one.
        """

    def limits(self) -> tuple[PersonalLimit, ...]:
        """
        The limits of those who have one of their own, by budget and person.
        """

    def set_budget(self, budget: Budget) -> None:
        """
        Keep a budget, in the place of the one of the same name; its personal limits are kept by `set_limit`. It counts as
        set when it says so, and in any case later than what is kept already.
        """

    def drop_budget(self, name: str) -> bool:
        """
        Forget a budget, and the limits of those who had one of their own under it; what was spent stays on record. Whether
        there was one.
        """

    def budgets(self) -> tuple[Budget, ...]:
        """
        The budgets kept, by name.
        """

    def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        The budgets and the limits, in one step: a proxy asks for each request.
        """

    def check(self) -> None:
        """
        Nothing, if the ledger can be written now.
        """

    def close(self) -> None:
        """
        Let go of files and connections. Harmless when repeated; any other call afterwards may be `LedgerUnavailable`.
        """


class Looked(Struct, frozen=True, gc=False):
    """
    What a ledger has at one moment.
    """

    balances: dict[str, Balance]
    """By key, of the keys that were asked for."""
    allowances: tuple[Allowance, ...]
    """As `Ledger.allowances` returns them."""


class TermsChanged(Exception):
    """
    The budgets or personal limits in the ledger are not those that `AsyncLedger.terms` returned. Nothing was changed: ask for
    them again, and repeat the call.
    """


class AsyncLedger(Protocol):
    """
    What a proxy asks of a ledger, awaited: a ledger over a network. Each call costs one round trip at most, once connected.

    One event loop uses it at a time, but not always the same one: a proxy asks before its loop begins, and after its end.
    Before a loop ends, it calls `disconnect`.
    """

    @property
    def clock_offset(self) -> timedelta:
        """
        How far the clock by which the ledger's windows begin and end is ahead of the clock of this machine.
        """

    async def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `Ledger.post`.

        Raises:
            TermsChanged: there are reserves, and other terms than `terms` returned.
        """

    async def look(self, keys: Sequence[str], now: datetime) -> Looked:
        """
        The balances of these keys, and the allowances. Nothing is changed.

        Raises:
            TermsChanged: the ledger has other terms than `terms` returned.
        """

    async def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `Ledger.terms`. They may be those of an earlier call: `post` and `look` find out.
        """

    async def check(self) -> None:
        """
        See `Ledger.check`.
        """

    async def disconnect(self) -> None:
        """
        Let go of what belongs to the running event loop. The next call connects again.
        """

    async def close(self) -> None:
        """
        See `Ledger.close`.
        """


def check_posted(settles: Sequence[Settle], reserves: Sequence[Reserve]) -> None:
    """
    What can be known to be wrong without the ledger.

    Raises:
        ValueError: an amount is none, a time has no zone, a limit is not among its hold's keys, an id is reserved twice,
            a bill has another one's hold.
    """
    for settle in settles:
        check_nusd(settle.nusd)
        aware(settle.now)
        if settle.hold is not None and settle.hold.id != settle.hold_id:
            raise ValueError(f"a bill of {settle.hold_id} has the hold {settle.hold.id}")
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


def is_allowed(allowed_until: datetime | None, now: datetime) -> bool:
    """
    Whether a temporary override is in force: at its end it no longer is.
    """
    return allowed_until is not None and now < allowed_until


def is_lifted(limit: Limit, allowances: Iterable[Allowance], now: datetime) -> bool:
    """
    Whether one of these lifts the limit. What lifts every limit is an override, see `decide`.
    """
    return any(one.lifts(limit, now) for one in allowances)


def reserve(ledger: Ledger, hold: Hold, limits: Sequence[Limit], now: datetime) -> Decision:
    """
    Judge one request and hold its amount: `Ledger.post` with one reserve.

    Args:
        ledger: the ledger.
        hold: what the request asks for.
        limits: the limits by which it is judged. The key of each is among the keys of the hold.
        now: the time, with a time zone.

    Raises:
        LedgerUnavailable: the ledger does not answer.
        ValueError: see `Ledger.post`.
    """
    return ledger.post((), (Reserve(hold, limits, now),)).decisions[0]


def settle(ledger: Ledger, hold_id: str, nusd: int, basis: Basis, now: datetime) -> Settled:
    """
    Replace one hold by its real cost: `Ledger.post` with one settle.

    Args:
        ledger: the ledger.
        hold_id: the ID of the hold.
        nusd: the cost in nano-USD.
        basis: the basis of the cost.
        now: the time, with a time zone.

    Raises:
        LedgerUnavailable: the ledger does not answer.
        ValueError: see `Ledger.post`.
    """
    return ledger.post((Settle(hold_id, nusd, basis, now),), ()).settled[0]
