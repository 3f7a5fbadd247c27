"""
Where a spend stands against a budget, on the two scales that describe it, and what a save mode would run.

Rule of this file: money is integer nano-USD, a fraction is a decimal, every comparison is between integers. In floats
101 pairs of whole cents below $200 fall one tier short.
"""

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Literal, assert_never

NUSD_PER_USD = 1_000_000_000
MOST_NUSD = 2**53 - 1
"""The largest amount there is, $9.0 million: up to here JSON, Lua and SQLite are exact too."""

Status = Literal["override", "unknown", "exceeded", "warn", "ok"]
"""The guard's scale; None stands for no budget."""
Fail = Literal["open", "closed"]
State = Literal["disabled", "ok", "warn", "engage", "blocked"]
"""The client's scale."""
Mode = Literal["off", "balanced", "max_save"]

GUARD_WARN_AT = Decimal("0.85")
WARN_AT = Decimal("0.70")
ENGAGE_AT = Decimal("0.85")

_NUSD_PER_CENT = 10_000_000
_AMOUNT = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,2})?", re.ASCII)
# Wide enough for every text that _AMOUNT lets through; the default context would round at 28 digits, in silence.
_EXACT = Context(prec=160)


def parse_usd(text: str | None) -> int | None:
    """
    A decimal amount of US dollars in nano-USD, exactly; the sign is kept, spaces around it are not.

    None where there is no amount to be exact about: no text, NaN, infinity, digits below a nano-dollar, more than
    `MOST_NUSD`, anything that is not a number.
    """
    if text is None or _AMOUNT.fullmatch(text.strip()) is None:
        return None
    scaled = Decimal(text.strip()).scaleb(9, _EXACT)
    if scaled != scaled.to_integral_value(context=_EXACT) or abs(scaled) > MOST_NUSD:
        return None
    return int(scaled)


def usd(nusd: int) -> str:
    """
    An amount as the headers write it: two decimals, rounded down, so that nobody is promised what is not there.

    Three spellings of an amount, and no fourth: this one in headers, `dollars` for people, `exact_usd` for machines.
    """
    cents = nusd // _NUSD_PER_CENT
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def exact_usd(nusd: int) -> str:
    """
    An amount for machines: US dollars with all nine decimals.
    """
    return f"{Decimal(nusd).scaleb(-9):f}"


def amounts(**nusd: int | None) -> dict[str, Any]:
    """
    Each amount twice, as machines want it: `NAME_nusd` an integer, `NAME_usd` the same as exact text.
    """
    pairs = ((name, value) for name, value in nusd.items())
    return {
        key: shown
        for name, value in pairs
        for key, shown in ((f"{name}_nusd", value), (f"{name}_usd", None if value is None else exact_usd(value)))
    }


def dollars(nusd: int) -> str:
    """
    An amount for people: `$20.00`, rounded down; below a dollar all the digits it has, or a small budget reads `$0.00`.
    """
    digits = abs(nusd) < NUSD_PER_USD and nusd % _NUSD_PER_CENT
    text = f"{Decimal(nusd).scaleb(-9).normalize():f}" if digits else usd(nusd)
    return f"-${text[1:]}" if text.startswith("-") else f"${text}"


def reaches(spend_nusd: int, budget_nusd: int, fraction: Decimal) -> bool:
    """
    Whether the spend is at least that fraction of the budget; exact for any finite fraction.
    """
    numerator, denominator = fraction.as_integer_ratio()
    return spend_nusd * denominator >= budget_nusd * numerator


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    The guard's answer. `status` None: no budget, and no headers at all. `remaining_nusd` None: no such header.
    """

    allow: bool
    status: Status | None
    remaining_nusd: int | None = None

    @property
    def remaining_usd(self) -> str | None:
        """
        As the header writes it: two decimals, rounded down.
        """
        return None if self.remaining_nusd is None else usd(self.remaining_nusd)


def guard(budget_nusd: int | None, spend_nusd: int | None, *, override: bool = False, fail: Fail = "open") -> Verdict:
    """
    May a request start? The first row of the table that fits decides.

    `budget_nusd` None: none is set, or it was not a number. `spend_nusd` None: the ledger failed, and `fail` decides.
    Source: PostHog/posthog#65690, with NaN as no budget and integers for floats.
    """
    if override:
        return Verdict(allow=True, status="override")
    if budget_nusd is None or budget_nusd <= 0:
        return Verdict(allow=True, status=None)
    if spend_nusd is None:
        return Verdict(allow=fail == "open", status="unknown")
    if spend_nusd >= budget_nusd:
        return Verdict(allow=False, status="exceeded", remaining_nusd=0)
    status: Status = "warn" if reaches(spend_nusd, budget_nusd, GUARD_WARN_AT) else "ok"
    return Verdict(allow=True, status=status, remaining_nusd=budget_nusd - spend_nusd)


@dataclass(frozen=True, slots=True)
class Advice:
    """
    What a client with Save Mode should do about a spend; nobody is stopped by it.
    """

    state: State
    recommended_mode: Mode

    @property
    def block(self) -> bool:
        """
        Whether the client should stop sending.
        """
        return self.state == "blocked"


def advise(
    budget_nusd: int | None, spend_nusd: int, warn_at: Decimal = WARN_AT, engage_at: Decimal = ENGAGE_AT
) -> Advice:
    """
    The client's state for a spend. Source: PostHog/code#2888.
    """
    if budget_nusd is None or budget_nusd <= 0:
        return Advice("disabled", "off")
    if spend_nusd >= budget_nusd:
        return Advice("blocked", "max_save")
    if reaches(spend_nusd, budget_nusd, engage_at):
        return Advice("engage", "max_save")
    if reaches(spend_nusd, budget_nusd, warn_at):
        return Advice("warn", "balanced")
    return Advice("ok", "off")


EFFORTS = ("low", "medium", "high", "xhigh", "max")
CHEAPER_MODEL = "claude-sonnet-4-6"
_DEAR_MODEL = re.compile(r"(?:^|[^a-z])(?:opus|fable|mythos)(?:[^a-z]|$)")


@dataclass(frozen=True, slots=True)
class Resolved:
    """
    The model and effort that a mode would run.
    """

    model: str
    effort: str | None
    active: bool


def resolve_mode(
    mode: Mode, model: str, effort: str | None, *, full_power: bool = False, cheaper: str = CHEAPER_MODEL
) -> Resolved:
    """
    What a save mode makes of a model and an effort: advice only, no request is changed by it.

    `full_power` is the person's "not this time". An effort that is absent or unknown stays, for nobody can say whether
    a cap would lower it. Source: PostHog/code#2888.
    """
    if full_power:
        return Resolved(model, effort, active=False)
    match mode:
        case "off":
            return Resolved(model, effort, active=False)
        case "balanced":
            return Resolved(model, _at_most(effort, "high"), active=True)
        case "max_save":
            dear = _DEAR_MODEL.search(model) is not None
            return Resolved(cheaper if dear else model, _at_most(effort, "medium"), active=True)
        case _:  # pragma: no cover - for the type checker
            assert_never(mode)


def _at_most(effort: str | None, cap: str) -> str | None:
    if effort not in EFFORTS:
        return effort
    return min(effort, cap, key=EFFORTS.index)
