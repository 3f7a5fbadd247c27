"""
Columns line up, amounts have four decimals, and no line ends with a blank.
"""

import pytest

from savemode_cli.views.aligned import Cell, aligned, money, signed_money


@pytest.mark.parametrize(
    ("nusd", "text", "signed"),
    [
        (0, "$0.0000", "$0.0000"),
        (49_999, "$0.0000", "$0.0000"),
        (50_000, "$0.0001", "+$0.0001"),
        (-49_999, "$0.0000", "$0.0000"),
        (-50_000, "-$0.0001", "-$0.0001"),
        (1_234_567_890_123, "$1,234.5679", "+$1,234.5679"),
    ],
)
def test_amounts_for_people(nusd: int, text: str, signed: str) -> None:
    """
    Rounded to the nearest, half away from zero. Nothing has no sign.
    """
    assert (money(nusd), signed_money(nusd)) == (text, signed)


def test_columns_line_up() -> None:
    """
    At their end where that is asked for. A short row is only short.
    """
    lines = aligned([("a", "1", "x"), ("bcd", Cell("23", "red"), ""), ("e",)], right=(1,))

    assert [line.plain for line in lines] == ["  a     1  x", "  bcd  23", "  e"]
    assert [span.style for span in lines[1].spans] == ["red"]


def test_an_empty_table_has_no_lines() -> None:
    """
    No row, no width.
    """
    assert aligned([]) == []
