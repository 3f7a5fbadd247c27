"""
Outlines: what a block says, apart from how it is written.
"""

from typing import Any

import pytest

from savemode_cli.core.cache.blocks import read_blocks
from savemode_cli.core.diagnosis.outline import edges, form_outline, text_outline
from tests.support.prompts import blocks_of, call, result, text, user


def outline(block: dict[str, Any]) -> int:
    """
    The outline of a block in a message.
    """
    blocks = blocks_of(messages=[user(block)]).blocks
    return form_outline(blocks[-1], blocks[:-1])


def head(words: str) -> int:
    """
    The outline of a text in the system prompt.
    """
    return text_outline(blocks_of(system=[text(words)]).blocks[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It is 2026-11-24 12:00:01.", "It is 2026-11-25 07:31:44."),
        ("Today is Tuesday, 24 November 2026.", "Today is Wed, 1 Dec 2027."),
        ("Session 3f2c9a1e-77aa-4b0c-9d1e-0123456789ab.", "Session 0c2c9a1e-77aa-4b0c-9d1e-fedcba987654."),
        ("You have 1,204 tokens left.", "You have 9,871 tokens left."),
        ("log_SATURDAY_3mar.txt", "log_fri_17September.txt"),
        ("request deadbeef-cafe", "request 0123456789AB"),
    ],
)
def test_numbers_dates_and_ids_do_not_count_in_a_text(one: str, other: str) -> None:
    """
    They change by themselves, so a text that differs in nothing else is the same text at another time.
    """
    assert head(one) == head(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Be good.", "Be bad."),
        ("march on", "walk on"),
        ("Monday", "Moonday"),
        ("a mayor", "a junior"),
        ("decaf", "facade"),
        ("Good", "good"),
    ],
)
def test_words_count_in_a_text(one: str, other: str) -> None:
    """
    A word that contains the name of a month or a day is a word.
    """
    assert head(one) != head(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (call("a"), {**call("a"), "input": {"limit": 1, "path": "a"}}),
        (result("a", "two  words\n"), result("a", "two words")),
        (result("a", '{"a": 1, "b": [2]}'), result("a", '{"b":[2],"a":1}')),
        (result("a", "words"), result("a", [text("words")])),
        (result("a", "one two"), result("a", [text("one"), text("two")])),
    ],
)
def test_the_form_does_not_count_elsewhere(one: dict[str, Any], other: dict[str, Any]) -> None:
    """
    The same words with other whitespace, in another order of keys, or as a block and not a string.
    """
    assert outline(one) == outline(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (call("a"), {**call("a"), "input": {"limit": 2, "path": "a"}}),
        (result("a", "words"), result("b", "words")),
        (result("a", "at 12:00"), result("a", "at 12:01")),
        (result("a", '{"a": 1}'), result("a", '{"a": 2}')),
        (result("a", "words"), result("a", "words", is_error=True)),
    ],
)
def test_the_words_count_elsewhere(one: dict[str, Any], other: dict[str, Any]) -> None:
    """
    A tool's result that says something else is edited, not re-rendered.
    """
    assert outline(one) != outline(other)


def test_edges_of_a_long_text() -> None:
    """
    A text that was edited in its middle, or at one end, still has the other end.
    """
    words = "Read the whole of it before you answer. " * 40
    found = {
        name: edges(blocks_of(system=[text(changed)]).blocks[0])
        for name, changed in (("plain", words), ("end", words + "!"), ("start", "!" + words), ("short", "short"))
    }
    plain, end, start = found["plain"], found["end"], found["start"]

    assert plain
    assert end
    assert start
    assert found["short"] is None
    assert (plain[0] == end[0], plain[1] == end[1]) == (True, False)
    assert (plain[0] == start[0], plain[1] == start[1]) == (False, True)


@pytest.mark.parametrize("words", ['{"a": 1e999}', "[[[[", "[" * 5000, '{"a": "\\ud800"}', "", " "])
def test_what_cannot_be_read_has_an_outline_too(words: str) -> None:
    """
    Content is anybody's: no form of it is an error.
    """
    assert outline(result("a", words)) == outline(result("a", f" {words}\n"))


def test_a_text_that_is_not_utf_8_has_an_outline() -> None:
    """
    The API refuses such a body, and what is computed of it must not fail.
    """
    said = b'{"model":"m","messages":[{"role":"user","content":[{"type":"%b"}]}]}'
    blocks = [
        read_blocks(said % inner).blocks[-1]
        for inner in (b'text","text":"a\xff', b'tool_use","name":"a\xff","input":{},"content":"a\xff')
    ]

    assert text_outline(blocks[0])
    assert form_outline(blocks[1])
