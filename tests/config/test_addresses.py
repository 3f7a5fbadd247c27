"""
The checks of addresses.
"""

import pytest

from savemode_cli.config import addresses


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://host", "https://host"),
        ("https://host/v1", "https://host"),
        ("https://host/v1/", "https://host"),
        ("https://host/v1/v1", "https://host"),
        ("https://host/v1/messages", "https://host"),
        ("https://host/api/v1", "https://host/api"),
        ("https://host/anthropic", "https://host/anthropic"),
        ("https://host/v1/account/anthropic", "https://host/v1/account/anthropic"),
        ("https://host/api/xv1", "https://host/api/xv1"),
        ("https://v1", "https://v1"),
        ("https://v1/v1", "https://v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
        (" Simulated ", "simulated"),
    ],
)
def test_upstream(given: str, taken: str) -> None:
    """
    What is forwarded brings its own /v1, so one at the end of the upstream's address is not kept.
    """
    assert addresses.upstream(given) == taken
