"""
Two prompts side by side.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.diagnosis.difference import SAME, compare
from tests.support.mutations import conversation
from tests.support.prompts import assistant, fingerprinted, text, user


def test_a_prompt_that_grew() -> None:
    """
    The later prompt begins with the whole earlier one.
    """
    earlier, later = fingerprinted(conversation(2)), fingerprinted(conversation(3))
    found = compare(earlier, later)

    assert (found.change, found.level, found.shared) == (None, SAME, earlier.blocks)
    assert found.same_conversation
    assert sum(found.kept) == sum(earlier.tokens())


def test_a_prompt_that_was_cut() -> None:
    """
    Its end was removed.
    """
    found = compare(fingerprinted(conversation(3)), fingerprinted(conversation(2)))
    assert found.change is not None
    assert (found.change.kind, found.change.path[:2]) == ("removed", ("messages", 5))


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12)


@given(WORDS, WORDS)
def test_any_two_prompts(olds: list[str], news: list[str]) -> None:
    """
    What is shared is kept, nothing is kept that was not there, and the first difference is where the sharing ends.
    """
    earlier, later = (fingerprinted({"messages": [user(*(text(word) for word in words))]}) for words in (olds, news))
    found = compare(earlier, later)
    shared = next((at for at, (old, new) in enumerate(zip(olds, news, strict=False)) if old != new), None)

    assert found.shared == (min(len(olds), len(news)) if shared is None else shared)
    assert (found.change is None) == (found.shared == len(olds))
    assert all(0 <= kept <= tokens for kept, tokens in zip(found.kept, earlier.tokens(), strict=True))
    assert all(kept == tokens for kept, tokens in list(zip(found.kept, earlier.tokens(), strict=True))[: found.shared])


@pytest.mark.parametrize(
    ("olds", "news", "kind", "at"),
    [
        ("abcd", "xabcd", "inserted", 0),
        ("abcd", "bcd", "removed", 0),
        ("abcd", "axcd", "edited", 1),
        ("abcd", "bacd", "reordered", 0),
        ("abcd", "abc", "removed", 3),
    ],
)
def test_kinds_of_change(olds: str, news: str, kind: str, at: int) -> None:
    """
    The reading that lines up most of what follows.
    """
    earlier, later = (
        fingerprinted({"messages": [user(text("Begin.")), assistant(*(text(word * 9) for word in words))]})
        for words in (olds, news)
    )
    change = compare(earlier, later).change

    assert change is not None
    assert (change.kind, change.path[:4]) == (kind, ("messages", 1, "content", at))
