"""
The picture of a spend, cell by cell.
"""

import pytest

from savemode_cli.views.plot import Curve, Mark, bar, curves, plain, plot

USD = 10**9


def test_plot() -> None:
    """
    Top is 9/8 of the cap: $9 in ten rows of 90 cents. $4 fill 4 rows and 3.55 eighths of the next; $8 fill 8 and 7.1.
    """
    lines = plot(
        [0, 4 * USD, 8 * USD], [0, 4 * USD, 9 * USD], [Mark(8 * USD, "cap"), Mark(2 * USD, "25 %")], 5, ("a", "b")
    )

    assert lines == [
        "          │  ·",
        "    $8.00 │┄┄▇┄┄ cap",
        "          │  █",
        "          │  █",
        "          │  █",
        "          │ ▃█",
        "          │ ██",
        "    $2.00 │┄██┄┄ 25 %",
        "          │ ██",
        "          │ ██",
        "       $0 └─────",
        "           a   b",
    ]


def test_ascii() -> None:
    """
    For terminals that know no more.
    """
    text = "\n".join(plot([USD], [2 * USD], [Mark(USD, "cap")], 60, ("a", "b"), unicode=False))

    assert text.isascii()
    assert "cap" in text


def test_width() -> None:
    """
    Sixty columns and the labels fit, whatever the amounts.
    """
    marks = [Mark(2**53 - 1, "cap"), Mark(1, "70.25 %")]
    lines = plot([2**53] * 60, [2**54] * 60, marks, 60, ("2026-11-01", "2026-12-01"))

    assert max(map(len, lines)) <= 80
    assert any("$9007199 " in line for line in lines)


def test_far_beyond() -> None:
    """
    A trace that costs a hundred times the cap does not flatten the picture: the cap stays in sight.
    """
    lines = plot([USD] * 3, [100 * USD] * 3, [Mark(USD, "cap")], 3, ("a", "b"))

    assert [number for number, line in enumerate(lines) if line.endswith("cap")] == [3]
    assert not any("·" in line for line in lines)


def test_curves_side_by_side() -> None:
    """
    Each by its own character; where they meet the first one is seen; names stand at their ends.
    """
    lines = curves([Curve([0, 5 * USD, 10 * USD], "r", "one"), Curve([0, 5 * USD, 5 * USD], "1", "two")], 3, ("a", "b"))

    assert lines[0] == "   $10.00 │  r r"
    assert lines[4] == "          │ r1 1"
    assert lines[9] == "          │r"
    assert lines[10] == "       $0 └───"
    assert lines[11].split() == ["a", "b"]
    assert all(line.isascii() for line in plain(lines))


def test_curves_of_nothing() -> None:
    """
    Lie on the ground.
    """
    assert curves([Curve([0], "r", "one")], 1, ("a", ""))[9] == "          │r r"


@pytest.mark.parametrize(
    ("value", "drawn"), [(0, ""), (-1, ""), (8, "████"), (4, "██"), (3, "█▌"), (1, "▌"), (10_000, "█" * 5000)]
)
def test_bars(value: int, drawn: str) -> None:
    """
    In eighths of a character.
    """
    assert bar(value, 8, 4) == drawn


def test_the_least_bar_is_seen() -> None:
    """
    One of a million is not none.
    """
    assert bar(1, 1_000_000, 10) == "▏"
    assert bar(1, 0, 10) == ""
