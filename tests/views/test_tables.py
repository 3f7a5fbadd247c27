"""
Tables that fit the screen.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.views.tables import Column, Sheet, right
from tests.support.drawn import drawn


def a_sheet(name: str = "default") -> Sheet:
    """
    Three columns of which the last may be left out.
    """
    sheet = Sheet(Column("budget", wraps=True), right("spent"), right("share", rank=1))
    sheet.add(name, "$1.0000", "5.0 %")
    sheet.add("team", "$1,234.0000", "61.2 %", style="bold")
    return sheet


def test_table() -> None:
    """
    Numbers are flush right, so that the points of amounts stand below each other; no blank ends a line.
    """
    assert drawn(a_sheet().show).splitlines() == [
        "budget         spent   share",
        "default      $1.0000   5.0 %",
        "team     $1,234.0000  61.2 %",
    ]


def test_least_important_column_is_left_out() -> None:
    """
    Where it is narrow.
    """
    assert drawn(a_sheet().show, width=20).splitlines() == [
        "budget         spent",
        "default      $1.0000",
        "team     $1,234.0000",
    ]


def test_rows_become_blocks() -> None:
    """
    Where there is not even room for the important columns.
    """
    assert drawn(a_sheet().show, width=19).splitlines() == [
        "budget default",
        "  spent      $1.0000",
        "  share        5.0 %",
        "budget team",
        "  spent  $1,234.0000",
        "  share       61.2 %",
    ]


def test_names_wrap_between_words() -> None:
    """
    A column of names takes several lines before a column is left out; a very long word is folded.
    """
    sheet = a_sheet("team of the second floor")

    assert drawn(sheet.show, width=34).splitlines()[1:3] == [
        "team of the        $1.0000   5.0 %",
        "second floor",
    ]
    assert drawn(a_sheet("n" * 64).show).splitlines()[1:3] == ["n" * 59 + "      $1.0000   5.0 %", "n" * 5]


@pytest.mark.parametrize(("width", "session"), [(80, "0123456789abcdef"), (21, "0123456789a…"), (18, "01234567…")])
def test_cell_that_may_be_cut_takes_the_room_there_is(width: int, session: str) -> None:
    """
    Down to the width that it needs to be of use.
    """
    sheet = Sheet(right("cost"), Column("session", shortest=9))
    sheet.add("$1.0000", "0123456789abcdef")

    assert drawn(sheet.show, width=width).splitlines()[1] == f"$1.0000  {session}"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@given(st.lists(st.tuples(st.text("ab ", max_size=30), st.integers(0, 10**7), st.integers(0, 10**9)), max_size=4))
def test_no_amount_is_cut_or_folded(width: int, rows: list[tuple[str, int, int]]) -> None:
    """
    Whatever the names and the width.
    """
    sheet = Sheet(Column("name", wraps=True), right("one"), right("two", rank=1), right("three"))
    for name, one, two in rows:
        sheet.add(name, f"${one}.0001", f"${two}.0002", f"${one}.0003")
    words = drawn(sheet.show, width=width).split()

    assert [word for word in words if word.endswith(".0001")] == [f"${one}.0001" for _, one, _ in rows]
    assert [word for word in words if word.endswith(".0003")] == [f"${one}.0003" for _, one, _ in rows]
