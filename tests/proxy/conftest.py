"""
Fixtures for tests of connections to the upstream.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.network import Authority, Listen, listening


@pytest.fixture(scope="module")
def authority() -> Authority:
    """
    The authority that certifies the upstream and the proxy.
    """
    return Authority()


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path) -> str:
    """
    Its certificate as a file.
    """
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.pem)
    return str(file)


@pytest.fixture
def listen() -> Iterator[Listen]:
    """
    Start servers that stop after the test; returns their ports.
    """
    with ExitStack() as stack:
        yield lambda handler: stack.enter_context(listening(handler))
