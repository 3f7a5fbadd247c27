"""
Amounts of money as text and as nano-USD integers.

Rule of this file: money is parsed and printed here and nowhere else.
"""

import re
from decimal import Context, Decimal
from typing import Any

NUSD_PER_USD = 1_000_000_000
MOST_NUSD = 2**53 - 1
"""
The largest amount that savemode accepts, $9.0 million. JSON, Lua and SQLite represent integers up to here exactly.
"""

_NUSD_PER_CENT = 10_000_000
_DECIMALS = 4
"""The decimals of an amount for people."""
_EXACT_DECIMALS = 9
"""The decimals of a nano-dollar."""
_AMOUNT = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,2})?", re.ASCII)
# Wide enough for every text that _AMOUNT lets through; the default context would round at 28 digits, in silence.
_EXACT = Context(prec=160)


def parse_usd(text: str | None) -> int | None:
    """
    Parse a decimal amount of US dollars. The sign is kept, and spaces around the amount are ignored.

    Returns:
        The exact amount in nano-USD. None if the text is not a number, is NaN or infinity, has digits below a
        nano-dollar, or exceeds `MOST_NUSD`.
    """
    if text is None or _AMOUNT.fullmatch(text.strip()) is None:
        return None
    scaled = Decimal(text.strip()).scaleb(9, _EXACT)
    if scaled != scaled.to_integral_value(context=_EXACT) or abs(scaled) > MOST_NUSD:
        return None
    return int(scaled)


def usd(nusd: int) -> str:
    """
    An amount as headers and commands write it: two decimals, rounded down, so that it never promises more than there
    is.

    There are two other forms of an amount: `dollars` is for people, and `exact_usd` is for JSON.
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
    Each amount twice, for machines: `NAME_nusd` is an integer, and `NAME_usd` is the same amount as exact text.
    """
    pairs = ((name, value) for name, value in nusd.items())
    return {
        key: shown
        for name, value in pairs
        for key, shown in ((f"{name}_nusd", value), (f"{name}_usd", None if value is None else exact_usd(value)))
    }


def dollars(nusd: int) -> str:
    """
    An amount for people: `$1,234.5600`.

    An amount has always four decimals, so that amounts in a column line up at the point. It is rounded toward zero, so
    that it never promises more than there is. An amount that is too small for four decimals is `<$0.0001`, never zero.

    Args:
        nusd: the amount in nano-USD.
    """
    if 0 < abs(nusd) < 10 ** (_EXACT_DECIMALS - _DECIMALS):
        return f"{'-' if nusd < 0 else ''}<$0.0001"
    return _with_decimals(nusd, _DECIMALS)


def dollars_apart(*nusd: int) -> tuple[str, ...]:
    """
    Several amounts for people that stand in one sentence: with as many decimals as it takes to tell them apart.

    There are four decimals, as `dollars` has them. There are more, the same number for each amount, if an amount other
    than 0 would be shown as 0, or if two different amounts would be shown alike. Nine decimals are exact.

    Args:
        *nusd: the amounts in nano-USD.
    """
    for decimals in range(_DECIMALS, _EXACT_DECIMALS):
        step = 10 ** (_EXACT_DECIMALS - decimals)
        steps = {(amount < 0, abs(amount) // step) for amount in nusd}
        if len(steps) == len(set(nusd)) and all(abs(amount) >= step for amount in nusd if amount):
            return tuple(_with_decimals(amount, decimals) for amount in nusd)
    return tuple(_with_decimals(amount, _EXACT_DECIMALS) for amount in nusd)


def _with_decimals(nusd: int, decimals: int) -> str:
    """
    An amount with this many decimals, rounded toward zero.
    """
    whole, rest = divmod(abs(nusd), NUSD_PER_USD)
    return f"{'-' if nusd < 0 else ''}${whole:,}.{rest // 10 ** (_EXACT_DECIMALS - decimals):0{decimals}d}"
