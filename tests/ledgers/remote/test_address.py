"""
The address of a ledger on a server.
"""

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.ledgers.remote.address import parse_address


def test_parts() -> None:
    """
    What it does not name has a default; what is shown names no user.
    """
    plain = parse_address("redis://host", default_port=6379)
    full = parse_address("redis://me@[::1]:7000/2?name=team&timeout=2s", default_port=6379, password="s3cret")

    assert plain is not None
    assert full is not None
    assert (plain.port, plain.name, plain.timeout_s, plain.shown) == (6379, "default", 0.5, "redis://host:6379")
    assert (full.user, full.host, full.database, full.timeout_s) == ("me", "::1", "2", 2.0)
    assert full.shown == "redis://[::1]:7000/2?name=team"
    assert "s3cret" not in repr(full)


@pytest.mark.parametrize("url", ["redis:", "redis://", "redis://h:port", "redis://h?name", "redis://h#x"])
def test_other_forms(url: str) -> None:
    """
    Not an address.
    """
    assert parse_address(url, default_port=1) is None


@pytest.mark.parametrize(
    "query", ["timeout=0", "timeout=61", "timeout=soon", "name=", "name=a/b", "name=" + 41 * "a", "x=1"]
)
def test_parameters_that_cannot_be_used(query: str) -> None:
    """
    The error says what can be.
    """
    with pytest.raises(ConfigError) as error:
        parse_address(f"redis://h?{query}", default_port=1)

    assert error.value.hint
