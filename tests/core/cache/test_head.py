"""
The head that other sessions keep in the cache: one rule for receipts and replay.
"""

import pytest

from savemode_cli.core.cache.head import head_tokens


@pytest.mark.parametrize(
    ("known", "read", "own", "head"),
    [
        pytest.param(0, 20_000, 0, 20_000, id="a first request reads what others wrote"),
        pytest.param(20_000, 100_000, 100_000, 20_000, id="kept while the own entries live"),
        pytest.param(20_000, 110_000, 100_000, 30_000, id="others added to it"),
        pytest.param(20_000, 0, 0, 0, id="after an expiry nothing was there"),
        pytest.param(20_000, 15_000, 0, 15_000, id="after an expiry less was there"),
    ],
)
def test_the_head(known: int, read: int, own: int, head: int) -> None:
    """
    The head is what the own entries cannot explain, else what was known before.
    """
    assert head_tokens(known, read, own) == head
