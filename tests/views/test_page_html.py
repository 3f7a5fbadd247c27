"""
Pieces of HTML.
"""

from savemode_cli.views.page_html import clock, money, section, table, text


def test_amounts() -> None:
    """
    Whole cents, rounded down; all digits are there.
    """
    assert ">$1,234.56<" in money(1_234_569_999_999)
    assert ">$0.0012<" in money(1_200_000)
    assert 'data-nusd="1234569999999"' in money(1_234_569_999_999)


def test_text_of_others_is_escaped() -> None:
    """
    Control characters are made visible too.
    """
    assert "<" not in text("<script>\x1b[2J")
    assert "\x1b" not in text("\x1b")
    assert clock(None) == "-"


def test_parts_have_names() -> None:
    """
    A table can be reached with the keyboard, and a part is named by its heading.
    """
    found = "".join(section("x", "Title", table("t", ("a", "b"), [("1", "2")]), "note"))

    assert 'aria-labelledby="x-title"' in found
    assert 'tabindex="0" role="region" aria-label="t"' in found
    assert '<tr><th scope="row">1</th><td>2</td></tr>' in found
