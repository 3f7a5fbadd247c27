"""
What must still be written to a ledger that does not answer, and the balances that include it.

Rule of this file: no bill is dropped without being counted. Bills are kept whole up to a limit, then as sums. What does
not fit into the sums either is counted as lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from msgspec.structs import replace

from savemode_cli.core.budget.admission import Balance, Hold
from savemode_cli.core.budget.charge import Basis
from savemode_cli.core.budget.ledger import Settle
from savemode_cli.core.money.amounts import MOST_NUSD

MOST_BILLS = 10_000
"""The number of bills that are kept whole, about 5 MB. Later ones are added up by their keys and basis."""
MOST_SUMS = 1_000
"""The number of sums of later bills. Callers may choose keys, so this number is limited too."""
MOST_KEYS = 10_000
"""The number of keys whose balance is known. For other keys only what is in the ledger will count."""

_SumOf = tuple[tuple[str, ...], Basis]


@dataclass(frozen=True, slots=True)
class KeptBill:
    """
    A bill that is not in the ledger.
    """

    settle: Settle
    calls: int = 1
    """The number of calls that it covers; more than one for a sum."""


@dataclass(frozen=True, slots=True)
class Batch:
    """
    A part of what is written to the ledger next, in one step: bills first, and after the last bill the open holds.
    """

    bills: tuple[KeptBill, ...] = ()
    holds: tuple[Hold, ...] = ()

    def __bool__(self) -> bool:
        """
        Whether it contains anything.
        """
        return bool(self.bills or self.holds)


@dataclass(slots=True)
class _Since:
    """
    What changed under a key since the ledger last answered.
    """

    settled_nusd: int = 0
    held_nusd: int = 0


@dataclass(slots=True)
class Unwritten:
    """
    The bills and holds that are not in the ledger, and what is known about its balances. Only one thread uses it.
    """

    most_bills: int = MOST_BILLS
    most_sums: int = MOST_SUMS
    most_keys: int = MOST_KEYS
    calls: int = 0
    """The number of calls whose bills are kept, including those in sums."""
    nusd: int = 0
    """What these calls cost, in nano-USD."""
    lost: int = 0
    """The number of calls whose bills did not fit."""
    lost_nusd: int = 0
    """What those calls cost, in nano-USD."""
    _known: dict[str, Balance] = field(default_factory=dict)
    _since: dict[str, _Since] = field(default_factory=dict)
    _holds: dict[str, Hold] = field(default_factory=dict)
    _bills: dict[str, KeptBill] = field(default_factory=dict)
    _sums: dict[_SumOf, KeptBill] = field(default_factory=dict)

    def __len__(self) -> int:
        """
        How many steps of the ledger they would need if each bill, sum and hold took one.
        """
        return len(self._bills) + len(self._sums) + len(self._holds)

    def learn(self, balances: Iterable[tuple[str, Balance]]) -> None:
        """
        Remember what the ledger answered, in the order of its answers.
        """
        for key, balance in balances:
            if key in self._known or len(self._known) < self.most_keys:
                self._known[key] = balance

    def balance(self, key: str) -> Balance:
        """
        The last balance that the ledger gave, plus what came since. What other processes spent since is unknown.
        """
        known, since = self._known.get(key, Balance()), self._since.get(key)
        if since is None:
            return known
        settled, held = known.settled_nusd + since.settled_nusd, known.held_nusd + since.held_nusd
        # A hold that ran out is under `unsettled` in what the ledger said.
        return Balance(settled, max(0, known.unsettled_nusd + min(0, held)), max(0, held))

    def hold(self, hold: Hold) -> None:
        """
        Count the amount of a call for which the ledger has no hold.
        """
        if hold.id not in self._holds:
            self._holds[hold.id] = hold
            self._count(hold, held_nusd=hold.ask_nusd)

    def keep(self, settle: Settle) -> None:
        """
        Keep a bill whose hold is in the ledger or here.

        Args:
            settle: the bill, with its hold.
        """
        hold = settle.hold
        assert hold is not None  # noqa: S101 - the proxy always has it
        if settle.hold_id in self._bills:
            return
        self._holds.pop(hold.id, None)
        self._count(hold, settled_nusd=settle.nusd, held_nusd=-hold.ask_nusd)
        if len(self._bills) < self.most_bills:
            self._bills[settle.hold_id] = KeptBill(settle)
        elif not self._add_up(settle, hold):
            self.lost += 1
            self.lost_nusd += settle.nusd
            return
        self.calls += 1
        self.nusd += settle.nusd

    def next_batch(self, most: int) -> Batch:
        """
        What to write to the ledger next; empty if everything is written. Nothing is forgotten before `written`.
        """
        if not self._bills:
            # From now on these sums stand as they are; the ledger may have them although it did not say so.
            self._bills = {one.settle.hold_id: one for one in self._sums.values()}
            self._sums = {}
        bills = tuple(islice(self._bills.values(), most))
        room = most - len(bills) if len(bills) == len(self._bills) and not self._sums else 0
        return Batch(bills, tuple(islice(self._holds.values(), room)))

    def written(self, batch: Batch) -> None:
        """
        Forget what was written to the ledger.
        """
        for bill in batch.bills:
            if self._bills.pop(bill.settle.hold_id, None) is not None:
                self.calls -= bill.calls
                self.nusd -= bill.settle.nusd
        for hold in batch.holds:
            self._holds.pop(hold.id, None)

    def forget_lost(self) -> tuple[int, int]:
        """
        How many bills did not fit, and what they cost. From now on there are none.
        """
        told = self.lost, self.lost_nusd
        self.lost = self.lost_nusd = 0
        return told

    def end(self) -> None:
        """
        Record that the ledger has everything: its balances include what came since.
        """
        self._known |= {key: self.balance(key) for key in self._since}
        self._since = {}

    def _count(self, hold: Hold, *, settled_nusd: int = 0, held_nusd: int = 0) -> None:
        for key in hold.keys:
            since = self._since.get(key)
            if since is None:
                if len(self._since) >= self.most_keys:
                    continue
                since = self._since[key] = _Since()
            since.settled_nusd += settled_nusd
            since.held_nusd += held_nusd

    def _add_up(self, settle: Settle, hold: Hold) -> bool:
        """
        Add a bill to the sum of its keys and basis; False if there is no room.

        The ledger enters a sum like the bill of one call. Its ID comes from its first bill, so it is used once.
        """
        place = hold.keys, settle.basis
        kept = self._sums.get(place)
        if kept is not None and kept.settle.nusd + settle.nusd <= MOST_NUSD:
            total = replace(kept.settle, nusd=kept.settle.nusd + settle.nusd, now=settle.now)
            self._sums[place] = KeptBill(total, kept.calls + 1)
            return True
        if kept is not None:
            self._bills[kept.settle.hold_id] = kept  # as much as a charge may be
        elif len(self._sums) >= self.most_sums:
            return False
        name = f"{settle.hold_id}_and_later"
        whole = replace(hold, id=name, ask_nusd=0, model="", override=False)
        self._sums[place] = KeptBill(replace(settle, hold_id=name, hold=whole))
        return True
