"""
Amounts, shares and spans of time, as every screen about money writes them.

Rule of this file: people read `dollars` everywhere, cents rounded down and below a dollar all the digits, so that the
same figure reads the same on every screen, and nobody is promised what is not there. Machines get the exact amount.
"""

from datetime import timedelta

from savemode_cli.core.tiers import dollars

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
