"""
Amounts, shares and spans of time, as every screen about money writes them.

Rule of this file: rounded down, so that nothing reads as reached that is not, and nobody is promised what is not there.
"""

from datetime import datetime, timedelta
from typing import Any

from savemode_cli.core.budget import Budget
from savemode_cli.core.tiers import dollars, usd

STYLES = {
    "ok": "green",
    "warn": "yellow",
    "engage": "yellow",
    "exceeded": "red",
    "blocked": "red",
    "unknown": "yellow",
    "override": "yellow",
}
"""The colour of a state, on either scale."""

_CENT = 10_000_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def amount(nusd: int | None) -> str:
    """
    `$17.50`; below a cent all the digits, and `-` for none.
    """
    if nusd is None:
        return "-"
    return dollars(nusd) if abs(nusd) < _CENT else f"${usd(nusd)}"


def exact(nusd: int) -> str:
    """
    All the digits there are, at least two: `$13.999999999`, `$14.00`.
    """
    whole, rest = divmod(abs(nusd), 1_000_000_000)
    digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nusd < 0 else ''}${whole}.{digits}"


def percent(permille: int | None) -> str:
    """
    `87.5 %`, or `-` where there is nothing to compare with.
    """
    return "-" if permille is None else f"{permille // 10}.{permille % 10} %"


def span(length: timedelta) -> str:
    """
    A time span in its two largest units.
    """
    seconds = int(length.total_seconds())
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"


def stamp(moment: datetime) -> str:
    """
    A moment for machines.
    """
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def amounts(**nusd: int | None) -> dict[str, Any]:
    """
    Each amount twice, as machines want it: `NAME_nusd` an integer, `NAME_usd` a text with two decimals.
    """
    pairs = ((name, value) for name, value in nusd.items())
    return {
        key: shown
        for name, value in pairs
        for key, shown in ((f"{name}_nusd", value), (f"{name}_usd", None if value is None else usd(value)))
    }


def budget_json(budget: Budget) -> dict[str, Any]:
    """
    A budget as it was configured.
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
