"""
The prices of one model, as the price page prints them.

Rule of this file: prices are `Decimal` US dollars per million tokens. They are compared here and never multiplied with
tokens. `price_problem` says which rows cannot be correct, whoever wrote them.
Source: https://platform.claude.com/docs/en/about-claude/pricing (checked 2026-11-23).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

_SAME = Decimal(1)


@dataclass(frozen=True, slots=True)
class Rates:
    """
    The five token prices, in US dollars per million tokens, in the order of the price page and of `Tokens`.
    """

    input_usd_per_mtok: Decimal
    cache_write_5m_usd_per_mtok: Decimal
    cache_write_1h_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal

    @property
    def columns(self) -> tuple[Decimal, ...]:
        """
        The five prices in the order of the fields.
        """
        return (
            self.input_usd_per_mtok,
            self.cache_write_5m_usd_per_mtok,
            self.cache_write_1h_usd_per_mtok,
            self.cache_read_usd_per_mtok,
            self.output_usd_per_mtok,
        )

    def times(self, factor: Decimal) -> "Rates":
        """
        The same rates with every price multiplied.
        """
        return Rates(*(one * factor for one in self.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class LongContext:
    """
    The rates for a request with a prompt longer than `above_tokens`. They apply to the whole request, also to cache
    reads and writes.
    """

    above_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """
    The prices of one model from a date on.
    """

    model: str
    effective: date = date.min
    """The first day (UTC) on which it applies. `date.min`: it has always applied."""
    checked: date | None = None
    """When somebody last compared the row with its source; None if that is unknown."""
    source: str
    standard: Rates
    web_search_usd_per_1k: Decimal = Decimal(10)
    us_multiplier: Decimal = _SAME
    """The factor where the API reports inference in the US."""
    regional_multiplier: Decimal = _SAME
    """The factor where the model ID of a cloud names one region or group of regions."""
    fast: Rates | None = None
    """The rates in fast mode; None where the standard rates apply."""
    long: LongContext | None = None
    """The rates of long prompts; None where the standard rates apply."""

    def rates(self, prompt_tokens: int, *, fast: bool = False) -> Rates:
        """
        The rates for a prompt of some length at the speed that was served. A model without fast rates has the standard
        ones.
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
    Why a row cannot be correct; empty if it can. The check is loose on purpose: it finds wrong units, columns and
    signs.

    A read does not cost more than input, and a write does not cost less. Long context and fast mode do not cost less
    than the standard.
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


def dearest(rows: Sequence[Price]) -> Price:
    """
    A price that is at least as high as every known price in every column, for a model without a row.
    """
    standard = [row.standard for row in rows] + [row.long.rates for row in rows if row.long is not None]
    fast = standard + [row.fast for row in rows if row.fast is not None]
    return Price(
        model="(unpriced)",
        source="the dearest known prices",
        standard=_highest(standard),
        fast=_highest(fast),
        web_search_usd_per_1k=max(row.web_search_usd_per_1k for row in rows),
        us_multiplier=max(row.us_multiplier for row in rows),
    )


def _highest(rates: Iterable[Rates]) -> Rates:
    return Rates(*(max(column) for column in zip(*(one.columns for one in rates), strict=True)))


def regional_row(price: Price) -> Price:
    """
    The row for a regional endpoint of a cloud. The US surcharge of the API does not apply there.
    """
    factor = price.regional_multiplier
    return replace(
        price,
        source=f"{price.source}, x {factor} for a regional endpoint",
        standard=price.standard.times(factor),
        fast=price.fast and price.fast.times(factor),
        long=price.long and replace(price.long, rates=price.long.rates.times(factor)),
        us_multiplier=Decimal(1),
        regional_multiplier=Decimal(1),
    )
