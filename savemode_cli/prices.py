"""
Where prices come from: the genai-prices package, a small overlay of what it lacks, and the user's own file.

Rule of this file: it moves and checks rows, it never multiplies. Importing it is cheap; `load_prices` imports the
package (0.3 s), so call it when something is about to be priced, not to print a help text.

A price file is TOML or JSON (by its ending) and wins over both: a model that it names has its rows and no others.

    checked = 2026-11-24               # optional; of every row that has none of its own

    [[price]]
    model = "claude-opus-9"            # or a deployment's name
    input = 4.00                       # US dollars per million tokens; a number or a string
    output = 20.00
    cache_read = 0.20                  # optional; 0.1 x input
    cache_write_5m = 5.00              # optional; 1.25 x input
    cache_write_1h = 8.00              # optional; 2 x input
    web_search_per_1k = 10             # optional
    us_multiplier = 1.1                # optional; 1
    regional_multiplier = 1.1          # optional; 1
    effective = 2026-10-07             # optional first day (UTC); without it, since ever
    checked = 2026-11-24               # optional
    source = "our contract"            # optional; the file and the row
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

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.price import LongContext, Price, Rates, price_problem
from savemode_cli.core.pricing import PriceTable

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

PACKAGE_CHECKED = date(2026, 11, 23)
"""When the package's rows (0.2.3) were compared with the table in tests/test_prices.py; a newer package is newer."""

ALIASES = {"claude-opus-4-0": "claude-opus-4", "claude-sonnet-4-0": "claude-sonnet-4"}
"""The API's own other names for models whose rows have the dateless id."""

SURCHARGE = Decimal("1.1")
"""
On tokens, for inference in the US (models from 4.6 on) and at a cloud's regional endpoints (models from 4.5 on).

Source: https://platform.claude.com/docs/en/about-claude/pricing#data-residency-pricing (checked 2026-11-23).
"""

# The older models are a closed list, so it is they who are named: a new model gets the surcharges without an edit here.
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
        standard=_usd("10", "50", "1.00", "12.5", "20"),
        source="overlay: platform.claude.com/docs/en/about-claude/pricing; same as claude-fable-5",
        checked=date(2026, 11, 23),
    ),
    Price(
        model="claude-mythos-5-1",
        standard=_usd("10", "50", "0.25", "12.5", "20"),
        source="overlay: platform.claude.com/docs/en/about-claude/pricing; same as claude-fable-5-1",
        checked=date(2026, 11, 23),
    ),
    Price(
        model="claude-mythos-preview",
        standard=_usd("10", "50", "1.00", "12.5", "20"),
        source="overlay: litellm 1.109.1; uncertain, Bedrock lists 27.5 and 137.5",
        checked=date(2026, 11, 23),
    ),
    Price(
        model="claude-sonnet-5-5",
        standard=_usd("2", "10", "0.20", "2.5", "4"),
        source="overlay: the read price before it was lowered on 2026-10-07",
        checked=date(2026, 11, 23),
    ),
)
"""
What genai-prices lacks: input, output, read, 5m write, 1h write. A test fails once the package has a row's price.
"""

STARTS = {"claude-sonnet-5-5": date(2026, 10, 7)}
"""The first day of a package row that the package gives no day for, where the overlay has the row before it."""


@dataclass(frozen=True, slots=True)
class PriceLine:
    """
    One line of `savemode prices`. `age_days` counts from when the row was last checked, None if nobody says.
    """

    price: Price
    age_days: int | None


def load_prices(price_file: Path | None = None) -> PriceTable:
    """
    All prices: the package's, the overlay's over them, the file's over both.

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
    The price of each model that applies at `now`, and how old the row is.
    """
    return [PriceLine(row, age_days(row, now)) for row in table.current(now)]


def age_days(price: Price, now: datetime) -> int | None:
    """
    How many days ago the row was checked, None if nobody says.
    """
    return None if price.checked is None else (now.astimezone(UTC).date() - price.checked).days


@cache
def package_prices() -> tuple[Price, ...]:
    """
    The rows of genai-prices. A row without cache prices (models before Claude 3) or that cannot be right is left out.
    """
    from genai_prices import __version__  # noqa: PLC0415 - 0.3 s, of pydantic mostly, for those who price something
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    anthropic = next(one for one in get_snapshot().providers if one.id == "anthropic")
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
    The days on which a price of the model begins to apply, the first being since ever.
    """
    dated = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    starts = (getattr(one.constraint, "start_date", None) for one in dated if getattr(one, "when", _FAST) == _FAST)
    return sorted({date.min, *(start for start in starts if start is not None)})


_FAST = {"speed": "fast"}
_PACKAGE_COLUMNS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")


def _rates(price: "ModelPrice") -> Rates | None:
    """
    The rates below every step; None if one is missing.
    """
    columns = [getattr(price, name) for name in _PACKAGE_COLUMNS]
    known = [getattr(one, "base", one) for one in columns if one is not None]
    return Rates(*known) if len(known) == len(columns) else None


def _long_context(price: "ModelPrice") -> LongContext | None:
    """
    The step, if there is one; of several the lowest threshold and the dearest prices, which errs upwards.
    """
    columns = [getattr(price, name) for name in _PACKAGE_COLUMNS]
    thresholds = [tier.start for one in columns for tier in getattr(one, "tiers", ())]
    if not thresholds:
        return None
    dearest = (one.tiers[-1].price if getattr(one, "tiers", ()) else getattr(one, "base", one) for one in columns)
    return LongContext(above_tokens=min(thresholds), rates=Rates(*dearest))


def _with_surcharges(row: Price) -> Price:
    one = Decimal(1)
    return replace(
        row,
        us_multiplier=one if row.model in BEFORE_4_6 else SURCHARGE,
        regional_multiplier=one if row.model in BEFORE_4_5 else SURCHARGE,
    )


def read_price_file(path: Path) -> list[Price]:
    """
    The rows of a price file; the format is in this module's docstring.

    Raises:
        ConfigError: it cannot be read or a row cannot be right; the message names the file, the row and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads(text, parse_float=Decimal) if path.suffix == ".json" else _toml(text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"the price file {path} cannot be read: {reason}", hint="give --price-file a TOML or JSON file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the price file {path} cannot be read: {error}", hint='a row of it begins with "[[price]]"'
        ) from error
    rows = read.get("price") if isinstance(read, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"the price file {path} has no list named price", hint='begin a row with "[[price]]"')
    _refuse_unknown(f"{path}", read, {"price", "checked"})
    return [_row(f"{path}: price {number}", row, read.get("checked")) for number, row in enumerate(rows, 1)]


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
    What is left out has the API's usual proportion to the input price.
    """
    base = _number(place, row, "input")
    return Rates(
        base,
        _number(place, row, "output"),
        _number(place, row, "cache_read", base * Decimal("0.1")),
        _number(place, row, "cache_write_5m", base * Decimal("1.25")),
        _number(place, row, "cache_write_1h", base * 2),
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
            return Decimal(value)
    except InvalidOperation:
        pass
    what = "missing" if value is None else f"{value!r}, not a number"
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
    A misspelt key would leave a default standing in silence.
    """
    unknown = sorted(set(row) - known)
    if unknown:
        raise ConfigError(f"{place}: unknown key {unknown[0]}", hint=f"known: {', '.join(sorted(known))}")
