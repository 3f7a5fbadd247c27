"""
What usage costs.

Rule of this file: money is multiplied here and nowhere else. Prices are `Decimal` US dollars per million tokens, as
printed on the price page; they become whole numbers once for each row, and every product and sum is one of integers.
Amounts are integer nano-dollars, rounded up once, at the end, in `_rounded`.
Source: https://platform.claude.com/docs/en/about-claude/pricing (checked 2026-11-23).

A price is found by a model's id and never by the beginning of one: claude-fable-5 and claude-fable-5-1 differ four
times in the price of a cache read.

Longer than most: the rules of the price page stand beside the arithmetic that they decide.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from savemode_cli.core.errors import ConfigError, UnknownModel
from savemode_cli.core.model_ids import LONGEST_ID, other_spellings
from savemode_cli.core.price import LongContext, Price, Rates, price_problem

__all__ = [
    "MIXED",
    "Bill",
    "Cost",
    "Extra",
    "Found",
    "InputRates",
    "LongContext",
    "Price",
    "PriceTable",
    "Rates",
    "State",
    "Usage",
    "cost",
    "cost_nusd",
    "nusd_of",
    "price_problem",
]

State = Literal["exact", "fallback", "unpriced"]
"""
How a price was found: the id is a row's; the id is an alias, a dated or a cloud's form of a row's; no row is for it.
"""

MIXED = "mixed"
"""The label of a sum of usages that bear different ones."""

_NUSD_PER_USD_PER_MTOK = 1000
_NUSD_PER_USD_PER_1K = 1_000_000
_AUSD_PER_USD_PER_MTOK = 10**12
_KEPT_RATES = 10_000
_KEPT_PRICES = 1_000


@dataclass(frozen=True, slots=True)
class Usage:
    """
    What one answer used. The counters are disjoint: reads and writes are no part of `input_tokens`.

    `output_tokens` includes thinking. `service_tier`, `inference_geo` and `speed` are what the API reports, None where
    it does not. `extra` is what was used beside the totals and is billed too.
    """

    input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    web_searches: int = 0
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    extra: tuple["Extra", ...] = ()

    @property
    def prompt_tokens(self) -> int:
        """
        The length of the whole prompt, which is what a long-context price goes by; `extra` apart.
        """
        return self.input_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens + self.cache_read_tokens

    def __add__(self, other: "Usage") -> "Usage":
        """
        Counter by counter. A sum is for showing: price each usage first, for a price may depend on a prompt's length.
        """
        return Usage(
            **{name: getattr(self, name) + getattr(other, name) for name in _COUNTERS},
            service_tier=_common(self.service_tier, other.service_tier),
            inference_geo=_common(self.inference_geo, other.inference_geo),
            speed=_common(self.speed, other.speed),
            extra=self.extra + other.extra,
        )


@dataclass(frozen=True, slots=True)
class Extra:
    """
    Tokens that the totals leave out: a compaction, an advisor's answer, an attempt that a fallback took over from.

    `kind` is the API's word for it. `model` is whose rates apply, None for the model of the answer itself. The `extra`
    of `usage` is empty.
    """

    kind: str
    model: str | None
    usage: Usage


_COUNTERS = tuple(field.name for field in fields(Usage) if field.type is int)


def _common(one: str | None, other: str | None) -> str | None:
    if one is None or one == other:
        return other
    return one if other is None else MIXED


@dataclass(frozen=True, slots=True)
class Cost:
    """
    Nano-dollars, split by side. Web searches are on the output side: the model asked for them.
    """

    input_nusd: int
    output_nusd: int

    @property
    def total_nusd(self) -> int:
        """
        The two sides together, exactly.
        """
        return self.input_nusd + self.output_nusd


@dataclass(frozen=True, slots=True)
class Found:
    """
    A price and how it was found. If `unpriced`, it is the dearest known one in every column.
    """

    price: Price
    state: State


@dataclass(frozen=True, slots=True)
class Bill:
    """
    What an answer cost, each part at its own model's price. `state` is the least certain one of its parts.
    """

    cost: Cost
    state: State
    price: Price


@dataclass(frozen=True, slots=True)
class InputRates:
    """
    What one token of a prompt costs in atto-dollars (10^-18): a whole number for every price there is, else rounded up.

    For sums over very many requests: exact, and rounded once at the end by `nusd_of`.
    """

    input_ausd: int
    cache_read_ausd: int
    cache_write_5m_ausd: int
    cache_write_1h_ausd: int
    state: "State"

    def cost_ausd(self, input_tokens: int, write_5m_tokens: int, write_1h_tokens: int, read_tokens: int) -> int:
        """
        The input side of one request.
        """
        return (
            input_tokens * self.input_ausd
            + write_5m_tokens * self.cache_write_5m_ausd
            + write_1h_tokens * self.cache_write_1h_ausd
            + read_tokens * self.cache_read_ausd
        )


def nusd_of(ausd: int) -> int:
    """
    Atto-dollars in nano-dollars, rounded up.
    """
    return -(-ausd // 1_000_000_000)


def cost_nusd(usage: Usage, price: Price) -> int:
    """
    What *usage* costs at *price*, in nano-dollars, rounded up; `extra` at the same price, whatever its model.

    `PriceTable.bill` gives each extra its own price.

    Raises:
        ValueError: a counter is negative. That is a bug in the caller, not bad data.
    """
    return cost(usage, price).total_nusd


def cost(usage: Usage, price: Price) -> Cost:
    """
    As `cost_nusd`, split by side.
    """
    return _rounded(
        [(usage, price), *((extra.usage, price) for extra in usage.extra)] if usage.extra else [(usage, price)]
    )


class PriceTable:
    """
    The prices of all known models, by date.
    """

    __slots__ = ("_aliases", "_by_model", "_dearest", "_found")

    def __init__(self, rows: Iterable[Price], aliases: Mapping[str, str] | None = None) -> None:
        """
        Keep the rows; `aliases` leads from other ids of a model to the one its rows have.

        Raises:
            ConfigError: a row has prices that cannot be right, or there is no row.
        """
        self._aliases = dict(aliases or {})
        self._by_model: dict[str, list[Price]] = {}
        for row in sorted(rows, key=_by_date):
            problem = price_problem(row)
            if problem:
                raise ConfigError(f"{row.source}: the price of {row.model} cannot be right: {problem}")
            self._by_model.setdefault(row.model, []).append(row)
        if not self._by_model:
            raise ConfigError("the price table is empty")
        self._dearest = _dearest(self.rows)
        # What was asked lately: a session asks for the same model hundreds of times, four times a request.
        self._found: dict[tuple[str | None, date], Found] = {}

    @property
    def rows(self) -> tuple[Price, ...]:
        """
        All rows, by model, the oldest first.
        """
        return tuple(row for model in sorted(self._by_model) for row in self._by_model[model])

    def current(self, when: datetime) -> tuple[Price, ...]:
        """
        The row of each model that applies at `when`.
        """
        day = when.astimezone(UTC).date()
        return tuple(_latest(self._by_model[model], day) for model in sorted(self._by_model))

    def at(self, model: str, when: datetime) -> Price:
        """
        The price of `model` at `when` (aware; days are UTC). Before a model's first row, its first row applies.

        Raises:
            UnknownModel: no row is for it; the hint names the nearest known ids.
        """
        found = self.find(model, when)
        if found.state == "unpriced":
            near = get_close_matches(model[:LONGEST_ID], self._by_model, n=3, cutoff=0.5)
            known = f"nearest known: {', '.join(near)}. " if near else ""
            raise UnknownModel(
                f'no price for model "{model[:LONGEST_ID]}" on {when:%Y-%m-%d}',
                hint=f"{known}Add it to a file and pass --price-file.",
            )
        return found.price

    def find(self, model: str | None, when: datetime) -> Found:
        """
        The price of `model` at `when` and how it was found; the dearest known one where there is none. Never raises.
        """
        day = when.date() if when.tzinfo is UTC else when.astimezone(UTC).date()
        found = self._found.get((model, day))
        if found is None:
            found = self._find(model or "", day)
            if found.state != "unpriced":
                if len(self._found) >= _KEPT_PRICES:
                    self._found.clear()
                self._found[model, day] = found
        return found

    def _find(self, model: str, day: date) -> Found:
        if model in self._by_model:
            return Found(_latest(self._by_model[model], day), "exact")
        for name, regional in other_spellings(model):
            rows = self._by_model.get(self._aliases.get(name, name))
            if rows is not None:
                price = _latest(rows, day)
                return Found(_regional(price) if regional else price, "fallback")
        return Found(self._dearest, "unpriced")

    def input_rates(self, usage: Usage, model: str | None, when: datetime) -> InputRates:
        """
        The rates at which the input side of `usage` is billed; they depend on its length and labels, not on the split.
        """
        found = self.find(model, when)
        rates = found.price.rates(usage.prompt_tokens, fast=usage.speed == "fast")
        factor = Fraction(_AUSD_PER_USD_PER_MTOK, 2 if usage.service_tier == "batch" else 1)
        if usage.inference_geo == "us":
            factor *= Fraction(found.price.us_multiplier)
        return InputRates(
            math.ceil(Fraction(rates.input_usd_per_mtok) * factor),
            math.ceil(Fraction(rates.cache_read_usd_per_mtok) * factor),
            math.ceil(Fraction(rates.cache_write_5m_usd_per_mtok) * factor),
            math.ceil(Fraction(rates.cache_write_1h_usd_per_mtok) * factor),
            found.state,
        )

    def bill(self, usage: Usage, model: str | None, when: datetime) -> Bill:
        """
        What an answer of `model` costs, each extra at the price of its own model.

        Raises:
            ValueError: a counter is negative. That is a bug in the caller, not bad data.
        """
        own = self.find(model, when)
        if not usage.extra:
            return Bill(_rounded([(usage, own.price)]), own.state, own.price)
        found = [own, *(own if one.model is None else self.find(one.model, when) for one in usage.extra)]
        usages = [usage, *(one.usage for one in usage.extra)]
        parts = [(part, one.price) for part, one in zip(usages, found, strict=True)]
        return Bill(_rounded(parts), max((one.state for one in found), key=_STATES.index), own.price)


_STATES: tuple[State, ...] = ("exact", "fallback", "unpriced")


def _rounded(parts: Sequence[tuple[Usage, Price]]) -> Cost:
    """
    The one rounding: the total goes up to the next nano-dollar, so does the input side; the output side is the rest.
    """
    prompt, output, over = _sides(*parts[0])
    if over == 1 and len(parts) == 1:
        return Cost(prompt, output)
    for part in parts[1:]:
        more_prompt, more_output, other = _sides(*part)
        common = math.lcm(over, other)
        prompt = prompt * (common // over) + more_prompt * (common // other)
        output = output * (common // over) + more_output * (common // other)
        over = common
    prompt_nusd = -(-prompt // over)
    return Cost(prompt_nusd, -(-(prompt + output) // over) - prompt_nusd)


def _sides(usage: Usage, price: Price) -> tuple[int, int, int]:
    """
    The input and the output side in nano-dollars, exactly: two numerators, and the denominator of both.

    The discount for batches and the surcharge for US inference are on tokens, not on web searches.
    """
    rates = price.standard
    if price.long is not None or usage.speed == "fast":
        rates = price.rates(usage.prompt_tokens, fast=usage.speed == "fast")
    ask, answer, read, write_5m, write_1h, over = _whole(rates)
    uncached, cached = usage.input_tokens, usage.cache_read_tokens
    written_5m, written_1h = usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    if (
        uncached < 0
        or cached < 0
        or written_5m < 0
        or written_1h < 0
        or usage.output_tokens < 0
        or usage.web_searches < 0
    ):
        raise ValueError(f"a counter is negative: {usage}")
    prompt = uncached * ask + written_5m * write_5m + written_1h * write_1h + cached * read
    output = usage.output_tokens * answer
    if usage.service_tier == "batch":
        over *= 2
    if usage.inference_geo == "us":
        more, than = price.us_multiplier.as_integer_ratio()
        prompt, output, over = prompt * more, output * more, over * than
    if usage.web_searches:
        dollars, of = price.web_search_usd_per_1k.as_integer_ratio()
        searches = usage.web_searches * _NUSD_PER_USD_PER_1K * dollars
        prompt, output, over = prompt * of, output * of + searches * over, over * of
    return prompt, output, over


@lru_cache(_KEPT_RATES)
def _whole(rates: Rates) -> tuple[int, int, int, int, int, int]:
    """
    What a token of each column costs in nano-dollars, as whole numbers over the last one: 1 for every price there ever
    was, for 0.125 dollars a million are 125 nano-dollars a token.
    """
    ratios = [one.as_integer_ratio() for one in rates.columns]
    over = math.lcm(*(than // math.gcd(than, _NUSD_PER_USD_PER_MTOK) for _, than in ratios))
    ask, answer, read, write_5m, write_1h = (some * _NUSD_PER_USD_PER_MTOK * over // than for some, than in ratios)
    return ask, answer, read, write_5m, write_1h, over


def _dearest(rows: tuple[Price, ...]) -> Price:
    """
    A price that no known one exceeds in any column, for a model nobody knows.
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


def _by_date(row: Price) -> date:
    return row.effective


def _latest(rows: list[Price], day: date) -> Price:
    return next((row for row in reversed(rows) if row.effective <= day), rows[0])


def _regional(price: Price) -> Price:
    """
    The row for a regional cloud endpoint; the API's own US surcharge does not exist there.
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
