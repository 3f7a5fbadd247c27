"""
The sources of prices: the package genai-prices, a few rows that it does not have, and the user's price file.

Rule of this file: it reads and checks rows, and multiplies nothing. Importing it is cheap. `load_prices` imports the package,
which takes 0.3 s, so it is called only to price something.

A price file is TOML, or JSON if its name ends with `.json`. A model that it names has the rows of the file and no others.

    checked = 2026-11-24               # optional; for every row without a date of its own

    [[price]]
    model = "claude-opus-9"            # or the name of a deployment
    input = 4.00                       # US dollars per million tokens; a number or a string
    output = 20.00
    cache_read = 0.20                  # optional; 0.1 x input
    cache_write_5m = 5.00              # optional; 1.25 x input
    cache_write_1h = 8.00              # optional; 2 x input
    web_search_per_1k = 10             # optional
    us_multiplier = 1.1                # optional; 1
    regional_multiplier = 1.1          # optional; 1
    effective = 2026-10-07             # optional; the first day (UTC); without it, always
    checked = 2026-11-24               # optional
    source = "our contract"            # optional; the path of the file and the number of the row
    fast = { input = 8, output = 40 }  # optional; the keys of the five token prices
    long = { above_tokens = 100000, input = 20, output = 100 }  # optional; for prompts longer than that

In JSON the same: {"checked": "2026-11-24", "price": [{"model": "claude-opus-9", "input": 4, "output": 20}]}.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.money.rates import LongContext, Price, Rates, price_problem

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

PACKAGE_CHECKED = date(2026, 11, 23)
"""When the rows of the package (0.2.3) were compared with the table in tests/test_prices.py."""

ALIASES = {"claude-opus-4-0": "claude-opus-4", "claude-sonnet-4-0": "claude-sonnet-4"}
"""Other IDs that the API accepts for a model, and the ID that its rows have."""

SURCHARGE = Decimal("1.1")
"""
The factor on token prices for inference in the US (models from 4.6 on) and at regional endpoints of a cloud (models from
4.5 on).

Source: https://platform.claude.com/docs/en/about-claude/pricing#data-residency-pricing (checked 2026-11-23).
"""

# The older models are listed, because their list is complete. A new model gets the surcharges without a change here.
BEFORE_4_5 = frozenset(
    {
        "claude-3-haiku",
        "claude-3-opus",
        "claude-3-sonnet",
        "claude-3-5-haiku",
        "claude-3-5-sonnet",
        "claude-3-7-sonnet",
        "claude-opus-4",
        "claude-opus-4-1",
        "claude-sonnet-4",
    }
)
BEFORE_4_6 = BEFORE_4_5 | {"claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"}


def _usd(*prices: str) -> Rates:
    return Rates(*map(Decimal, prices))


OVERLAY: tuple[Price, ...] = (
    Price(
        model="claude-mythos-5",
        standard=_usd("10", "12.5", "20", "1.00", "50"),
        source="overlay: platform.claude.com/docs/en/about-claude/pricing; same as claude-fable-5",
        checked=date(2026, 11, 23),
    ),
    Price(
        model="claude-mythos-5-1",
        standard=_usd("10", "12.5", "20", "0.25", "50"),
        source="overlay: platform.claude.com/docs/en/about-claude/pricing; same as claude-fable-5-1",
        checked=date(2026, 11, 23),
    ),
    Price(
        model="claude-mythos-preview",
        standard=_usd("10", "12.5", "20", "1.00", "50"),
        source="overlay: litellm 1.109.1; uncertain, Bedrock lists 27.5 and 137.5",
        checked=date(2026, 11, 23),
    ),
    Price(
        model="claude-sonnet-5-5",
        standard=_usd("2", "2.5", "4", "0.20", "10"),
        source="overlay: the read price before it was lowered on 2026-10-07",
        checked=date(2026, 11, 23),
    ),
)
"""
The rows that genai-prices does not have. A test fails when the package has the price of one of them.
"""

STARTS = {"claude-sonnet-5-5": date(2026, 10, 7)}
"""The first day of a row for which the package gives no day, if the overlay has the row before it."""


MAX_FILE_BYTES = 1024 * 1024
"""The largest price file."""

_MAX_EXPONENT = 100
"""The largest exponent of a number in a price file: more than any price has, and less than a decimal can hold."""


@dataclass(frozen=True, slots=True)
class PriceLine:
    """
    One line of `savemode prices`.
    """

    price: Price
    age_days: int | None
    """How many days ago the price was checked; None if that is not known."""


def load_prices(price_file: Path | None = None) -> PriceTable:
    """
    All prices: those of the package and of the overlay; the price file replaces the rows of each model that it names.

    Args:
        price_file: the user's price file, if there is one.

    Raises:
        ConfigError: the file cannot be read, or a row in it cannot be right; the message names the place.
    """
    rows = [*package_prices(), *(_with_surcharges(row) for row in OVERLAY)]
    if price_file is not None:
        own = read_price_file(price_file)
        named = {row.model for row in own}
        rows = [row for row in rows if row.model not in named] + own
    return PriceTable(rows, ALIASES)


def price_lines(table: PriceTable, now: datetime) -> list[PriceLine]:
    """
    The price of each model that applies at `now`, and the age of its row.
    """
    return [PriceLine(row, age_days(row, now)) for row in table.current(now)]


def age_days(price: Price, now: datetime) -> int | None:
    """
    How many days ago a row was checked; None if that is not known.
    """
    return None if price.checked is None else (now.astimezone(UTC).date() - price.checked).days


@cache
def package_prices() -> tuple[Price, ...]:
    """
    The rows of genai-prices. Rows without cache prices (models before Claude 3) and rows that cannot be right are left out.
    """
    from genai_prices import __version__  # noqa: PLC0415 - takes 0.3 s, mostly for pydantic
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    anthropic = next(provider for provider in get_snapshot().providers if provider.id == "anthropic")
    source = f"genai-prices {__version__}"
    rows = [row for model in anthropic.models for row in _rows_of(model, source)]
    return tuple(row for row in rows if not price_problem(row))


def _rows_of(model: "ModelInfo", source: str) -> Iterable[Price]:
    name = model.id.removesuffix("-latest")
    name = ALIASES.get(name, name)
    for day in _first_days(model):
        # Noon of the first day: the package compares UTC days.
        when = datetime.combine(day, time(12), UTC)
        standard = model.get_prices(when)
        rates, long = _rates(standard), _long_context(standard)
        if rates is None:
            continue
        fast = _rates(model.get_prices(when, {"speed": "fast"}))
        row = Price(
            model=name,
            standard=rates,
            long=long,
            fast=None if fast == rates else fast,
            effective=STARTS.get(name, day),
            checked=PACKAGE_CHECKED,
            source=source,
        )
        searches = standard.web_searches_kcount
        yield _with_surcharges(
            row if not isinstance(searches, Decimal) else replace(row, web_search_usd_per_1k=searches)
        )


def _first_days(model: "ModelInfo") -> list[date]:
    """
    The days on which a price of the model begins to apply. The first is the earliest date that there is.
    """
    dated = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    starts = (getattr(row.constraint, "start_date", None) for row in dated if getattr(row, "when", _FAST) == _FAST)
    return sorted({date.min, *(start for start in starts if start is not None)})


_FAST = {"speed": "fast"}
_PACKAGE_COLUMNS = ("input_mtok", "cache_write_mtok", "cache_write_1h_mtok", "cache_read_mtok", "output_mtok")


def _rates(price: "ModelPrice") -> Rates | None:
    """
    The rates of short prompts; None if one is missing.
    """
    columns = [getattr(price, name) for name in _PACKAGE_COLUMNS]
    rates = [getattr(column, "base", column) for column in columns if column is not None]
    return Rates(*rates) if len(rates) == len(columns) else None


def _long_context(price: "ModelPrice") -> LongContext | None:
    """
    The rates of long prompts, if they differ. Of several steps it takes the lowest threshold and the highest prices, so that
    an error is never too low.
    """
    columns = [getattr(price, name) for name in _PACKAGE_COLUMNS]
    thresholds = [tier.start for column in columns for tier in getattr(column, "tiers", ())]
    if not thresholds:
        return None
    highest = (
        column.tiers[-1].price if getattr(column, "tiers", ()) else getattr(column, "base", column)
        for column in columns
    )
    return LongContext(above_tokens=min(thresholds), rates=Rates(*highest))


def _with_surcharges(row: Price) -> Price:
    one = Decimal(1)
    return replace(
        row,
        us_multiplier=one if row.model in BEFORE_4_6 else SURCHARGE,
        regional_multiplier=one if row.model in BEFORE_4_5 else SURCHARGE,
    )


def read_price_file(path: Path) -> list[Price]:
    """
    The rows of a price file. The docstring of this module describes the format.

    Raises:
        ConfigError: the file cannot be read, or a row cannot be right; the message names the file, the row and the key.
    """
    try:
        text = _content(path).decode("utf-8")
        read = json.loads(text, parse_float=Decimal) if path.suffix == ".json" else _toml(text)
    except OSError as error:
        raise ConfigError(
            f"the price file {path} cannot be read: {reason(error)}", hint="give --price-file a TOML or JSON file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the price file {path} cannot be read: {error}", hint='begin each row with "[[price]]"'
        ) from error
    rows = read.get("price") if isinstance(read, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"the price file {path} has no list named price", hint='begin each row with "[[price]]"')
    _refuse_unknown(f"{path}", read, {"price", "checked"})
    return [_row(f"{path}: price {number}", row, read.get("checked")) for number, row in enumerate(rows, 1)]


def _content(path: Path) -> bytes:
    """
    The content of a price file. A very large file is refused, because each of its rows would be checked.
    """
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES:,} bytes")
    return content


def _toml(text: str) -> dict[str, Any]:
    return tomllib.loads(text, parse_float=Decimal)


_TOKEN_KEYS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
_OTHER_KEYS = ("web_search_per_1k", "us_multiplier", "regional_multiplier")
_ROW_KEYS = {"model", "source", "effective", "checked", "fast", "long", *_TOKEN_KEYS, *_OTHER_KEYS}


def _row(place: str, row: object, checked: object) -> Price:
    if not isinstance(row, dict) or not isinstance(row.get("model"), str) or not row["model"]:
        raise ConfigError(f"{place} has no model")
    place = f"{place} ({row['model']})"
    _refuse_unknown(place, row, _ROW_KEYS)
    price = Price(
        model=row["model"],
        standard=_own_rates(place, row),
        fast=None if "fast" not in row else _own_rates(f"{place}: fast", _table(place, row, "fast")),
        long=_own_long(place, row),
        effective=_day(place, row, "effective") or date.min,
        checked=_day(place, row if "checked" in row else {"checked": checked}, "checked"),
        source=str(row.get("source", place)),
        web_search_usd_per_1k=_number(place, row, "web_search_per_1k", Decimal(10)),
        us_multiplier=_number(place, row, "us_multiplier", Decimal(1)),
        regional_multiplier=_number(place, row, "regional_multiplier", Decimal(1)),
    )
    problem = price_problem(price)
    if problem:
        raise ConfigError(f"{place} cannot be right: {problem}", hint="prices are US dollars per million tokens")
    return price


def _own_rates(place: str, row: Mapping[str, Any]) -> Rates:
    """
    The rates of a row. A cache price that the row does not give has the API's usual ratio to the input price.
    """
    base = _number(place, row, "input")
    return Rates(
        base,
        _number(place, row, "cache_write_5m", base * Decimal("1.25")),
        _number(place, row, "cache_write_1h", base * 2),
        _number(place, row, "cache_read", base * Decimal("0.1")),
        _number(place, row, "output"),
    )


def _own_long(place: str, row: Mapping[str, Any]) -> LongContext | None:
    if "long" not in row:
        return None
    long, place = _table(place, row, "long"), f"{place}: long"
    above = long.get("above_tokens")
    if not isinstance(above, int) or isinstance(above, bool):
        raise ConfigError(f"{place}: above_tokens is {above!r}, not a number of tokens")
    return LongContext(above_tokens=above, rates=_own_rates(place, long))


def _table(place: str, row: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = row[key]
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: {key} is {value!r}, not a table of prices")
    _refuse_unknown(f"{place}: {key}", value, {"above_tokens", *_TOKEN_KEYS} if key == "long" else set(_TOKEN_KEYS))
    return value


def _number(place: str, row: Mapping[str, Any], key: str, default: Decimal | None = None) -> Decimal:
    value = row.get(key, default)
    try:
        if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
            number = Decimal(value)
            # Other numbers cannot be compared or multiplied.
            if number.is_finite() and -_MAX_EXPONENT <= number.adjusted() <= _MAX_EXPONENT:
                return number
    except InvalidOperation:
        pass
    what = "missing" if value is None else f"{value!r}, not a number that can be a price"
    raise ConfigError(f"{place}: {key} is {what}")


def _day(place: str, row: Mapping[str, Any], key: str) -> date | None:
    value = row.get(key)
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}: {key} is {value!r}, not a day like 2026-10-07") from error


def _refuse_unknown(place: str, row: Mapping[str, Any], known: set[str]) -> None:
    """
    Refuse a key that does not exist. Otherwise a misspelled key would silently leave a default in place.
    """
    unknown = sorted(set(row) - known)
    if unknown:
        raise ConfigError(f"{place}: unknown key {unknown[0]}", hint=f"keys: {', '.join(sorted(known))}")
