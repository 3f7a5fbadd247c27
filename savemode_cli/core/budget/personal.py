"""
Exceptions from a budget: the limit of a single person, and a time during which a budget is lifted for everybody or for
one person.

Rule of this file: these are records that a ledger stores with its budgets. `admission` decides what they mean for a
request.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from savemode_cli.core.budget.budget import Budget, Limit, aware
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.money.amounts import MOST_NUSD

_LONGEST_WHO = 256


@dataclass(frozen=True, slots=True)
class PersonalLimit:
    """
    The limit of one person, team, product or key, instead of the budget's own limit.
    """

    budget: str
    who: str
    """The name as `identities` gives it: a person, a team, a product, or the fingerprint of a key."""
    limit_nusd: int
    """In nano-USD. 0 means that spend is counted and not limited."""
    set_at_us: int = 0
    """When it was set, in microseconds since 1970."""

    def __post_init__(self) -> None:
        """
        Raises ConfigError for a limit that no ledger could keep.
        """
        check_who(self.who)
        if not 0 <= self.limit_nusd <= MOST_NUSD:
            raise ConfigError(f"budget {self.budget}: the limit of {self.who} is not an amount that can be kept")


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    A time until which every request may start, whatever is spent: under every budget, under one budget, or for one
    person under one budget.
    """

    until: datetime
    budget: str = ""
    """The name of the budget; empty for all budgets."""
    who: str = ""
    """For whom it applies; empty for everybody."""

    def __post_init__(self) -> None:
        """
        Raises ValueError for a time without a zone, or a person of no budget: bugs in the caller.
        """
        aware(self.until)
        if self.who and not self.budget:
            raise ValueError("a person is one of a budget's")

    def is_over(self, now: datetime) -> bool:
        """
        Whether it has ended. At its end it no longer applies.
        """
        return self.until <= now

    def lifts(self, limit: Limit, now: datetime) -> bool:
        """
        Whether it lifts a limit at a time.
        """
        named = self.budget in ("", limit.budget.name) and self.who in ("", limit.who)
        return named and not self.is_over(now)


def check_who(who: str) -> str:
    """
    Check the name of a person, a team or a key, and return it.

    Raises:
        ConfigError: it is empty, too long, or cannot be printed on one line.
    """
    if not who or len(who) > _LONGEST_WHO or not who.isprintable():
        raise ConfigError(f"{who!r} cannot name a person", hint="the name that requests come with, like alice")
    return who


def with_limits(budget: Budget, own: Budget | None, limits: Iterable[PersonalLimit]) -> Budget:
    """
    A budget with the limits of single persons that apply under it.

    Args:
        budget: the budget in force.
        own: the configured budget of that name, whose personal limits come from the configuration; None if there is
            none.
        limits: the limits in the ledger, of any budget. One that was set later than the configuration replaces the
            configured one.
    """
    found = {} if own is None else dict(own.limits)
    since = 0 if own is None else own.set_at_us
    for one in limits:
        if one.budget == budget.name and (one.who not in found or one.set_at_us > since):
            found[one.who] = one.limit_nusd
    return replace(budget, limits=tuple(sorted(found.items())))
