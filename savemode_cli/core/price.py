"""
One model's prices, as the price page prints them.

Rule of this file: prices are `Decimal` US dollars per million tokens and are compared here, never multiplied with
tokens. What a row may not be, whoever wrote it, is in `price_problem`.
Source: https://platform.claude.com/docs/en/about-claude/pricing (checked 2026-11-23).
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

_SAME = Decimal(1)


@dataclass(frozen=True, slots=True)
class Rates:
    """
    The five token prices, in US dollars per million tokens.
    """

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal
    cache_write_5m_usd_per_mtok: Decimal
    cache_write_1h_usd_per_mtok: Decimal

    @property
    def columns(self) -> tuple[Decimal, ...]:
        """
        The five in the order of the fields.
        """
        return (
            self.input_usd_per_mtok,
            self.output_usd_per_mtok,
            self.cache_read_usd_per_mtok,
            self.cache_write_5m_usd_per_mtok,
            self.cache_write_1h_usd_per_mtok,
        )

    def times(self, factor: Decimal) -> "Rates":
        """
        Every price multiplied.
        """
        return Rates(*(one * factor for one in self.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class LongContext:
    """
    The rates of a *whole* request whose prompt is longer than `above_tokens`, reads and writes included.
    """

    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """
    One model's prices from a date on: at standard speed and context, and where they are others.

    `effective` is the first day (UTC); `date.min` means since ever. `checked` is when somebody last compared the row
    with its `source`, None if nobody says. `us_multiplier` applies where the API reports inference in the US,
    `regional_multiplier` where a cloud's id names one region or group of regions.
    """

    model: str
    effective: date = date.min
    checked: date | None = None
    source: str
    standard: Rates
    web_search_usd_per_1k: Decimal = Decimal(10)
    us_multiplier: Decimal = _SAME
    regional_multiplier: Decimal = _SAME
    fast: Rates | None = None
    long: LongContext | None = None

    def rates(self, prompt_tokens: int, *, fast: bool = False) -> Rates:
        """
        The rates for a prompt of that length at the speed that was served; without fast rates, the standard ones.
        """
        if fast and self.fast is not None:
            return self.fast
        if self.long is not None and prompt_tokens > self.long.above_tokens:
            return self.long.rates
        return self.standard


_DEAREST_USD_PER_MTOK = 1000  # the dearest ever listed is 137.50, and a price per token would be far below one
_FINEST_DECIMAL = -9


def price_problem(price: Price) -> str:
    """
    Why a row cannot be right, or "". Loose on purpose: it is for mistaken units, columns and signs.

    Reads cost no more than input, writes no less; long context and fast mode no less than the standard.
    """
    long = None if price.long is None else price.long.rates
    for name, rates in (("standard", price.standard), ("fast", price.fast), ("long", long)):
        problem = _rates_problem(rates, price.standard) if rates is not None else ""
        if problem:
            return f"{name}: {problem}"
    if price.long is not None and price.long.above_tokens <= 0:
        return "long: it begins at no tokens"
    if not _is_price(price.web_search_usd_per_1k):
        return f"web searches cost {price.web_search_usd_per_1k}"
    if not all(_SAME <= one <= 2 for one in (price.us_multiplier, price.regional_multiplier)):
        return "a multiplier is not between 1 and 2"
    return ""


def _rates_problem(rates: Rates, standard: Rates) -> str:
    for value in rates.columns:
        if not _is_price(value):
            return f"{value} is no price in dollars per million tokens"
    if not rates.cache_read_usd_per_mtok <= rates.input_usd_per_mtok <= rates.cache_write_5m_usd_per_mtok:
        return "input is not between cache read and 5m write"
    if rates.cache_write_5m_usd_per_mtok > rates.cache_write_1h_usd_per_mtok:
        return "a 5m write costs more than a 1h write"
    if rates.output_usd_per_mtok < rates.input_usd_per_mtok:
        return "output costs less than input"
    if any(one < least for one, least in zip(rates.columns, standard.columns, strict=True)):
        return "less than the standard price"
    return ""


def _is_price(value: Decimal) -> bool:
    if not value.is_finite() or not 0 <= value <= _DEAREST_USD_PER_MTOK:
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= _FINEST_DECIMAL
