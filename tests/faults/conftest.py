"""
An upstream in the test's own hands, and a proxy with a budget in front of it.
"""

from collections.abc import Iterator

import pytest

from tests.support.upstream import RunningProxy, running_proxy
from tests.support.wire import Wire


@pytest.fixture
def capped(wire: Wire) -> Iterator[RunningProxy]:
    """
    A proxy with a budget.
    """
    with running_proxy(wire.url, budget_nusd=10**9, grace_s=1) as proxy:
        yield proxy
        # First the upstream's connections: a proxy that still waits for an answer would use up its grace.
        wire.close()
