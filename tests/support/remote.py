"""
What the tests of ledgers on servers share.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import AsyncLedger, Ledger, Reserve
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers import connected_ledger, open_ledger
from savemode_cli.ledgers.redis_server import redis_address
from savemode_cli.ledgers.remote.address import ServerAddress
from tests.support.forwarder import Forwarder, forwarded
from tests.support.servers import shared_redis
from tests.support.waiting import LONG_S

T = TypeVar("T")

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
LIMIT = limit_of(Budget("b", 100), "", NOW)


def hold(name: str, nusd: int = 10) -> Hold:
    """
    A hold of ten minutes.
    """
    return Hold(name, (LIMIT.key,), nusd, LATER)


def a_reserve(name: str, nusd: int = 10) -> Reserve:
    """
    A request under the limit.
    """
    return Reserve(hold(name, nusd), [LIMIT], NOW)


def awaited(url: str) -> AsyncLedger:
    """
    The ledger of a proxy.
    """
    ledger = connected_ledger(url)
    assert ledger is not None
    return ledger


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    """
    The ledger of a command.
    """
    ledger = open_ledger(url)
    try:
        yield ledger
    finally:
        ledger.close()


def tried(call: Callable[[], T]) -> T:
    """
    The result of a call, which is made again until the pause after a failure is over.
    """
    end = time.monotonic() + LONG_S
    while True:
        try:
            return call()
        except LedgerUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


async def until_checked(ledger: AsyncLedger) -> None:
    """
    Wait until a ledger answers.
    """
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                await ledger.check()
                return
            except LedgerUnavailable:
                await asyncio.sleep(0.05)


def address_of(url: str, password: str | None = None) -> ServerAddress:
    """
    The address that is one.
    """
    address = redis_address(url, password)
    assert address is not None
    return address


@contextmanager
def cuttable(name: str, timeout_s: float = 60) -> Iterator[tuple[Forwarder, str]]:
    """
    A way to the shared server that can be cut, and the address of a ledger there.

    Args:
        name: of the ledger.
        timeout_s: how long a call waits, in seconds.
    """
    with forwarded(shared_redis().port) as way:
        yield way, f"redis://127.0.0.1:{way.port}/0?name={name}&timeout={timeout_s}"
