"""
Three tills of proxies with 64 streams each on one cap: as on one machine.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from savemode_cli.core.budget.admission import Allowed
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.ledgers import connected_ledger
from savemode_cli.proxy.reservation import Reservation
from savemode_cli.proxy.till import Till
from tests.benchmarks.overshoot import overshoot
from tests.builders import a_call_in_progress, a_price
from tests.proxy.test_pricing_memory import Meter
from tests.support.remote import opened
from tests.support.servers import PostgresServer, RedisServer, new_name, shared_postgres, shared_redis

CAP_NUSD = 10_000_000
HELD_NUSD = {"default": 360_000, "strict": 760_000}
"""What each request holds: what it is expected to cost, or strictly the most that it can cost."""
COST_NUSD = 340_000
STREAMS = 64
MOST_ROUNDS = 50
SERVERS: dict[str, Callable[[], RedisServer | PostgresServer]] = {"redis": shared_redis, "postgres": shared_postgres}

Judged = list[tuple[int, int]]
"""Of each request that may start, what was used before it, and what it holds."""


class OneTill:
    """
    The till of one of the proxies, whose requests come all at once.
    """

    def __init__(self, url: str, name: str, *, strict: bool) -> None:
        """
        Args:
            url: of the ledger.
            name: of the proxy.
            strict: the rule.
        """
        ledger = connected_ledger(url)
        assert ledger is not None
        budget = Budget("default", CAP_NUSD, strict=strict)
        self._till = Till(ledger, PriceTable([a_price()]), lambda _, __: None, budgets=[budget])
        self._name = name
        self._running: list[Reservation] = []

    async def open(self, turn: int) -> Judged:
        """
        Ask for all streams.
        """
        facts = Facts(model="claude-opus-5-5", max_tokens=10)
        names = [f"{self._name}-{turn}-{number}" for number in range(STREAMS)]
        calls = [a_call_in_progress(name, facts, session=name, now=datetime.now(UTC)) for name in names]
        answers = await asyncio.gather(*(self._till.open(call) for call in calls))
        self._running = [one for one in answers if isinstance(one.decision, Allowed)]
        return [
            (one.decision.standings[0].balance.used_nusd, one.held_nusd)
            for one in self._running
            if isinstance(one.decision, Allowed)
        ]

    async def charge(self) -> None:
        """
        Charge what started.
        """
        for one in self._running:
            usage = Usage(Tokens(input=80, output=1))
            self._till.close(one, Ending("ok"), datetime.now(UTC), lambda _: None, meter=Meter(usage))
        await self._till.post_waiting()

    async def shut(self) -> None:
        """
        The end.
        """
        await self._till.shut()


async def spend(url: str, rule: str) -> tuple[Judged, Judged]:
    """
    The requests that start at once, and those that start later, until none does.
    """
    tills = [OneTill(url, name, strict=rule == "strict") for name in "abc"]
    rounds: list[Judged] = []
    for turn in range(MOST_ROUNDS):
        answers = await asyncio.gather(*(one.open(turn) for one in tills))
        rounds.append([judged for answer in answers for judged in answer])
        await asyncio.gather(*(one.charge() for one in tills))
        if not rounds[-1]:
            break
    for one in tills:
        await one.shut()
    return rounds[0], [judged for later in rounds[1:] for judged in later]


@pytest.mark.parametrize("rule", ["default", "strict"])
@pytest.mark.parametrize("server", SERVERS)
def test_three_proxies_are_one(server: str, rule: str) -> None:
    """
    Of 192 requests at once exactly those start that would on one machine; and until the cap is spent none starts beyond the
    rule, and a strict cap is not crossed.
    """
    url = SERVERS[server]().url(new_name())
    first, later = asyncio.run(spend(url, rule))

    held_nusd = HELD_NUSD[rule]
    assert len(first) == CAP_NUSD // held_nusd + (rule == "default")
    assert {held for _, held in first} == {held_nusd}
    if rule == "strict":
        assert [one for one in first + later if sum(one) > CAP_NUSD] == []
    else:
        assert [one for one in first + later if one[0] >= CAP_NUSD] == []
    with opened(url) as ledger:
        ((_, balance),) = ledger.balances(datetime.now(UTC)).items()
        assert (balance.held_nusd, balance.unsettled_nusd) == (0, 0)
        assert balance.settled_nusd == COST_NUSD * len(ledger.charges())
        assert len(ledger.charges()) == len(first) + len(later)
    assert balance.settled_nusd > CAP_NUSD - held_nusd
    assert balance.settled_nusd <= (CAP_NUSD if rule == "strict" else CAP_NUSD + held_nusd)


def test_two_proxies_over_http() -> None:
    """
    What `docs/team.md` shows, with two processes: the cap of both is one.
    """
    url = shared_redis().url(new_name())
    row = asyncio.run(overshoot(url, "strict", proxies=2, streams=6, cap="0.008"))

    assert 0 < row.first < 6
    assert row.first < row.all
    assert row.cap_nusd - 2_600_000 < row.spent_nusd <= row.cap_nusd
