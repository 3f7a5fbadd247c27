"""
Which budgets are in force and how they stand: what `savemode budget show` tells.

Rule of this file: it reads a ledger and changes nothing. What a limit says to a request is asked of `admission`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

from savemode_cli.core.admission import Balance, Hold, Reason, Refused, Standing, decide
from savemode_cli.core.budget import ALL, Budget, limit_of, parse_window
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.ledger import Ledger, OpenHold, is_allowed
from savemode_cli.core.tiers import MOST_NUSD, NUSD_PER_USD, amounts

Source = Literal["ledger", "configuration", "spend"]
"""`spend`: of the budget there is nothing but what was counted under its name."""


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
        return self.standing.left_nusd if self.standing.limit.capped else None

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

    A budget that each product, user, team or key has for itself has a line for each that was seen in this window. What
    was spent under a budget that is not among these (a proxy was given it, or none at all) has a line too.
    """
    until = ledger.allowed_until()
    allowed = is_allowed(until, now)
    balances = ledger.balances(now)
    lines = [
        Line(origin, standing, None if allowed else refusal_of(standing))
        for origin in budgets
        for standing in _standings(origin.budget, balances, now)
    ]
    listed = {line.standing.limit.key for line in lines}
    lines += [line for key in balances if key not in listed for line in _spend(key, balances[key], now)]
    return Overview(now, tuple(lines), ledger.holds(now), until if allowed else None)


def refusal_of(standing: Standing) -> Reason | None:
    """
    Why a request that asks for next to nothing would be refused by this limit; None if it may start.
    """
    decision = decide(Hold("next", (standing.limit.key,), 0, standing.limit.resets_at), [standing], override=False)
    return decision.reason if isinstance(decision, Refused) else None


def _spend(key: str, balance: Balance, now: datetime) -> Iterator[Line]:
    """
    The line of a key that no budget in force has, if it is of a window of now and anything was spent.
    """
    match = _KEY.fullmatch(key)
    if match is None or not balance.used_nusd:
        return
    name, kind, day, scope, who = match.groups(default="")
    try:
        first = date.fromisoformat(day).day
        window = parse_window(f"month:{first}" if kind == "month" else kind)
        budget = Budget(name, 0, window, scope=scope)
    except (ValueError, ConfigError):  # a key that no budget has
        return
    limit = limit_of(budget, who, now)
    if limit.key == key:
        yield Line(InForce(budget, "spend"), Standing(limit, balance), None)


_KEY = re.compile(r"([^/]+)/(month|week|day):(\d{4}-\d\d-\d\d)/([^=]+)(?:=(.*))?", re.ASCII | re.DOTALL)


def terms_json(budget: Budget) -> dict[str, Any]:
    """
    A budget as it was configured, for machines.
    """
    return {
        "name": budget.name,
        **amounts(limit=budget.limit_nusd),
        "window": str(budget.window),
        "zone": budget.zone,
        "scope": budget.scope,
        "strict": budget.strict,
        "warn_at": str(budget.warn_at),
        "engage_at": str(budget.engage_at),
    }


def standing_json(standing: Standing) -> dict[str, Any]:
    """
    A budget and where it stands, for machines.
    """
    limit, balance = standing.limit, standing.balance
    return {
        **terms_json(limit.budget),
        "who": limit.who,
        "key": limit.key,
        **amounts(spent=balance.spent_nusd, unsettled=balance.unsettled_nusd, held=balance.held_nusd),
        **amounts(remaining=standing.left_nusd if limit.capped else None),
        "used_permille": permille(balance.used_nusd, limit.nusd),
        "guard_status": standing.verdict.status,
        "client_state": standing.advice.state,
        "recommended_mode": standing.advice.recommended_mode,
        "resets_at": stamp(limit.resets_at),
    }


def stamp(moment: datetime) -> str:
    """
    A moment for machines.
    """
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


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
