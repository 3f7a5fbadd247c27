"""
What tests of telemetry have in common.
"""

from collections.abc import Iterator

import pytest

from tests.support.collector import Receiving


@pytest.fixture
def collector() -> Iterator[Receiving]:
    """
    A collector that answers.
    """
    made = Receiving()
    yield made
    made.close()
