"""
What a usage costs.

Rule of this file: money is multiplied here and nowhere else. Prices are `Decimal` US dollars per million tokens, as the
price page prints them. They become integers once for each row, and every product and sum is computed in integers.
Amounts are integer nano-dollars; `_rounded` rounds them up once, at the end.
Source: https://platform.claude.com/docs/en/about-claude/pricing (checked 2026-11-23).

A price is found by the exact ID of a model, never by how an ID begins: the price of a cache read differs by a factor of
four between claude-fable-5 and claude-fable-5-1.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from savemode_cli.core.errors import ConfigError, UnknownModel
from savemode_cli.core.money.rates import LongContext, Price, Rates, dearest, price_problem, regional_row
from savemode_cli.core.money.refusals import is_billed
from savemode_cli.core.wire.models import LONGEST_ID, other_spellings
from savemode_cli.core.wire.usage import MIXED, Extra, Usage

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
How a price was found. `exact`: the ID of the model has a row. `fallback`: the ID is an alias, a dated form or a cloud's
form of an ID that has a row. `unpriced`: no row matches.
"""

_NUSD_PER_USD_PER_MTOK = 1000
_NUSD_PER_USD_PER_1K = 1_000_000
_AUSD_PER_USD_PER_MTOK = 10**12
_KEPT_RATES = 10_000
_KEPT_PRICES = 1_000


class Cost(Struct, frozen=True, gc=False):
    """
    What usage costs, in nano-dollars, split by side.
    """

    input_nusd: int
    output_nusd: int
    """Includes web searches, because the model requests them."""

    @property
    def total_nusd(self) -> int:
        """
        Both sides together, exactly.
        """
        return self.input_nusd + self.output_nusd


class Found(Struct, frozen=True, gc=False):
    """
    A price, and how it was found. For `unpriced` it has the highest known price in every column.
    """

    price: Price
    state: State


class Bill(Struct, frozen=True, gc=False):
    """
    What an answer cost. Each part is billed at the price of its own model.
    """

    cost: Cost
    state: State
    """The least certain state of all parts that are billed."""
    price: Price
    billed: bool = True
    """Whether the API bills any part."""


class InputRates(Struct, frozen=True, gc=False):
    """
    What one token of a prompt costs in atto-dollars (10^-18). This is an integer for every known price; others are
    rounded up.

    It serves sums over many requests: `Tokens.prompt_at` is exact, and `nusd_of` rounds once, at the end.
    """

    input: int
    write_5m: int
    write_1h: int
    read: int
    state: "State"

    def cost_ausd(self, input_tokens: int, write_5m_tokens: int, write_1h_tokens: int, read_tokens: int) -> int:
        """
        What the input side of one request costs, in atto-dollars.
        """
        return (
            input_tokens * self.input
            + write_5m_tokens * self.write_5m
            + write_1h_tokens * self.write_1h
            + read_tokens * self.read
        )


def nusd_of(ausd: int) -> int:
    """
    Convert atto-dollars to nano-dollars, rounded up.
    """
    return -(-ausd // 1_000_000_000)


def ausd_of(nusd: int) -> int:
    """
    Convert nano-dollars to atto-dollars.
    """
    return nusd * 1_000_000_000


def cost_nusd(usage: Usage, price: Price) -> int:
    """
    What a usage costs at one price, in nano-dollars, rounded up. This price also applies to `usage.extra`, whatever
    model it names; `PriceTable.bill` looks up the price of each.

    Raises:
        ValueError: a counter is negative. This is a bug in the caller, not bad data.
    """
    return cost(usage, price).total_nusd


def cost(usage: Usage, price: Price) -> Cost:
    """
    The same as `cost_nusd`, split into input and output.
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
        Store the rows.

        Args:
            rows: the rows.
            aliases: other IDs of models, with the ID that has a row.

        Raises:
            ConfigError: a row has prices that cannot be correct, or there is no row.
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
        self._dearest = dearest(self.rows)
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
        The row of each model that applies at a time.
        """
        day = when.astimezone(UTC).date()
        return tuple(_latest(self._by_model[model], day) for model in sorted(self._by_model))

    def at(self, model: str, when: datetime) -> Price:
        """
        The price of a model at a time. Before the first row of a model, its first row applies.

        Args:
            model: the ID of the model.
            when: a time with a time zone. Days are UTC.

        Raises:
            UnknownModel: no row matches. The hint names the most similar known IDs.
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
        The price of a model at a time, and how it was found. Without a row it is the highest known price. It raises
        nothing.
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
                return Found(regional_row(price) if regional else price, "fallback")
        return Found(self._dearest, "unpriced")

    def input_rates(self, usage: Usage, model: str | None, when: datetime) -> InputRates:
        """
        The rates of the input side of a usage. They depend on the length of the prompt and on its labels, not on how
        many tokens were cached.
        """
        found = self.find(model, when)
        rates = found.price.rates(usage.tokens.prompt, fast=usage.speed == "fast")
        factor = Fraction(_AUSD_PER_USD_PER_MTOK, 2 if usage.service_tier == "batch" else 1)
        if usage.inference_geo == "us":
            factor *= Fraction(found.price.us_multiplier)
        return InputRates(
            math.ceil(Fraction(rates.input_usd_per_mtok) * factor),
            math.ceil(Fraction(rates.cache_write_5m_usd_per_mtok) * factor),
            math.ceil(Fraction(rates.cache_write_1h_usd_per_mtok) * factor),
            math.ceil(Fraction(rates.cache_read_usd_per_mtok) * factor),
            found.state,
        )

    def bill(self, usage: Usage, model: str | None, when: datetime) -> Bill:
        """
        What an answer of a model costs, without what the API does not bill. Each extra is billed at the price of its
        own model.

        Raises:
            ValueError: a counter is negative. This is a bug in the caller, not bad data.
        """
        own = self.find(model, when)
        if not usage.extra and usage.declined is None:
            return Bill(_rounded([(usage, own.price)]), own.state, own.price)
        found = [own, *(own if one.model is None else self.find(one.model, when) for one in usage.extra)]
        usages = [usage, *(one.usage for one in usage.extra)]
        billed = [(part, one) for part, one in zip(usages, found, strict=True) if is_billed(part.declined, when)]
        if not billed:
            return Bill(Cost(0, 0), own.state, own.price, billed=False)
        state = max((one.state for _, one in billed), key=_STATES.index)
        return Bill(_rounded([(part, one.price) for part, one in billed]), state, own.price)


_STATES: tuple[State, ...] = ("exact", "fallback", "unpriced")


def _rounded(parts: Sequence[tuple[Usage, Price]]) -> Cost:
    """
    Round once: the total and the input side are rounded up to the next nano-dollar, and the output side is the rest.
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
    The input side and the output side in nano-dollars, exactly: two numerators, and the denominator of both.

    The discount for batches and the surcharge for US inference apply to tokens, not to web searches.
    """
    rates = price.standard
    if price.long is not None or usage.speed == "fast":
        rates = price.rates(usage.tokens.prompt, fast=usage.speed == "fast")
    tokens, whole = usage.tokens, _whole(rates)
    if (
        tokens.input < 0
        or tokens.write_5m < 0
        or tokens.write_1h < 0
        or tokens.read < 0
        or tokens.output < 0
        or usage.web_searches < 0
    ):
        raise ValueError(f"a counter is negative: {usage}")
    prompt, output, over = tokens.prompt_at(whole), tokens.output * whole.output, whole.over
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


class _WholeRates(Struct, frozen=True, gc=False):
    """
    What a token of each counter costs, as numerators of nano-dollars.
    """

    input: int
    write_5m: int
    write_1h: int
    read: int
    output: int
    over: int
    """
    The denominator. It is 1 for every known price: 0.125 dollars per million tokens are 125 nano-dollars per token.
    """


_kept_whole_rates: dict[int, tuple[Rates, _WholeRates]] = {}


def _whole(rates: Rates) -> _WholeRates:
    """
    The rates as integers. They are remembered by identity, because a hash of five decimals costs more than the bill.
    """
    kept = _kept_whole_rates.get(id(rates))
    if kept is None:
        if len(_kept_whole_rates) >= _KEPT_RATES:
            _kept_whole_rates.clear()
        # The rates stay referenced, so no other rates can get their identity.
        kept = _kept_whole_rates[id(rates)] = (rates, _computed_whole(rates))
    return kept[1]


def _computed_whole(rates: Rates) -> _WholeRates:
    ratios = [price.as_integer_ratio() for price in rates.columns]
    over = math.lcm(*(than // math.gcd(than, _NUSD_PER_USD_PER_MTOK) for _, than in ratios))
    plain, write_5m, write_1h, read, output = (some * _NUSD_PER_USD_PER_MTOK * over // than for some, than in ratios)
    return _WholeRates(plain, write_5m, write_1h, read, output, over)


def _by_date(row: Price) -> date:
    return row.effective


def _latest(rows: list[Price], day: date) -> Price:
    return next((row for row in reversed(rows) if row.effective <= day), rows[0])
