"""
Amounts of money, read and written.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.scales import advise, guard
from savemode_cli.core.money.amounts import MOST_NUSD, amounts, dollars, dollars_apart, exact_usd, parse_usd, usd


@pytest.mark.parametrize(
    ("text", "nusd"),
    [
        ("20", 20_000_000_000),
        (" 0.01 ", 10_000_000),
        ("-5", -5_000_000_000),
        ("+.5", 500_000_000),
        ("5.", 5_000_000_000),
        ("1e-9", 1),
        ("2E1", 20_000_000_000),
        ("0.000000001", 1),
        ("1.000000000000000000000000000000", 1_000_000_000),
        ("9007199.254740991", MOST_NUSD),
        ("9007199.254740992", None),
        ("0.0000000001", None),
        ("123456789012.000000000000000000000000000001", None),
        ("1e99", None),
        ("1e999999999", None),
        ("9" * 5000, None),
        ("NaN", None),
        ("sNaN", None),
        ("Infinity", None),
        ("-inf", None),
        ("", None),
        ("$5", None),
        ("1,5", None),
        ("1_000", None),
        ("٣", None),
        ("5 USD", None),
        (None, None),
    ],
)
def test_parse_usd(text: str | None, nusd: int | None) -> None:
    """
    A decimal amount is read exactly or not at all.
    """
    assert nusd == parse_usd(text)


@pytest.mark.parametrize(
    ("nusd", "text", "for_people"),
    [
        (0, "0.00", "$0.0000"),
        (1, "0.00", "<$0.0001"),
        (99_999, "0.00", "<$0.0001"),
        (100_000, "0.00", "$0.0001"),
        (9_999_999, "0.00", "$0.0099"),
        (13_200_000, "0.01", "$0.0132"),
        (500_000_000, "0.50", "$0.5000"),
        (19_999_999_999, "19.99", "$19.9999"),
        (20_000_000_000, "20.00", "$20.0000"),
        (1_234_567_890_123, "1234.56", "$1,234.5678"),
        (MOST_NUSD, "9007199.25", "$9,007,199.2547"),
        (-1, "-0.01", "-<$0.0001"),
        (-1_500_000, "-0.01", "-$0.0015"),
        (-5_000_000_000, "-5.00", "-$5.0000"),
    ],
)
def test_amounts_are_written_rounded_down(nusd: int, text: str, for_people: str) -> None:
    """
    Headers have two decimals and people see four. Neither promises more than there is, and a small amount is not shown
    as zero.
    """
    assert (text, for_people) == (usd(nusd), dollars(nusd))


def test_amounts() -> None:
    """
    Machines get the integer and the same amount as text; an unknown amount is null in both.
    """
    assert amounts(spent=17_509_999_999, left=None) == {
        "spent_nusd": 17_509_999_999,
        "spent_usd": "17.509999999",
        "left_nusd": None,
        "left_usd": None,
    }


@given(st.integers(0, MOST_NUSD))
def test_machines_get_the_exact_amount(nusd: int) -> None:
    """
    The text for machines parses back to the same integer. The text for people is less than $0.0001 below it.
    """
    assert parse_usd(exact_usd(nusd)) == nusd

    text = dollars(nusd)
    shown = 0 if text == "<$0.0001" else parse_usd(text.removeprefix("$").replace(",", ""))
    assert shown is not None
    assert nusd - 100_000 < shown <= nusd


@given(st.lists(st.integers(-MOST_NUSD, MOST_NUSD), min_size=1))
def test_amounts_in_a_column_line_up_at_the_point(nusd: list[int]) -> None:
    """
    Each amount has exactly four digits after the point.
    """
    assert {len(dollars(amount).partition(".")[2]) for amount in nusd} == {4}


def test_the_smallest_budget_is_one() -> None:
    """
    A budget of one nano-dollar is a limit. Zero and negative amounts are not.
    """
    assert (guard(1, 0).status, guard(1, 1).status) == ("ok", "exceeded")
    assert (guard(1, 0).remaining_nusd, guard(1, 1).remaining_nusd) == (1, 0)
    assert (guard(0, 0).status, guard(-1, 0).status) == (None, None)
    assert (advise(1, 0).state, advise(1, 1).state) == ("ok", "blocked")
    assert (advise(0, 0).state, advise(-1, 0).state) == ("disabled", "disabled")


@pytest.mark.parametrize(
    ("nusd", "texts"),
    [
        pytest.param((20_000_000_000, 1_500_000_000), ("$20.0000", "$1.5000"), id="four decimals"),
        pytest.param(
            (5_000_000_000, 5_000_000_000, 0), ("$5.0000", "$5.0000", "$0.0000"), id="equal amounts and nothing"
        ),
        pytest.param((50_000, 90_000), ("$0.00005", "$0.00009"), id="below the fourth decimal"),
        pytest.param((1, 2), ("$0.000000001", "$0.000000002"), id="nano-dollars"),
        pytest.param((150_000_000, 150_030_000), ("$0.15000", "$0.15003"), id="alike in four decimals"),
        pytest.param((0, 10_000), ("$0.00000", "$0.00001"), id="something is not nothing"),
        pytest.param((-150_030_000, 1_234_000_000_000), ("-$0.1500", "$1,234.0000"), id="a negative one"),
    ],
)
def test_amounts_in_a_sentence_are_told_apart(nusd: tuple[int, ...], texts: tuple[str, ...]) -> None:
    """
    No amount other than 0 is shown as 0, and two different amounts are never shown alike.
    """
    assert dollars_apart(*nusd) == texts


@given(st.lists(st.integers(0, MOST_NUSD), min_size=2, max_size=3))
def test_texts_are_equal_exactly_if_the_amounts_are(nusd: list[int]) -> None:
    """
    This is true for all amounts.
    """
    texts = dollars_apart(*nusd)

    assert len(set(texts)) == len(set(nusd))
    assert all(text.strip("$0.") for text, amount in zip(texts, nusd, strict=True) if amount)
