"""
The two scales that compare a spend with a budget, and what a save mode would run.

Rule of this file: money is integer nano-USD, a fraction is a decimal, and every comparison is between integers. With
floats, 101 pairs of whole cents below $200 would fall one threshold too low.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple, assert_never

from savemode_cli.core.budget.choices import Fail
from savemode_cli.core.money.amounts import usd

Status = Literal["override", "unknown", "exceeded", "warn", "ok"]
"""The guard's scale; None means that there is no budget."""
State = Literal["disabled", "ok", "warn", "engage", "blocked"]
"""The client's scale."""
Mode = Literal["off", "balanced", "max_save"]

GUARD_WARN_AT = Decimal("0.85")
WARN_AT = Decimal("0.70")
ENGAGE_AT = Decimal("0.85")
_MOST_FRACTIONS = 64


def reaches(spend_nusd: int, budget_nusd: int, fraction: Decimal) -> bool:
    """
    Whether the spend is at least this fraction of the budget. It is exact for any finite fraction.
    """
    numerator, denominator = _ratio(fraction)
    return spend_nusd * denominator >= budget_nusd * numerator


_ratio = lru_cache(_MOST_FRACTIONS)(Decimal.as_integer_ratio)


class Verdict(NamedTuple):
    """
    The guard's decision.
    """

    allow: bool
    status: Status | None
    """None if there is no budget; then the answer has no budget headers."""
    remaining_nusd: int | None = None
    """None if the answer has no such header."""

    @property
    def remaining_usd(self) -> str | None:
        """
        The amount in the header: two decimals, rounded down.
        """
        return None if self.remaining_nusd is None else usd(self.remaining_nusd)


def guard(budget_nusd: int | None, spend_nusd: int | None, *, override: bool = False, fail: Fail = "open") -> Verdict:
    """
    Decide whether a request may start. The first rule of the table that fits decides.

    Source: PostHog/posthog#65690, with NaN as no budget and integers for floats.

    Args:
        budget_nusd: the limit; None if none is set, or if it was not a number.
        spend_nusd: what is spent; None if the ledger failed, so that `fail` decides.
        override: whether the request may start in any case.
        fail: what to do if the spend is unknown.
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


class Advice(NamedTuple):
    """
    What a client with Save Mode should do at a spend. It stops nobody.
    """

    state: State
    recommended_mode: Mode

    @property
    def block(self) -> bool:
        """
        Whether the client should stop sending requests.
        """
        return self.state == "blocked"


def advise(
    budget_nusd: int | None, spend_nusd: int, warn_at: Decimal = WARN_AT, engage_at: Decimal = ENGAGE_AT
) -> Advice:
    """
    The client's state at a spend. Source: PostHog/code#2888.
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


@dataclass(frozen=True, slots=True)
class Resolved:
    """
    The model and the effort that a mode would run.
    """

    model: str
    effort: str | None
    active: bool


def resolve_mode(mode: Mode, model: str, effort: str | None, *, cheaper: str | None = None) -> Resolved:
    """
    What a save mode makes of a model and an effort. This is advice only; it changes no request.

    An effort that is missing or unknown stays as it is, because it is not known whether a maximum would lower it.
    Source: PostHog/code#2888.

    Args:
        mode: the mode.
        model: the model that the client requests.
        effort: the effort that the client requests.
        cheaper: what `max_save` runs instead of the model; None if nothing is cheaper. See `cheaper.max_save`.
    """
    match mode:
        case "off":
            return Resolved(model, effort, active=False)
        case "balanced":
            return Resolved(model, _at_most(effort, "high"), active=True)
        case "max_save":
            return Resolved(cheaper or model, _at_most(effort, "medium"), active=True)
        case _:  # pragma: no cover - for the type checker
            assert_never(mode)


def _at_most(effort: str | None, cap: str) -> str | None:
    if effort not in EFFORTS:
        return effort
    return min(effort, cap, key=EFFORTS.index)
