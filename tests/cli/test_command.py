"""
The command line of a command: empty words, options without a value, and negative amounts.
"""

import pytest

from savemode_cli.cli.command import empty_word, own_words, with_value


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--capture"], ["--capture=true"]),
        (["--capture", "--port", "1"], ["--capture=true", "--port", "1"]),
        (["--capture", "dir", "--port", "1"], ["--capture", "dir", "--port", "1"]),
        (["--capture=dir"], ["--capture=dir"]),
        (["--capture", "--", "claude"], ["--capture=true", "--", "claude"]),
        (["--port", "--capture", "--capture"], ["--port", "--capture", "--capture=true"]),
        (["claude", "--capture"], ["claude", "--capture"]),
        (["--", "claude", "--capture"], ["--", "claude", "--capture"]),
        (["--port"], ["--port"]),
        ([], []),
    ],
)
def test_option_may_stand_without_its_value(words: list[str], expected: list[str]) -> None:
    """
    The value is put in where the next word is an option or none; the words of a command behind it are not touched.
    """
    assert with_value(words, "--capture", "true", {"--port", "--capture"}) == expected


@pytest.mark.parametrize(
    ("words", "empty"),
    [
        ([], None),
        (["--session", "s", "path"], None),
        (["--flag", "NAME="], None),
        (["--flag=NAME="], None),
        (["-"], None),
        (["--session", ""], "--session"),
        (["--session", "  ", "path"], "--session"),
        (["--session="], "--session"),
        (["-m", ""], "-m"),
        (["path", ""], "an argument"),
        ([""], "an argument"),
        (["--", ""], "an argument"),
    ],
)
def test_an_empty_word_is_found(words: list[str], empty: str | None) -> None:
    """
    The value of an unset shell variable: it is named by its option.
    """
    assert empty_word(words) == empty


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], 0),
        (["--port", "1", "claude", "--port"], 2),
        (["--quiet", "claude"], 1),
        (["--port=1", "--", "claude"], 1),
        (["claude", ""], 0),
        (["--port"], 1),
    ],
)
def test_where_the_words_of_a_command_begin(words: list[str], count: int) -> None:
    """
    Behind the last option of ours and its value.
    """
    assert own_words(words, {"--port"}) == count
