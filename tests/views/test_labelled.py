"""
Lines with a label before them.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.views.labelled import broken, labelled
from savemode_cli.views.printable import without_colours


def lines(label: str, text: str, width: int = 24, colour: str = "") -> list[str]:
    """
    The lines, without colours.
    """
    return [without_colours(line) for line in labelled(label, text, width, colour)]


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("cost", "$1.0000", ["  cost      $1.0000"]),
        ("cost", "$1.0000 for all calls", ["  cost      $1.0000 for", "            all calls"]),
        ("", "more", ["            more"]),
        ("a label that is long", "x", ["  a label that is long x"]),
        ("hint", "see http://127.0.0.1:8787/-/clock", ["  hint      see", "            http://127.0.0.1:8787/-/clock"]),
    ],
)
def test_lines(label: str, text: str, expected: list[str]) -> None:
    """
    The label stands once, further lines begin below the text, and a URL stays in one piece.
    """
    assert lines(label, text) == expected


def test_colour() -> None:
    """
    Each line has the colour of the text, and ends without it.
    """
    first, second = labelled("", "one two", 15, "green")

    assert (first, second) == ("            \x1b[32mone\x1b[0m", "            \x1b[32mtwo\x1b[0m")


@given(st.text("ab  ", max_size=60), st.integers(1, 30))
def test_no_word_is_lost_or_broken(text: str, width: int) -> None:
    """
    Whatever the width; and only a word that is too wide makes a line too wide.
    """
    parts = list(broken(text, width))

    assert [word for part in parts for word in part.split()] == text.split()
    assert all(len(part.strip()) <= width or len(part.split()) == 1 for part in parts)
