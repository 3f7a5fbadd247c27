"""
The soak (tests/benchmarks/soak.py) in small: nothing is held on to, and every book says the same.
"""

import asyncio
import sys

import pytest

from tests.benchmarks.soak import KINDS, allow_sockets, at_the_cap, soak

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="what a process holds on to is read from /proc"),
]


def test_requests_of_every_kind_leave_nothing_behind() -> None:
    """
    Answers, streams, upgrades, downgrades, refusals, faults and hang-ups, then fifty streams at once: memory, tasks,
    sockets and holds are as before; ledger, records, receipts and the upstream's own count agree to the nano-dollar.
    """
    report = asyncio.run(soak(20 * len(KINDS), 50))

    assert report.problems == []


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "default"])
def test_requests_at_once_at_a_cap(strict: bool) -> None:
    """
    Two hundred requests, all judged before any is over, at a cap of what twenty of them hold: exactly twenty are admitted.
    """
    allow_sockets()
    report = asyncio.run(at_the_cap(200, 20, strict=strict))

    assert report.problems == []
