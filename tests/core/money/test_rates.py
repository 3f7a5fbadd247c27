"""
A row of the price list: which of its rates apply, and which rows are refused.
"""

from decimal import Decimal
from typing import Any

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.money.rates import LongContext, dearest, price_problem, regional_row
from tests.builders import a_price, usd

LONG = usd("0.50 2.50 0.625 1.00 0.05")
FAST = usd("8 40 10 16 0.40")


def test_rates() -> None:
    """
    Long context begins above its threshold; fast mode is the same at any length.
    """
    haiku = a_price("claude-haiku-5-5", "0.10 0.50 0.125 0.20 0.01", long=LongContext(above_tokens=100_000, rates=LONG))
    opus = a_price(fast=FAST)

    assert haiku.rates(100_000, fast=True) == haiku.standard
    assert haiku.rates(100_001) == LONG
    assert opus.rates(10**6) == opus.standard
    assert opus.rates(10**6, fast=True) == FAST


def test_times() -> None:
    """
    Every column is multiplied exactly.
    """
    assert usd("4.4 22 5.5 8.8 0.22") == usd("4 20 5 8 0.20").times(Decimal("1.1"))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rates": "4e-6 20e-6 5e-6 8e-6 0.2e-10"}, "no price"),
    ({"rates": "4000 20000 5000 8000 200"}, "no price"),
    ({"rates": "4 20 5 8 -0.2"}, "no price"),
    ({"rates": "NaN 20 5 8 0.2"}, "no price"),
    ({"rates": "4 20 5 8 4.1"}, "between"),
    ({"rates": "4 20 3 8 0.2"}, "between"),
    ({"rates": "4 20 8 5 0.2"}, "1h write"),
    ({"rates": "4 3 5 8 0.2"}, "output"),
    ({"fast": usd("3 40 10 16 0.4")}, "fast: less"),
    ({"long": LongContext(above_tokens=1, rates=usd("4 19 5 8 0.2"))}, "long: less"),
    ({"long": LongContext(above_tokens=0, rates=usd("4 20 5 8 0.2"))}, "no tokens"),
    ({"web_search_usd_per_1k": Decimal(-1)}, "web searches"),
    ({"us_multiplier": Decimal("0.9")}, "multiplier"),
    ({"regional_multiplier": Decimal("2.1")}, "multiplier"),
]


@pytest.mark.parametrize(("row", "problem"), BAD)
def test_row_that_cannot_be_right(row: dict[str, Any], problem: str) -> None:
    """
    Wrong units, columns and signs are refused when the list is loaded, with the source of the row.
    """
    with pytest.raises(ConfigError, match=f"the test: the price of claude-opus-5-5 cannot be right: .*{problem}"):
        PriceTable([a_price(**row)])


def test_no_problem() -> None:
    """
    A price of zero and a fraction of a cent are allowed.
    """
    assert price_problem(a_price(rates="0 0 0 0 0")) == ""
    assert price_problem(a_price(fast=FAST, us_multiplier=Decimal("1.1"))) == ""


def test_the_dearest_row_is_the_highest_in_each_column() -> None:
    """
    This includes two rows that are highest in different columns.
    """
    low, high = a_price("a", "1 9 1 1 1"), a_price("b", "2 3 4 5 0.1")

    assert dearest([low, high]).standard == usd("2 9 4 5 1")
    assert dearest([low, a_price("c", "0.1 0.1 0.1 0.1 0.1", fast=usd("7 7 7 7 7"))]).fast == usd("7 9 7 7 7")


def test_a_regional_row_multiplies_every_rate() -> None:
    """
    The factor is applied once: the new row has no further factor.
    """
    row = regional_row(a_price("a", "1 2 3 4 5", regional_multiplier=Decimal("1.1")))

    assert row.standard == usd("1.1 2.2 3.3 4.4 5.5")
    assert row.regional_multiplier == row.us_multiplier == 1
