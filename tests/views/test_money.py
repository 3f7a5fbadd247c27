"""
Amounts, shares and spans, as screens write them.
"""

from datetime import timedelta

import pytest

from savemode_cli.views.money import amount, percent, saved, signed, span

USD = 10**9


@pytest.mark.parametrize(("nusd", "text"), [(None, "-"), (0, "$0.0000"), (-5 * USD, "-$5.0000")])
def test_amount(nusd: int | None, text: str) -> None:
    """
    Four decimals, or a dash where nothing is known.
    """
    assert amount(nusd) == text


@pytest.mark.parametrize(
    ("nusd", "text"), [(0, "$0.0000"), (96_570_000, "+$0.0965"), (-157_231_800, "-$0.1572"), (1, "+<$0.0001")]
)
def test_signed(nusd: int, text: str) -> None:
    """
    A sign says whether it is more or less.
    """
    assert signed(nusd) == text


@pytest.mark.parametrize(
    ("difference_nusd", "text"),
    [(0, "saved nothing"), (-3_100_000_000, "saved $3.1000"), (420_000_000, "lost $0.4200"), (-1, "saved <$0.0001")],
)
def test_saved(difference_nusd: int, text: str) -> None:
    """
    A loss is said as plainly as a saving.
    """
    assert saved(difference_nusd) == text


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
