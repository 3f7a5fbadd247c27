"""
A proxy whose upstream is in the test's own hands.
"""

from collections.abc import Iterator

import pytest

from tests.proxy.wire import Wire
from tests.upstream import RunningProxy, running_proxy


@pytest.fixture
def wired(wire: Wire) -> Iterator[RunningProxy]:
    """
    A proxy in front of it that upgrades whatever it may, where the gate is open.
    """
    with running_proxy(wire.url, ttl_policy="always", grace_s=1) as running:
        yield running
        # First the upstream's connections: a proxy that still waits for an answer would use up its grace.
        wire.close()
