"""
Forecasts are made beside the event loop, while somebody asks.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.ledger import Charge
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.proxy.forecasts import Forecasts
from tests.builders import a_standing

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CHARGES = [
    Charge(f"h{day}", ("default/2026-11/all",), 10**9, "reported", "m", NOON - timedelta(days=day), override=False)
    for day in range(1, 30)
]
STANDING = a_standing(used_nusd=10**9)


async def settled(forecasts: Forecasts) -> None:
    """
    Wait for the forecasts that are being made.
    """
    task = forecasts._task
    if task is not None:
        await task


def test_they_come_with_the_next_question() -> None:
    """
    And are made again after a minute, from the charges since then; no charge counts twice.
    """
    asked: list[datetime] = []

    def read(since: datetime) -> Iterable[Charge]:
        asked.append(since)
        return [charge for charge in CHARGES if charge.settled_at >= since]

    async def scenario() -> None:
        forecasts = Forecasts(read)
        assert forecasts.of([STANDING], NOON) == {}
        await settled(forecasts)
        made = forecasts.of([STANDING], NOON)
        assert made[STANDING.limit.key].pace.days[-1] == 10**9
        assert len(asked) == 1

        forecasts.of([STANDING], NOON + timedelta(seconds=61))
        await settled(forecasts)
        assert asked[1] == NOON - timedelta(minutes=1)
        assert sum(forecasts._slots.values()) == sum(charge.nusd for charge in CHARGES)

    asyncio.run(scenario())


def test_without_enough_days() -> None:
    """
    There is none, and so if the ledger does not answer.
    """

    def broken(since: datetime) -> Iterable[Charge]:
        raise LedgerUnavailable("it is away", hint="wait")

    async def scenario() -> None:
        for read in (lambda _: CHARGES[:3], broken):
            forecasts = Forecasts(read)
            forecasts.of([STANDING], NOON)
            await settled(forecasts)
            assert forecasts.of([STANDING], NOON) == {}
            assert forecasts.of([], NOON + timedelta(hours=1)) == {}

    asyncio.run(scenario())
