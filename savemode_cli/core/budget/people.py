"""
How much the people who have an access token spent, and what is left for each.

Rule of this file: it reads a ledger and changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from savemode_cli.core.budget.admission import Balance, Standing
from savemode_cli.core.budget.budget import limit_of
from savemode_cli.core.budget.ledger import Ledger
from savemode_cli.core.budget.overview import InForce, Line, line_of

PERSONAL_SCOPES = ("token", "user")
"""The scopes in which a token is an identity."""


@dataclass(frozen=True, slots=True)
class Person:
    """
    Somebody with an access token.
    """

    name: str
    lines: tuple[Line, ...]
    """One for each budget that each person has, in its current window."""

    @property
    def refused(self) -> bool:
        """
        Whether a new request would be refused by one of these budgets.
        """
        return any(line.refusal is not None for line in self.lines)


def people(names: Iterable[str], budgets: Sequence[InForce], ledger: Ledger, now: datetime) -> tuple[Person, ...]:
    """
    What each person spent in the current windows, and what is left.

    Args:
        names: of those who have a token.
        budgets: the budgets in force. Those that are not for each person are left out.
        ledger: where the spend is counted.
        now: the time.
    """
    personal = [one for one in budgets if one.budget.scope in PERSONAL_SCOPES]
    balances = ledger.balances(now) if personal else {}
    allowances = ledger.allowances() if personal else ()
    found = []
    for name in names:
        limits = [(one, limit_of(one.budget, name, now)) for one in personal]
        lines = [
            line_of(one, Standing(limit, balances.get(limit.key, Balance())), allowances, now) for one, limit in limits
        ]
        found.append(Person(name, tuple(lines)))
    return tuple(found)
