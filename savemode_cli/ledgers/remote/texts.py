"""
Times, keys and terms as a server keeps them.

Rule of this file: amounts and times are whole numbers, in nano-USD and in microseconds since 1970; they are written as decimal
digits and read by `int`.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from savemode_cli.core.budget.budget import Budget, aware
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.budget.window import parse_window, span_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """
    A moment in microseconds since 1970.

    Raises:
        ValueError: it has no time zone.
    """
    return (aware(moment) - _EPOCH) // _US


def moment(us: int | str) -> datetime:
    """
    The moment of these microseconds since 1970.
    """
    return _EPOCH + int(us) * _US


def lettered(key: str) -> str:
    """
    A budget key with the letter of its kind: `r` for a rolling window, `n` for any other.
    """
    return f"{'n' if span_of(key) is None else 'r'}{key}"


def left_until(key: str, now: datetime) -> str:
    """
    Until when charges have left the rolling window of a key, in microseconds; empty for a key without one.
    """
    span = span_of(key)
    return "" if span is None else str(microseconds(now) - span // _US)


def bucket(hold_id: str) -> str:
    """
    In which of 65,536 places the id of a charge is kept.
    """
    return hashlib.sha256(hold_id.encode("utf-8", "surrogatepass")).hexdigest()[:4]


@dataclass(frozen=True, slots=True)
class Terms:
    """
    The budgets, personal limits and allowances of a ledger at one moment.
    """

    version: str
    """The version changes with every change of the terms; it is empty before the first one."""
    budgets: tuple[Budget, ...] = ()
    limits: tuple[PersonalLimit, ...] = ()
    allowances: tuple[Allowance, ...] = ()

    @property
    def allowed_until(self) -> datetime | None:
        """
        Until when every budget is lifted.
        """
        return next((one.until for one in self.allowances if not one.budget), None)

    @property
    def content(self) -> tuple[object, ...]:
        """
        What is in them, for a comparison: two budgets are equal whenever they were set.
        """
        return tuple(map(budget_text, self.budgets)), self.limits, self.allowances

    def set_at(self, given_us: int) -> int:
        """
        When something counts as set that is set now: later than whatever is kept.
        """
        kept = [one.set_at_us for one in self.budgets] + [one.set_at_us for one in self.limits]
        return max(given_us, max(kept, default=0) + 1)


def ordered(version: str, budgets: list[Budget], limits: list[PersonalLimit], allowances: list[Allowance]) -> Terms:
    """
    Terms in the order in which a ledger returns them.
    """
    return Terms(
        version,
        tuple(sorted(budgets, key=lambda one: one.name)),
        tuple(sorted(limits, key=lambda one: (one.budget, one.who))),
        tuple(sorted(allowances, key=lambda one: (one.budget, one.who))),
    )


def budget_text(budget: Budget) -> str:
    """
    A budget as JSON. Its personal limits and its source are not part of it.
    """
    fields = {
        "name": budget.name,
        "limit_nusd": budget.limit_nusd,
        "window": str(budget.window),
        "zone": budget.zone,
        "scope": budget.scope,
        "strict": budget.strict,
        "warn_at": str(budget.warn_at),
        "engage_at": str(budget.engage_at),
        "allow_override": budget.allow_override,
        "refusal_hint": budget.refusal_hint,
        "unknown": budget.unknown,
        "action": budget.action,
        "set_at_us": budget.set_at_us,
    }
    return json.dumps(fields, separators=(",", ":"))


def budget_of(text: str) -> Budget:
    """
    The budget of `budget_text`.
    """
    fields: dict[str, Any] = json.loads(text)
    fields |= {name: Decimal(fields[name]) for name in ("warn_at", "engage_at")}
    return Budget(**fields | {"window": parse_window(fields["window"])})


def kept_budget(budget: Budget, set_at_us: int) -> Budget:
    """
    A budget as a ledger keeps it.
    """
    return replace(budget, limits=(), source="", set_at_us=set_at_us)
