"""
Amounts of money, shares and lengths of time, as every screen writes them.

Rule of this file: people read `dollars` everywhere, with four decimals. Exact amounts are in JSON.
"""

from datetime import timedelta

from savemode_cli.core.money.amounts import dollars

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

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def amount(nusd: int | None) -> str:
    """
    An amount for people, and `-` for none.
    """
    return "-" if nusd is None else dollars(nusd)


def signed(nusd: int) -> str:
    """
    A change with its sign: `+$0.0966`, `-$0.1572`.
    """
    return f"+{dollars(nusd)}" if nusd > 0 else dollars(nusd)


def saved(difference_nusd: int) -> str:
    """
    What an upgrade saved, or lost: `saved $0.1930`, `lost $0.0458`.

    Args:
        difference_nusd: what was paid beyond the cost without the upgrade, negative where it was less.
    """
    if not difference_nusd:
        return "saved nothing"
    return f"{'saved' if difference_nusd < 0 else 'lost'} {dollars(abs(difference_nusd))}"


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
