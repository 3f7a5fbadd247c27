"""
Prices as a table; the commands' tests have the figures of the price page.
"""

from datetime import date
from decimal import Decimal

import pytest

from savemode_cli.views.prices import page, plain, show
from tests.builders import a_price
from tests.support.drawn import drawn


@pytest.mark.parametrize(
    ("value", "printed", "digits"),
    [("4", "4.00", "4"), ("0.20", "0.20", "0.2"), ("0.125", "0.125", "0.125"), ("1E+2", "100.00", "100")],
)
def test_numbers(value: str, printed: str, digits: str) -> None:
    """
    Two decimals or more for people, the digits that count for machines.
    """
    assert (page(Decimal(value)), plain(Decimal(value))) == (printed, digits)


def test_table() -> None:
    """
    A source is named once; ages differ, and so do the references; control characters of a file are escaped.
    """
    rows = [(a_price(), 2), (a_price("b"), 2), (a_price("c\x1b[31m"), None)]
    text = drawn(show, rows)

    assert text.splitlines()[1:] == [
        "model              in    out  5m write  1h write  read  age  source",
        "claude-opus-5-5  4.00  20.00      5.00      8.00  0.20  2 d  [1]",
        "b                4.00  20.00      5.00      8.00  0.20  2 d  [1]",
        "c\\x1b[31m        4.00  20.00      5.00      8.00  0.20    -  [2]",
        "",
        "[1] the test, checked 2 days ago",
        "[2] the test, last checked: unknown",
        "one model with its surcharges: savemode prices MODEL; your own: --price-file",
    ]


def test_long_names() -> None:
    """
    A deployment's name may be as long as it likes: the table keeps its 80 columns.
    """
    assert "since 2026-10-07" in drawn(show, [(a_price("x" * 200, effective=date(2026, 10, 7)), 1)], asked="y" * 50)
