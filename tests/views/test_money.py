"""
Amounts, shares and spans, as screens write them.
"""

from datetime import timedelta

import pytest

from savemode_cli.views.money import amount, exact, percent, span

USD = 10**9


@pytest.mark.parametrize(
    ("nusd", "text"),
    [
        (None, "-"),
        (0, "$0.00"),
        (17_509_999_999, "$17.50"),
        (132_456_789, "$0.132456789"),
        (9_999_999, "$0.009999999"),
        (1, "$0.000000001"),
        (-5 * USD, "-$5.00"),
    ],
)
def test_amount(nusd: int | None, text: str) -> None:
    """
    As everywhere: two decimals, rounded down; below a dollar all there are.
    """
    assert amount(nusd) == text


@pytest.mark.parametrize(
    ("nusd", "text"),
    [(13_999_999_999, "$13.999999999"), (14 * USD, "$14.00"), (4_590_000_000, "$4.59"), (-1, "-$0.000000001")],
)
def test_exact(nusd: int, text: str) -> None:
    """
    Nothing is left out.
    """
    assert exact(nusd) == text


@pytest.mark.parametrize(("permille", "text"), [(None, "-"), (0, "0.0 %"), (875, "87.5 %"), (1250, "125.0 %")])
def test_percent(permille: int | None, text: str) -> None:
    """
    One decimal.
    """
    assert percent(permille) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=2, minutes=10, seconds=59), "2 h 10 min"),
        (timedelta(days=6, hours=7, minutes=59), "6 d 7 h"),
    ],
)
def test_span(length: timedelta, text: str) -> None:
    """
    Two units are enough.
    """
    assert span(length) == text
