"""
Which budgets are in force and how they stand: what `savemode budget show` tells.

Rule of this file: it reads a ledger and changes nothing. What a limit says to a request is asked of `admission`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from savemode_cli.core.admission import Balance, Hold, Reason, Refused, Standing, decide
from savemode_cli.core.budget import ALL, Budget, limit_of
from savemode_cli.core.ledger import Ledger, OpenHold, is_allowed
from savemode_cli.core.tiers import MOST_NUSD, NUSD_PER_USD

Source = Literal["ledger", "configuration"]


@dataclass(frozen=True, slots=True)
class InForce:
    """
    A budget that counts, and where it is from. `hidden`: what the configuration says under the same name.
    """

    budget: Budget
    source: Source
    hidden: Budget | None = None


def in_force(configured: Iterable[Budget], stored: Iterable[Budget]) -> tuple[InForce, ...]:
    """
    The budgets that count: those configured in their order, then those that only the ledger has, by name.

    The ledger's wins over a configured one of the same name, or `savemode budget set`, which a refusal recommends,
    would raise nothing.
    """
    kept = {one.name: one for one in stored}
    own = [
        InForce(kept.pop(one.name), "ledger", one) if one.name in kept else InForce(one, "configuration")
        for one in configured
    ]
    return (*own, *(InForce(kept[name], "ledger") for name in sorted(kept)))


@dataclass(frozen=True, slots=True)
class Line:
    """
    How one budget stands for one of those it applies to, in the window of now. `refusal`: why a new request would be
    refused, however little it asks for; None if it may start.
    """

    origin: InForce
    standing: Standing
    refusal: Reason | None

    @property
    def remaining_nusd(self) -> int | None:
        """
        What a new request can still have; None where nothing is capped.
        """
        limit = self.standing.limit
        return max(0, limit.nusd - self.standing.balance.used_nusd) if limit.capped else None

    @property
    def over_nusd(self) -> int:
        """
        By how much the cap is crossed.
        """
        limit = self.standing.limit
        return max(0, self.standing.balance.used_nusd - limit.nusd) if limit.capped else 0

    @property
    def next_limit_nusd(self) -> int:
        """
        A limit to raise it to: half again what is used, up to the next dollar (below a dollar, the next cent).
        """
        wanted = max(self.standing.balance.used_nusd, self.standing.limit.nusd) * 3 // 2
        step = NUSD_PER_USD if wanted >= NUSD_PER_USD else NUSD_PER_USD // 100
        return min(-(-wanted // step) * step, MOST_NUSD)

    @property
    def used_permille(self) -> int | None:
        """
        See `permille`.
        """
        return permille(self.standing.balance.used_nusd, self.standing.limit.nusd)


@dataclass(frozen=True, slots=True)
class Overview:
    """
    All budgets, the holds, and the time until which every request may start (None: no such time).
    """

    at: datetime
    lines: tuple[Line, ...]
    holds: tuple[OpenHold, ...]
    allowed_until: datetime | None

    @property
    def running(self) -> tuple[OpenHold, ...]:
        """
        The holds of requests under way.
        """
        return tuple(one for one in self.holds if not one.unsettled)

    @property
    def unsettled(self) -> tuple[OpenHold, ...]:
        """
        The holds that ran out; they count as spent.
        """
        return tuple(one for one in self.holds if one.unsettled)

    @property
    def refuses(self) -> bool:
        """
        Whether a new request would be refused, by any line.
        """
        return any(line.refusal is not None for line in self.lines)


def overview(budgets: Iterable[InForce], ledger: Ledger, now: datetime) -> Overview:
    """
    How everything stands at `now`.

    A budget that each product, user, team or key has for itself has a line for each that was seen in this window.
    """
    until = ledger.allowed_until()
    allowed = is_allowed(until, now)
    balances = ledger.balances(now)
    lines = tuple(
        Line(origin, standing, None if allowed else refusal_of(standing))
        for origin in budgets
        for standing in _standings(origin.budget, balances, now)
    )
    return Overview(now, lines, ledger.holds(now), until if allowed else None)


def refusal_of(standing: Standing) -> Reason | None:
    """
    Why a request that asks for next to nothing would be refused by this limit; None if it may start.
    """
    decision = decide(Hold("next", (standing.limit.key,), 0, standing.limit.resets_at), [standing], override=False)
    return decision.reason if isinstance(decision, Refused) else None


def _standings(budget: Budget, balances: Mapping[str, Balance], now: datetime) -> list[Standing]:
    nobody = limit_of(budget, "", now)
    if budget.scope == ALL:
        return [Standing(nobody, balances.get(nobody.key, Balance()))]
    seen = [
        Standing(replace(nobody, who=key.removeprefix(nobody.key), key=key), balance)
        for key, balance in balances.items()
        if key.startswith(nobody.key)
    ]
    return sorted(seen, key=_most_used) or [Standing(nobody, Balance())]


def _most_used(standing: Standing) -> tuple[int, str]:
    return -standing.balance.used_nusd, standing.limit.who


def permille(nusd: int, limit_nusd: int) -> int | None:
    """
    A spend in thousandths of a limit, rounded down, so that a tier not reached never reads as reached; None without
    a limit.
    """
    return nusd * 1000 // limit_nusd if limit_nusd > 0 else None
