"""
Answers that are remembered for the texts that come again and again: paths, names of models, addresses.

Rule of this file: what is remembered is bounded, by the number of texts and by the length of each.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

MOST = 512
LONGEST = 400


def remembered(read: Callable[[str], T]) -> Callable[[str], T]:
    """
    A function that remembers the answers of another one, for the `MOST` texts that were asked last. A text of more than
    `LONGEST` characters is asked anew each time, and so is one for which an error is raised.

    Args:
        read: gives the same answer to the same text, and one that nobody changes.
    """
    kept = lru_cache(MOST)(read)

    def ask(text: str) -> T:
        return kept(text) if len(text) <= LONGEST else read(text)

    return ask
