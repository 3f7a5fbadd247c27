"""
Answers that are remembered, and how many of them.
"""

import pytest

from savemode_cli.core.remembered import LONGEST, MOST, remembered


class Reading:
    """
    Counts how often it is asked.
    """

    def __init__(self) -> None:
        """
        Not asked yet.
        """
        self.asked: list[str] = []
        self.read = remembered(self._read)

    def _read(self, text: str) -> str:
        self.asked.append(text)
        if text == "wrong":
            raise ValueError(text)
        return text.upper()


def test_a_text_is_read_once() -> None:
    """
    Its answer is the same each time.
    """
    reading = Reading()

    assert [reading.read(text) for text in ("a", "b", "a", "b")] == ["A", "B", "A", "B"]
    assert reading.asked == ["a", "b"]


def test_a_long_text_is_not_kept() -> None:
    """
    One that is a character longer than the longest is read each time.
    """
    reading = Reading()
    kept, not_kept = "k" * LONGEST, "n" * (LONGEST + 1)
    for _ in range(2):
        reading.read(kept)
        reading.read(not_kept)

    assert reading.asked == [kept, not_kept, not_kept]


def test_the_texts_asked_last_are_kept() -> None:
    """
    Many other texts make it forget the first ones.
    """
    reading = Reading()
    for number in range(MOST + 1):
        reading.read(str(number))
    reading.read(str(MOST))
    reading.read("0")

    assert reading.asked[MOST:] == [str(MOST), "0"]


def test_an_error_is_raised_each_time() -> None:
    """
    It is no answer.
    """
    reading = Reading()
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            reading.read("wrong")

    assert reading.asked == ["wrong", "wrong"]
