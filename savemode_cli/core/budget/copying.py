"""
Copying what one ledger has to another one, and checking that both have the same.

Rule of this file: a copy may be repeated. Each charge and each hold keeps its id, so what the target has already is not
counted again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.ledger import Charge, Ledger, Reserve, Settle

T = TypeVar("T")

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Copied:
    """
    What a copy came to.
    """

    charges: int
    """How many charges the source has."""
    nusd: int
    """What they add up to, in nano-USD."""
    holds: int
    """How many open holds it has."""
    keys: int
    """How many balances it has."""
    budgets: int
    """How many budgets it has."""
    differences: tuple[str, ...]
    """What the target has otherwise, in a few words each; empty if both have the same."""


def strangers(source: Ledger, target: Ledger) -> int:
    """
    How many charges the target has that the source has not: a copy would add two ledgers up.
    """
    known = {charge.hold_id for charge in source.charges()}
    return sum(charge.hold_id not in known for charge in target.charges())


def copy_ledger(
    source: Ledger, target: Ledger, now: datetime, progress: Callable[[int, int], None] = lambda _done, _of: None
) -> Copied:
    """
    Copy the charges, the open holds, the budgets, the limits and the allowances, and compare what both have then.

    Args:
        source: the ledger to read. If it is written meanwhile, the comparison finds it.
        target: the ledger to write. Released holds are not copied: nothing counts under them.
        now: the time at which balances are compared.
        progress: told how many charges are copied, and of how many.

    Raises:
        LedgerUnavailable: one of them does not answer. The copy may be repeated.
    """
    charges = source.charges()
    for done, batch in _batches(charges):
        target.post([_settle(charge) for charge in batch], ())
        progress(done, len(charges))
    present = {one.hold.id for one in target.holds(now)} | {charge.hold_id for charge in target.charges()}
    missing = [one.hold for one in source.holds(now) if one.hold.id not in present]
    for _, holds in _batches(missing):
        target.post((), [Reserve(hold, (), now) for hold in holds])
    for budget in source.budgets():
        target.set_budget(budget)
    for limit in source.limits():
        target.set_limit(limit)
    for allowance in source.allowances():
        target.allow(allowance.until, allowance.budget, allowance.who)
    return _compared(source, target, now)


def _compared(source: Ledger, target: Ledger, now: datetime) -> Copied:
    charges, holds, balances, budgets = source.charges(), source.holds(now), source.balances(now), source.budgets()
    target_balances = target.balances(now)
    differences = [f"the balance of {key}" for key, one in balances.items() if target_balances.get(key) != one]
    differences += [f"the balance of {key}" for key in target_balances if key not in balances]
    pairs = (
        ("the charges", {one.hold_id: one for one in charges}, {one.hold_id: one for one in target.charges()}),
        ("the open holds", holds, target.holds(now)),
        ("the budgets", budgets, target.budgets()),
        ("the limits of persons", _limits(source), _limits(target)),
        ("the allowances", source.allowances(), target.allowances()),
    )
    differences += [what for what, here, there in pairs if here != there]
    total = sum(charge.nusd for charge in charges)
    return Copied(len(charges), total, len(holds), len(balances), len(budgets), tuple(differences))


def _limits(ledger: Ledger) -> dict[tuple[str, str], int]:
    # Each counts as set later than what was there, so the times differ.
    return {(one.budget, one.who): one.limit_nusd for one in ledger.limits()}


def _settle(charge: Charge) -> Settle:
    hold = Hold(charge.hold_id, charge.keys, 0, charge.settled_at, charge.model, charge.override)
    return Settle(charge.hold_id, charge.nusd, charge.basis, charge.settled_at, (), hold)


def _batches(items: Iterable[T]) -> Iterator[tuple[int, list[T]]]:
    """
    The items in parts, each with how many there are up to its end.
    """
    rest, done = iter(items), 0
    while batch := list(islice(rest, _AT_ONCE)):
        done += len(batch)
        yield done, batch
