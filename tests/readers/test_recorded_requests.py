"""
The requests that a transcript records by the hashes of their parts.
"""

from typing import Any

import pytest

from savemode_cli.readers.recorded_requests import message_hash


@pytest.mark.parametrize("content", ["Hi.", [{"type": "text", "text": "Hi.", "cache_control": {"type": "ephemeral"}}]])
def test_the_hash_of_a_message(content: Any) -> None:
    """
    A string is a block of text, a breakpoint is not content, and the order of keys does not matter. The hash equals the
    client's.
    """
    message = {"content": content, "role": "user"}

    assert message_hash(message) == "e593a35adbd72bc94714edd13e7c6723374bf98972b42d6a97b5b318689baf58"
