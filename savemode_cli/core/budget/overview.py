"""
Which budgets are in force and how much is left of each, for `savemode budget show`.

Rule of this file: it reads a ledger and changes nothing. `admission` decides what a limit means for a request.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from savemode_cli.core.budget.admission import Balance, Hold, Reason, Refused, Standing, decide
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import Ledger, OpenHold, is_lifted
from savemode_cli.core.budget.personal import Allowance, PersonalLimit, with_limits
from savemode_cli.core.budget.scopes import ALL
from savemode_cli.core.budget.window import NEVER, parse_window
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.money.amounts import MOST_NUSD, NUSD_PER_USD, amounts

Source = Literal["ledger", "configuration", "spend"]
"""Where a budget comes from. `spend`: there is no budget of this name, only spend that was counted under it."""


@dataclass(frozen=True, slots=True)
class InForce:
    """
    A budget that is in force, and its source.
    """

    budget: Budget
    source: Source
    hidden: Budget | None = None
    """The earlier budget of the same name from the other source."""
    proxies: tuple[str, ...] = ()
    """The addresses of the running proxies that report it; none if no proxy was asked."""


def in_force(
    configured: Iterable[Budget], stored: Iterable[Budget], limits: Sequence[PersonalLimit] = ()
) -> tuple[InForce, ...]:
    """
    The budgets that are in force: the configured ones in their order, then those that only the ledger has, by name.

    If a configured budget and a stored one have the same name, the one that was set later counts. So `savemode budget
    set` changes a limit that is in a file or that a running proxy was given. A flag of a proxy that starts later, or a
    file that is changed later, counts again.

    Args:
        configured: the budgets of the configuration.
        stored: the budgets in the ledger.
        limits: the limits of single persons in the ledger.
    """
    kept = {one.name: one for one in stored}
    own = [(_later(one, kept.pop(one.name, None)), one) for one in configured]
    others = [(InForce(kept[name], "ledger"), None) for name in sorted(kept)]
    return tuple(
        replace(one, budget=with_limits(one.budget, given, limits)) if one.budget.scope != ALL else one
        for one, given in (*own, *others)
    )


def _later(configured: Budget, stored: Budget | None) -> InForce:
    if stored is not None and stored.set_at_us > configured.set_at_us:
        return InForce(stored, "ledger", configured)
    return InForce(configured, "configuration", stored)


@dataclass(frozen=True, slots=True)
class Line:
    """
    How much is left of one budget for one of those that it applies to, in the current window.
    """

    origin: InForce
    standing: Standing
    refusal: Reason | None
    """Why a new request would be refused, however little it costs; None if it may start."""

    @property
    def remaining_nusd(self) -> int | None:
        """
        What a new request can use, in nano-USD; None if there is no limit.
        """
        return self.standing.left_nusd if self.standing.limit.capped else None

    @property
    def over_nusd(self) -> int:
        """
        By how much the limit is crossed, in nano-USD.
        """
        limit = self.standing.limit
        return max(0, self.standing.balance.used_nusd - limit.nusd) if limit.capped else 0

    @property
    def next_limit_nusd(self) -> int:
        """
        A limit that `budget set` could raise it to: one and a half times what is used, rounded up to the next dollar
        (below a dollar, to the next cent).
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
    All budgets, the holds, and the limits that are lifted for some time.
    """

    at: datetime
    lines: tuple[Line, ...]
    holds: tuple[OpenHold, ...]
    allowances: tuple[Allowance, ...] = ()
    """The limits that are lifted now."""
    asked: "Asked | None" = None
    """What the running proxies answered; None if none was asked."""

    @property
    def allowed_until(self) -> datetime | None:
        """
        Until when every request may start; None if not every request may.
        """
        return next((one.until for one in self.allowances if not one.budget), None)

    @property
    def running(self) -> tuple[OpenHold, ...]:
        """
        The holds of requests that are running.
        """
        return tuple(one for one in self.holds if not one.unsettled)

    @property
    def unsettled(self) -> tuple[OpenHold, ...]:
        """
        The holds that have expired. They count as spent.
        """
        return tuple(one for one in self.holds if one.unsettled)

    @property
    def refuses(self) -> bool:
        """
        Whether a new request would be refused because of any line.
        """
        return any(line.refusal is not None for line in self.lines)


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The proxies that use a ledger, and the budgets that are in force in them.
    """

    proxies: tuple[str, ...] = ()
    """The addresses of the proxies that answered."""
    silent: tuple[str, ...] = ()
    """The addresses of the proxies that did not answer, or that require an access token."""
    origins: tuple[InForce, ...] = ()
    """The budgets in force in the proxies that answered."""
    next: tuple[InForce, ...] = ()
    """The budgets that would be in force in a proxy that starts now."""

    @property
    def in_force(self) -> tuple[InForce, ...]:
        """
        The budgets in force in the running proxies; without one, those of the next proxy.
        """
        return self.origins if self.proxies else self.next

    @property
    def differing(self) -> tuple[InForce, ...]:
        """
        The budgets that would be in force in the next proxy and are not in force in any running one.
        """
        running = {one.budget for one in self.origins}
        return tuple(one for one in self.next if self.proxies and one.budget not in running)


def overview(budgets: Iterable[InForce], ledger: Ledger, now: datetime, asked: Asked | None = None) -> Overview:
    """
    How much is left of each budget at a time.

    A budget that applies to each product, user, team or key separately has a line for each that was seen in this
    window. Spend that was counted under another budget, which a proxy was given or which does not exist, has a line
    too.
    """
    allowances = tuple(one for one in ledger.allowances() if not one.is_over(now))
    balances = ledger.balances(now)
    lines = [
        line_of(origin, standing, allowances, now)
        for origin in budgets
        for standing in _standings(origin.budget, balances, now)
    ]
    listed = {line.standing.limit.key for line in lines}
    lines += [line for key in balances if key not in listed for line in _spend(key, balances[key], now)]
    return Overview(now, tuple(lines), ledger.holds(now), allowances, asked)


def line_of(origin: InForce, standing: Standing, allowances: Iterable[Allowance], now: datetime) -> Line:
    """
    The line of a standing.
    """
    return Line(origin, standing, None if is_lifted(standing.limit, allowances, now) else refusal_of(standing))


def refusal_of(standing: Standing) -> Reason | None:
    """
    Why a request that costs almost nothing would be refused by this limit; None if it may start.
    """
    decision = decide(Hold("next", (standing.limit.key,), 0, standing.limit.resets_at), [standing], override=False)
    return decision.reason if isinstance(decision, Refused) else None


def _spend(key: str, balance: Balance, now: datetime) -> Iterator[Line]:
    """
    The line of a key that belongs to no budget in force; None if it is of an earlier window, or nothing was spent.
    """
    match = _KEY.fullmatch(key)
    if match is None or not balance.used_nusd:
        return
    name, window_text, day, scope, who = match.groups(default="")
    try:
        if day:
            first = date.fromisoformat(day).day
            window_text = f"month:{first}" if window_text == "month" else window_text
        window = parse_window(window_text.removeprefix("rolling:"))
        budget = Budget(name, 0, window, scope=scope)
    except (ValueError, ConfigError):  # a key that no budget has
        return
    limit = limit_of(budget, who, now)
    if limit.key == key:
        yield Line(InForce(budget, "spend"), Standing(limit, balance), None)


_KEY = re.compile(
    r"([^/]+)/(none|rolling:\d+h|(?:month|week|day)(?=:))(?::(\d{4}-\d\d-\d\d))?/([^=]+)(?:=(.*))?",
    re.ASCII | re.DOTALL,
)


def origin_json(one: InForce) -> dict[str, Any]:
    """
    A budget in force and its source, for machines. `read_origin` reads it.
    """
    hidden = None if one.hidden is None else terms_json(one.hidden)
    return {**terms_json(one.budget), "source": one.source, "hidden": hidden}


def read_origin(value: Any, proxy: str) -> InForce:
    """
    Read what a running proxy reports about one of its budgets.

    Raises:
        ValueError: the value has another form.
    """
    try:
        hidden = value.get("hidden")
        source: Source = "ledger" if value["source"] == "ledger" else "configuration"
        return InForce(_read_terms(value), source, None if hidden is None else _read_terms(hidden), (proxy,))
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError, ConfigError) as error:
        raise ValueError("not a budget") from error


def _read_terms(value: Mapping[str, Any]) -> Budget:
    return Budget(
        str(value["name"]),
        int(value["limit_nusd"]),
        parse_window(str(value["window"])),
        str(value["zone"]),
        str(value["scope"]),
        bool(value["strict"]),
        Decimal(str(value["warn_at"])),
        Decimal(str(value["engage_at"])),
        bool(value["allow_override"]),
        str(value["refusal_hint"]),
        "refuse" if value["unknown"] == "refuse" else "share",
        # A proxy older than this option does not send it.
        "warn" if value.get("action") == "warn" else "refuse",
        tuple((str(one["who"]), int(one["limit_nusd"])) for one in value["limits"]),
        set_at_us=int(value["set_at_us"]),
        source=str(value["set_in"]),
    )


def merged(origins: Iterable[InForce]) -> tuple[InForce, ...]:
    """
    The budgets of several proxies. Equal budgets become one.
    """
    found: dict[tuple[object, ...], InForce] = {}
    for one in origins:
        key = (one.budget, one.source, one.budget.source, one.hidden)
        before = found.get(key)
        found[key] = one if before is None else replace(before, proxies=(*before.proxies, *one.proxies))
    return tuple(found.values())


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
        "allow_override": budget.allow_override,
        "refusal_hint": budget.refusal_hint,
        "unknown": budget.unknown,
        "action": budget.action,
        "limits": [{"who": who, **amounts(limit=nusd)} for who, nusd in budget.limits],
        "set_at_us": budget.set_at_us,
        "set_in": budget.source,
    }


def standing_json(standing: Standing) -> dict[str, Any]:
    """
    A budget and what is left of it, for machines.
    """
    limit, balance = standing.limit, standing.balance
    return {
        **terms_json(limit.budget),
        **amounts(limit=limit.nusd),
        "who": limit.who,
        "key": limit.key,
        **amounts(spent=balance.spent_nusd, unsettled=balance.unsettled_nusd, held=balance.held_nusd),
        **amounts(remaining=standing.left_nusd if limit.capped else None),
        "used_permille": permille(balance.used_nusd, limit.nusd),
        "guard_status": standing.verdict.status,
        "client_state": standing.advice.state,
        "recommended_mode": standing.advice.recommended_mode,
        "resets_at": None if limit.resets_at == NEVER else stamp(standing.resets_at),
    }


def stamp(moment: datetime) -> str:
    """
    A time for machines.
    """
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _standings(budget: Budget, balances: Mapping[str, Balance], now: datetime) -> list[Standing]:
    nobody = limit_of(budget, "", now)
    if budget.scope == ALL:
        return [Standing(nobody, balances.get(nobody.key, Balance()))]
    seen = [
        Standing(limit_of(budget, key.removeprefix(nobody.key), now), balance)
        for key, balance in balances.items()
        if key.startswith(nobody.key)
    ]
    known = {one.limit.who for one in seen}
    seen += [Standing(limit_of(budget, who, now), Balance()) for who, _ in budget.limits if who not in known]
    return sorted(seen, key=_most_used) or [Standing(nobody, Balance())]


def _most_used(standing: Standing) -> tuple[int, str]:
    return -standing.balance.used_nusd, standing.limit.who


def permille(nusd: int, limit_nusd: int) -> int | None:
    """
    A spend in thousandths of a limit, rounded down, so that a threshold never appears to be reached before it is. None
    without a limit.
    """
    return nusd * 1000 // limit_nusd if limit_nusd > 0 else None
