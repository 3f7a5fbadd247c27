"""
One function decides what may reach a terminal; its forms for one line, several, coloured ones, and JSON.
"""

import json
import unicodedata
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.views.printable import printable, printable_ansi, printable_json, printable_lines, without_colours
from tests.support.planted import CONTROLS, HIDDEN, PLANT

COLOURS = ("red", "green", "yellow", "cyan")
texts = st.text(st.characters()) | st.text(st.sampled_from("a\x1b[0123;m\n\r\t\u202e\ud800\u2028é"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünï ☃ 漢字", "plain ünï ☃ 漢字"),
        ("a\n   b\r\nc\td", "a b c d"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202eabc", "\\u202eabc"),
        ("\u2066abc\u2069", "\\u2066abc\\u2069"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """
    Letters of any script stay; what steers a terminal does not.
    """
    assert printable(text) == expected


@pytest.mark.parametrize("one", CONTROLS + HIDDEN)
def test_every_control_becomes_visible(one: str) -> None:
    """
    C0, DEL, C1, bidirectional controls, separators, zero-width characters: in each form, alone and between letters.
    """
    for form in (printable, printable_ansi, printable_json, printable_lines):
        assert form(f"a{one}b").replace("\n", "").isprintable()
    assert one in "\t\n\r" or len(printable(one)) >= 4
    assert json.loads(printable_json(json.dumps(f"a{one}b", ensure_ascii=False))) == f"a{one}b"


@given(texts)
def test_nothing_else_is_let_through(text: str) -> None:
    """
    Of any text: one line is printable, several are but for their line ends, and neither form has more lines than it says.
    """
    assert printable(text).isprintable()
    assert printable_lines(text).replace("\n", "").isprintable()
    assert printable_lines(text).count("\n") == text.count("\n")


@given(texts)
def test_printable_text_stays(text: str) -> None:
    """
    What is printable is not changed, and what was made printable is not changed again.
    """
    shown = printable(text)
    assert shown == text or not text.isprintable()
    assert (printable(shown), printable_lines(shown), printable_ansi(shown)) == (shown, shown, shown)


@given(texts)
def test_json_keeps_its_meaning(text: str) -> None:
    """
    However it was written, indented or in one line, in ASCII or not.
    """
    value = {text: [text, 1, None]}
    for written in (
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        json.dumps(value, ensure_ascii=False, indent=2),
    ):
        shown = printable_json(written)
        assert json.loads(shown) == value
        assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("style", [{"dim": True}, {"bold": True}, *({"fg": name} for name in COLOURS)], ids=str)
def test_own_colours_pass(style: dict[str, Any]) -> None:
    """
    Each that screens have, and the text in it is as any other.
    """
    coloured = typer.style("a\x1b[2Jb", **style)

    assert printable_ansi(coloured) == typer.style("a\\x1b[2Jb", **style)
    assert without_colours(coloured) == "a\x1b[2Jb"


@pytest.mark.parametrize(
    "sequence", ["\x1b[8m", "\x1b[38;5;0m", "\x1b[1;31m", "\x1b[2J", "\x1b[0;31m", "\x1b]8;;x\x07", "\x1b"]
)
def test_no_other_sequence_passes(sequence: str) -> None:
    """
    Text must not be hidden, links must not be made, and the screen must not be cleared.
    """
    assert "\x1b" not in printable_ansi(f"a{sequence}b")


def test_categories() -> None:
    """
    Over all of Unicode: what is not a letter, mark, number, punctuation, symbol or the space is made visible.
    """
    every = map(chr, range(0x110000))
    passed = {unicodedata.category(one)[0] for one in every if printable_lines(one) == one and one not in "\n "}

    assert passed == {"L", "M", "N", "P", "S"}
    assert unprintable_in(PLANT) > 60


def unprintable_in(text: str) -> int:
    """
    How many different characters of a text are not printable.
    """
    return len({one for one in text if not one.isprintable()})
