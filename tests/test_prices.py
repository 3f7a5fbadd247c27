"""
Where prices come from: every model's row worked out by hand, the overlay against the package, and price files.
"""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import __version__
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from savemode_cli import prices
from savemode_cli.config import trust
from savemode_cli.core.errors import ConfigError, SavemodeError
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.prices import OVERLAY, STARTS, _rows_of, load_prices, package_prices, price_lines, read_price_file
from tests.builders import usd

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MILLION = 10**6


@pytest.fixture(scope="module")
def table() -> PriceTable:
    """
    The prices without a file.
    """
    return load_prices()


def nusd(text: str) -> int:
    """
    Dollars as printed, in nano-dollars.
    """
    return int(Decimal(text) * 10**9)


# The price page, standard speed and global: input, output, 5m write, 1h write, read, in dollars per million tokens.
# Source: https://platform.claude.com/docs/en/about-claude/pricing, genai-prices 0.2.3, litellm 1.109.1 (checked 2026-11-23).
PAGE = {
    "claude-fable-5-2": "8 40 10 16 0.20",
    "claude-mythos-5-2": "8 40 10 16 0.20",
    "claude-fable-5-1": "10 50 12.5 20 0.25",
    "claude-mythos-5-1": "10 50 12.5 20 0.25",
    "claude-fable-5": "10 50 12.5 20 1.00",
    "claude-mythos-5": "10 50 12.5 20 1.00",
    "claude-mythos-preview": "10 50 12.5 20 1.00",
    "claude-opus-5-5": "4 20 5 8 0.20",
    "claude-opus-5": "5 25 6.25 10 0.50",
    "claude-opus-4-8": "5 25 6.25 10 0.50",
    "claude-opus-4-7": "5 25 6.25 10 0.50",
    "claude-opus-4-7-20260416": "5 25 6.25 10 0.50",
    "claude-opus-4-6": "5 25 6.25 10 0.50",
    "claude-opus-4-6-20260205": "5 25 6.25 10 0.50",
    "claude-opus-4-5": "5 25 6.25 10 0.50",
    "claude-opus-4-5-20251101": "5 25 6.25 10 0.50",
    "claude-opus-4-1": "15 75 18.75 30 1.50",
    "claude-opus-4-1-20250805": "15 75 18.75 30 1.50",
    "claude-opus-4-0": "15 75 18.75 30 1.50",
    "claude-opus-4-20250514": "15 75 18.75 30 1.50",
    "claude-sonnet-5-5": "2 10 2.5 4 0.10",
    "claude-sonnet-5": "2 10 2.5 4 0.20",
    "claude-sonnet-4-6": "3 15 3.75 6 0.30",
    "claude-sonnet-4-5": "3 15 3.75 6 0.30",
    "claude-sonnet-4-5-20250929": "3 15 3.75 6 0.30",
    "claude-sonnet-4-0": "3 15 3.75 6 0.30",
    "claude-sonnet-4": "3 15 3.75 6 0.30",
    "claude-sonnet-4-20250514": "3 15 3.75 6 0.30",
    "claude-haiku-5-5": "0.10 0.50 0.125 0.20 0.01",
    "claude-haiku-4-5": "1 5 1.25 2 0.10",
    "claude-haiku-4-5-20251001": "1 5 1.25 2 0.10",
    "claude-3-5-haiku-20241022": "0.80 4 1 1.60 0.08",
    "claude-3-5-haiku-latest": "0.80 4 1 1.60 0.08",
    "claude-3-haiku-20240307": "0.25 1.25 0.30 0.50 0.03",
    "claude-3-opus-20240229": "15 75 18.75 30 1.50",
    "claude-3-7-sonnet-20250219": "3 15 3.75 6 0.30",
    "claude-3-7-sonnet-latest": "3 15 3.75 6 0.30",
    "claude-3-5-sonnet-20241022": "3 15 3.75 6 0.30",
}
FAST = {
    "claude-fable-5-2": "16 80 20 32 0.40",
    "claude-mythos-5-2": "16 80 20 32 0.40",
    "claude-opus-5-5": "8 40 10 16 0.40",
    "claude-opus-5": "10 50 12.5 20 1.00",
    "claude-opus-4-8": "10 50 12.5 20 1.00",
}
COLUMNS = ("input", "output", "write_5m", "write_1h", "read")


@pytest.mark.parametrize("model", PAGE)
def test_price_page(table: PriceTable, model: str) -> None:
    """
    Ten thousand tokens of each kind cost a hundredth of what the page says a million do.
    """
    for column, printed in zip(COLUMNS, PAGE[model].split(), strict=True):
        bill = table.bill(Usage(Tokens(**{column: 10_000})), model, NOW)
        assert nusd(printed) == 100 * bill.cost.total_nusd, column
        assert bill.state in ("exact", "fallback")


@pytest.mark.skipif(__version__ != "0.2.3", reason="a newer package may know newer models")
def test_no_other_rows(table: PriceTable) -> None:
    """
    A model that the package has and the page above has not is one that nobody has compared.
    """
    compared = {table.find(model, NOW).price.model for model in PAGE}

    assert {row.model for row in table.rows} - compared == {"claude-3-sonnet"}


@pytest.mark.parametrize("model", PAGE)
def test_fast_mode(table: PriceTable, model: str) -> None:
    """
    Twice the price where fast mode exists; elsewhere such a request runs and bills as standard.
    """
    fast = FAST.get(model, PAGE[model])
    for column, printed in zip(COLUMNS, fast.split(), strict=True):
        usage = Usage(Tokens(**{column: 10_000}), speed="fast")
        assert nusd(printed) == 100 * table.bill(usage, model, NOW).cost.total_nusd, column


@pytest.mark.parametrize(
    ("model", "us", "regional"),
    [
        ("claude-opus-5-5", "4.4", "4.4"),
        ("claude-mythos-5", "11", "11"),
        ("claude-sonnet-4-6", "3.3", "3.3"),
        ("claude-sonnet-4-5", "3", "3.3"),
        ("claude-haiku-4-5", "1", "1.1"),
        ("claude-opus-4-1", "15", "15"),
    ],
)
def test_geography(table: PriceTable, model: str, us: str, regional: str) -> None:
    """
    A tenth more for inference in the US from 4.6 on, and at a cloud's regional endpoint from 4.5 on.
    """
    at_home = table.bill(Usage(Tokens(input=10_000), inference_geo="us"), model, NOW)
    in_a_region = table.bill(Usage(Tokens(input=10_000)), f"eu.anthropic.{model}-v1:0", NOW)

    assert (nusd(us), nusd(regional)) == (100 * at_home.cost.total_nusd, 100 * in_a_region.cost.total_nusd)


def test_haiku_steps_at_100k(table: PriceTable) -> None:
    """
    0.10 dollars a million up to 100,000 tokens, 0.50 for all of them above.
    """
    for tokens, expected in ((100_000, nusd("0.01")), (100_001, nusd("0.0500005"))):
        for column in ("input", "read"):
            usage = Usage(Tokens(**{column: tokens}))
            factor = 10 if column == "read" else 1
            assert expected == factor * table.bill(usage, "claude-haiku-5-5", NOW).cost.total_nusd


def test_sonnet_read_price_was_lowered(table: PriceTable) -> None:
    """
    0.20 until 2026-10-06, 0.10 from the day after.
    """
    usage = Usage(Tokens(read=MILLION))
    before = table.bill(usage, "claude-sonnet-5-5", datetime(2026, 10, 6, 23, tzinfo=UTC))
    after = table.bill(usage, "claude-sonnet-5-5", datetime(2026, 10, 7, tzinfo=UTC))

    assert (nusd("0.20"), nusd("0.10")) == (before.cost.total_nusd, after.cost.total_nusd)


def test_long_context_ended(table: PriceTable) -> None:
    """
    The 4.6 models cost double above 200,000 tokens until 2026-03-12, and are flat since.
    """
    for day, expected in ((12, "10"), (13, "5")):
        when = datetime(2026, 3, day, 12, tzinfo=UTC)
        assert nusd(expected) == table.bill(Usage(Tokens(input=MILLION)), "claude-opus-4-6", when).cost.total_nusd


def test_batches_cost_half_in_the_package_too() -> None:
    """
    Our half and the package's batch rows agree, step and all.
    """
    compared = 0
    for model in anthropic_models():
        standard, batch = model.get_prices(NOW), model.get_prices(NOW, {"processing": "batch"})
        if batch != standard:
            compared += 1
            for name in ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"):
                assert steps(getattr(batch, name)) == [one / 2 for one in steps(getattr(standard, name))]
    assert compared >= 10


def steps(price: Any) -> list[Decimal]:
    """
    The base price and those of its steps.
    """
    return [price.base, *(tier.price for tier in price.tiers)] if isinstance(price, TieredPrices) else [price]


def anthropic_models() -> list[ModelInfo]:
    """
    The package's models of the API itself.
    """
    return next(one for one in get_snapshot().providers if one.id == "anthropic").models


@pytest.mark.parametrize("row", OVERLAY, ids=lambda row: row.model)
def test_overlay_is_still_needed(row: Any) -> None:
    """
    Once the package has a row's price for its day, the row goes: delete it, and its start in `STARTS`.
    """
    same = [one for one in package_prices() if one.model == row.model]
    if row.model not in STARTS:
        assert not same, "the package has caught up"
        return
    model = next(one for one in anthropic_models() if one.id == row.model)
    eve = datetime.combine(STARTS[row.model] - timedelta(days=1), time(12), UTC)
    assert model.get_prices(eve).cache_read_mtok != row.standard.cache_read_usd_per_mtok, "the package has caught up"


def test_package_knows_no_geography() -> None:
    """
    Once a variant of its prices is for a place, our surcharge goes.
    """
    keys = {key for model in anthropic_models() for one in model.price_variants or () for key in one.when}

    assert keys == {"processing", "speed"}


def test_every_row_has_source_and_date(table: PriceTable) -> None:
    """
    Nobody has to believe a number.
    """
    for line in price_lines(table, NOW):
        assert line.price.source.startswith(("genai-prices 0.", "overlay: "))
        assert line.age_days == 0
    assert len({line.price.model for line in price_lines(table, NOW)}) == len(price_lines(table, NOW))


def test_import_is_cheap() -> None:
    """
    The package comes with the first price, not with the module.
    """
    code = "import sys, savemode_cli.prices; print({'genai_prices', 'pydantic'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def a_model(prices: Any, variants: list[PriceVariant] | None = None) -> ModelInfo:
    """
    A model as the package may one day have it.
    """
    return ModelInfo(id="claude-next-latest", match=None, prices=prices, price_variants=variants)  # type: ignore[arg-type]


def model_price(*columns: Any) -> ModelPrice:
    """
    The package's columns, in the order of the price page.
    """
    names = ("input_mtok", "output_mtok", "cache_write_mtok", "cache_write_1h_mtok", "cache_read_mtok")
    values = [one if isinstance(one, TieredPrices) else Decimal(one) for one in columns]
    return ModelPrice(**dict(zip(names, values, strict=True)))


def test_package_row_with_dates() -> None:
    """
    A new price and a new fast price each begin a row.
    """
    old, new, fast = model_price(4, 20, 5, 8, 1), model_price(2, 10, "2.5", 4, 1), model_price(8, 40, 10, 16, 2)
    dated = [ConditionalPrice(prices=old), ConditionalPrice(StartDateConstraint(date(2027, 2, 1)), prices=new)]
    variants = [
        PriceVariant({"speed": "fast"}, fast, StartDateConstraint(date(2027, 1, 1))),
        PriceVariant({"processing": "batch"}, old, StartDateConstraint(date(2027, 3, 1))),
    ]
    rows = list(_rows_of(a_model(dated, variants), "test"))

    assert [(row.model, row.effective.year, row.effective.month) for row in rows] == [
        ("claude-next", 1, 1),
        ("claude-next", 2027, 1),
        ("claude-next", 2027, 2),
    ]
    assert [row.standard for row in rows] == [usd("4 20 5 8 1")] * 2 + [usd("2 10 2.5 4 1")]
    assert [row.fast for row in rows] == [None] + [usd("8 40 10 16 2")] * 2


def test_package_row_with_many_steps() -> None:
    """
    We have one step: the lowest threshold and the dearest prices, which errs upwards. What has no steps stays flat.
    """
    tiered = TieredPrices(Decimal(1), [Tier(200, Decimal(3)), Tier(100, Decimal(2))])
    (row,) = _rows_of(a_model(model_price(tiered, 5, tiered, tiered, 1)), "test")

    assert row.standard == usd("1 5 1 1 1")
    assert row.long is not None
    assert (row.long.above_tokens, row.long.rates) == (100, usd("3 5 3 3 1"))


def test_package_row_without_cache_prices() -> None:
    """
    A model that cannot cache, or whose prices are not all known, has no row.
    """
    assert list(_rows_of(a_model(ModelPrice(input_mtok=Decimal(8), output_mtok=Decimal(24))), "test")) == []


TOML = """
checked = 2026-11-01

[[price]]
model = "claude-opus-9"
input = 4.0
output = "20.00"
fast = { input = 8, output = 40 }
long = { above_tokens = 100000, input = 20, output = 100 }

[[price]]
model = "claude-fable-5"
input = 9
output = 45
cache_read = 0.5
cache_write_5m = 11
cache_write_1h = 17
web_search_per_1k = 8
us_multiplier = 1.2
regional_multiplier = 1.05
effective = 2026-10-07
checked = 2026-11-20
source = "our contract"
"""


def price_file(tmp_path: Path, text: str, name: str = "prices.toml") -> Path:
    """
    A file with this text.
    """
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_price_file(tmp_path: Path) -> None:
    """
    What is left out has the API's usual proportion to the input price; numbers are read as they are written.
    """
    path = price_file(tmp_path, TOML)
    opus, fable = read_price_file(path)

    assert (opus.standard, opus.fast) == (usd("4 20 5 8 0.4"), usd("8 40 10 16 0.8"))
    assert opus.long is not None
    assert (opus.long.above_tokens, opus.long.rates) == (100_000, usd("20 100 25 40 2"))
    assert (opus.effective, opus.checked) == (date.min, date(2026, 11, 1))
    assert opus.source == f"{path}: price 1 (claude-opus-9)"
    assert (opus.web_search_usd_per_1k, opus.us_multiplier, opus.regional_multiplier) == tuple(map(Decimal, (10, 1, 1)))
    assert fable.standard == usd("9 45 11 17 0.5")
    assert (fable.effective, fable.checked, fable.source) == (date(2026, 10, 7), date(2026, 11, 20), "our contract")
    assert (fable.web_search_usd_per_1k, fable.us_multiplier) == (Decimal(8), Decimal("1.2"))
    assert fable.regional_multiplier == Decimal("1.05")


def test_price_file_wins(tmp_path: Path) -> None:
    """
    A model that it names has its rows and no others; the rest stay.
    """
    rows = {
        "checked": None,
        "price": [{"model": "claude-sonnet-5-5", "input": 1.5, "output": 3, "effective": "2026-01-01"}],
    }
    table = load_prices(price_file(tmp_path, json.dumps(rows), "prices.json"))

    assert table.bill(Usage(Tokens(input=MILLION)), "claude-sonnet-5-5", NOW).cost.total_nusd == nusd("1.5")
    assert [row.checked for row in table.rows if row.model == "claude-sonnet-5-5"] == [None]
    assert [line.age_days for line in price_lines(table, NOW) if line.price.model == "claude-sonnet-5-5"] == [None]
    assert table.find("claude-opus-5-5", NOW).state == "exact"


def one_row(**more: Any) -> str:
    """
    A price file of one row, in JSON.
    """
    return json.dumps({"price": [{"model": "m", "input": 1, "output": 2, **more}]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "no list named price"),
        ("{}", "no list named price"),
        ('{"price": []}', "no list named price"),
        ('{"price": {}}', "no list named price"),
        ('{"prices": [], "price": [{}]}', "unknown key prices"),
        ('{"price": [{"model": "a", "input": 1, "output": 1}, 3]}', "price 2 has no model"),
        ('{"price": [{"model": ""}]}', "price 1 has no model"),
        ('{"price": [{"model": "m", "output": 1}]}', r"price 1 \(m\): input is missing"),
        (one_row(output=None), "output is missing"),
        (one_row(output="a lot"), "output is 'a lot', not a number"),
        (one_row(output=True), "output is True, not a number"),
        (one_row(output=[]), r"output is \[\], not a number"),
        (one_row(inptu=1), "unknown key inptu"),
        (one_row(fast=3), "fast is 3, not a table"),
        (one_row(fast={"input": 3}), "fast: output is missing"),
        (one_row(fast={"input": 3, "output": 4, "above_tokens": 1}), "fast: unknown key above_tokens"),
        (one_row(long={"input": 3, "output": 4}), "long: above_tokens is None"),
        (one_row(long={"input": 3, "output": 4, "above_tokens": True}), "long: above_tokens is True"),
        (one_row(long={"input": 3, "output": 4, "above_tokens": 0}), "cannot be right: long"),
        (one_row(effective="soon"), "effective is 'soon', not a day"),
        (one_row(checked=20261007), "checked is 20261007, not a day"),
        (one_row(output=0.5), "cannot be right: standard: output costs less than input"),
        (one_row(cache_write_1h=1e-6), "cannot be right"),
        (one_row(output="NaN"), "output is 'NaN', not a number"),
        (one_row(output="sNaN"), "output is 'sNaN', not a number"),
        (one_row(output="-inf"), "output is '-inf', not a number"),
        (one_row(input="1e9999999"), "input is '1e9999999', not a number"),
        (one_row(input="1e-9999999"), "input is '1e-9999999', not a number"),
        (one_row(input="9e999999999999999999"), "not a number"),
        (one_row(us_multiplier="sNaN"), "us_multiplier is 'sNaN', not a number"),
        (one_row(input="9" * 5_000), "not a number"),
        (one_row(input=0).replace("0", "1E+999999999999999"), "not a number"),
        (one_row(source="x" * 1_100_000), "cannot be read: it is larger than 1,048,576 bytes"),
    ],
)
def test_price_file_with_a_mistake(tmp_path: Path, text: str, message: str) -> None:
    """
    The error names the file, the row and the key.
    """
    path = price_file(tmp_path, text, "prices.json")

    with pytest.raises(ConfigError, match=message) as caught:
        load_prices(path)
    assert str(path) in str(caught.value)


def test_price_file_that_is_no_file(tmp_path: Path) -> None:
    """
    Nor TOML, nor text: it cannot be read, and that is said the same way.
    """
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")

    for name in ("missing.toml", "bytes.toml", "."):
        with pytest.raises(SavemodeError, match="cannot be read"):
            load_prices(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_prices(price_file(tmp_path, "price = ["))


def test_trust_covers_the_whole_of_a_price_file() -> None:
    """
    A file that is read is one that trust has hashed to its end.
    """
    assert prices.MAX_FILE_BYTES <= trust.MAX_FILE_BYTES


def test_a_price_file_that_is_not_there(tmp_path: Path) -> None:
    """
    The cause as people say it, and a way out.
    """
    with pytest.raises(ConfigError) as raised:
        read_price_file(tmp_path / "none.toml")

    assert raised.value.message.endswith("none.toml cannot be read: no such file or directory")
    assert "--price-file" in raised.value.hint
