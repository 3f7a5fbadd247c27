"""
How long the API keeps what it caches.
"""

from datetime import timedelta

from savemode_cli.core.cache.lifetimes import GRACE, LIFETIMES


def test_lifetimes() -> None:
    """
    The times are as documented, and the grace is small compared with them.
    """
    assert {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)} == LIFETIMES
    assert timedelta() < GRACE < LIFETIMES["5m"] / 10
