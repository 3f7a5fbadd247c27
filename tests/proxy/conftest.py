"""
Fixtures for tests of the proxy.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.calling import send
from tests.support.network import Authority, Listen, listening
from tests.support.upstream import RunningProxy, Upstream, running_proxy


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


@pytest.fixture
def spent(upstream: Upstream) -> Iterator[RunningProxy]:
    """
    A proxy whose budget of 50,000 nano-dollars is used up, by two calls of 32,000: the second crossed the line.
    """
    with running_proxy(upstream.url, budget_nusd=50_000, ttl_policy="always") as proxy:
        for number in range(2):
            assert send(proxy).status == 200
            proxy.exchange(number)
        yield proxy
