"""
The line before the ledger: what is served together, what not, and what becomes of those who leave.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from savemode_cli.core.admission import Allowed, Balance, Refused
from savemode_cli.core.budget import Budget
from savemode_cli.core.caller import Caller
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import MemoryLedger, Posted, Reserve, Settle
from savemode_cli.core.messages import Facts
from savemode_cli.core.pricing import PriceTable, Usage
from savemode_cli.proxy.accounts import Accounts, Settled
from savemode_cli.proxy.billing import Account, Ask, Due
from savemode_cli.proxy.desk import Desk
from tests.builders import a_price
from tests.proxy.test_billing import Meter

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP_NUSD = 1_000_000
KEY = Budget("default", CAP_NUSD).key("", NOW)
ASKED = Facts(model="claude-opus-5-5", max_tokens=10)
HELD_NUSD = 360_000  # 70 bytes are 20 tokens, written at 8,000, and 10 tokens of output at 20,000
BILL_NUSD = 4_000  # one token of input


class Counting(MemoryLedger):
    """
    Notes how much each step had in it. `wrong` is the hold that it stumbles over, `out` whether it is unavailable.
    """

    def __init__(self) -> None:
        """
        Sound.
        """
        super().__init__()
        self.steps: list[tuple[int, int]] = []
        self.wrong = ""
        self.out = False

    def balance(self, key: str, now: datetime) -> Balance:
        """
        Unless it is out.
        """
        if self.out:
            raise LedgerUnavailable("gone")
        return super().balance(key, now)

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        Noted.
        """
        if self.out:
            raise LedgerUnavailable("gone")
        self.steps.append((len(settles), len(reserves)))
        if self.wrong in [*(one.hold_id for one in settles), *(one.hold.id for one in reserves)]:
            raise ValueError("a fault")
        return super().post(settles, reserves)


class World:
    """
    A desk, the ledger behind it, and what was said.
    """

    def __init__(self) -> None:
        """
        With a cap.
        """
        self.ledger = Counting()
        self.failures: list[tuple[str, str]] = []
        self.told: list[str] = []
        budgets = [Budget("default", CAP_NUSD)]
        self.accounts = Accounts(
            self.ledger, PriceTable([a_price()]), lambda event, _: self.told.append(event), budgets=budgets
        )
        self.desk = Desk(self.accounts, lambda error, whose: self.failures.append((str(error), whose)))

    def ask(self, hold_id: str) -> Ask:
        """
        A request.
        """
        return self.accounts.billing.ask(hold_id, Caller("", idle_prone=False), [], ASKED, 70, hold_id, NOW)

    async def reserve(self, hold_id: str, *, alone: bool = False) -> Account:
        """
        It stands in line.
        """
        return await self.desk.reserve(self.ask(hold_id), alone=alone)

    def due(self, account: Account) -> Due:
        """
        Its bill.
        """
        return self.accounts.billing.bill(account, "ok", Meter(Usage(input_tokens=1)), (), NOW)


def run(story: Callable[[World], Awaitable[None]]) -> World:
    """
    What is left after a story; two turns of the loop after its end, everything has been served.
    """
    world = World()

    async def told() -> None:
        await story(world)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(told())
    return world


def test_who_comes_in_one_turn_is_served_in_one_step() -> None:
    """
    In the order in which they came, and no more of them than there is money for: the third crosses the line.
    """

    async def story(world: World) -> None:
        accounts = await asyncio.gather(*(world.reserve(name) for name in "abcd"))
        assert [type(one.decision) for one in accounts] == [Allowed, Allowed, Allowed, Refused]

    assert run(story).ledger.steps == [(0, 4)]


def test_who_is_alone_does_not_wait() -> None:
    """
    It is served before the coroutine gives way, and with what was due before it.
    """

    async def story(world: World) -> None:
        first = await world.reserve("a", alone=True)
        world.desk.settle(world.due(first), lambda _: None)
        with pytest.raises(StopIteration) as done:
            world.reserve("b", alone=True).send(None)
        assert done.value.value.decision.standing.balance == Balance(settled_nusd=BILL_NUSD)

    assert run(story).ledger.steps == [(0, 1), (1, 1)]


def test_bills_are_written_in_the_next_turn_and_before_who_asks() -> None:
    """
    A bill makes room for the one that asks beside it; it is told what became of it once it is in the ledger.
    """

    async def story(world: World) -> None:
        accounts = [await world.reserve(name, alone=True) for name in "abc"]
        assert isinstance((await world.reserve("d", alone=True)).decision, Refused)
        told: list[Settled | None] = []
        for one in accounts[:2]:
            world.desk.settle(world.due(one), told.append)
        assert world.ledger.charges() == ()
        account = await world.reserve("e")
        assert isinstance(account.decision, Allowed)
        assert [one and one.due.settlement.nusd for one in told] == [BILL_NUSD] * 2
        assert world.ledger.balance(KEY, NOW) == Balance(2 * BILL_NUSD, 0, 2 * HELD_NUSD)

    assert run(story).ledger.steps[-1] == (2, 1)


def test_who_leaves_the_line_holds_nothing() -> None:
    """
    Whether it leaves before it is served, or in the very turn in which it is.
    """

    async def story(world: World) -> None:
        early = asyncio.ensure_future(world.reserve("a"))
        late = asyncio.ensure_future(world.reserve("b"))
        await asyncio.sleep(0)
        early.cancel()
        world.desk.flush()
        assert [one.hold.id for one in world.ledger.holds(NOW)] == ["b"]
        late.cancel()
        ends = await asyncio.gather(early, late, return_exceptions=True)
        assert [type(one) for one in ends] == [asyncio.CancelledError] * 2

    world = run(story)
    assert world.ledger.holds(NOW) == ()
    assert [(one.hold_id, one.nusd, one.basis) for one in world.ledger.charges()] == [("b", 0, "none")]
    assert world.ledger.steps == [(0, 1), (1, 0)]


def test_a_fault_hits_only_whom_it_is_about() -> None:
    """
    The others of its step are served, each by itself; a bill that cannot be written is recorded without money.
    """

    async def story(world: World) -> None:
        paid, unpaid = [await world.reserve(name, alone=True) for name in "ab"]
        told: list[Settled | None] = []
        world.ledger.wrong = "b"
        world.desk.settle(world.due(paid), told.append)
        world.desk.settle(world.due(unpaid), told.append)
        await asyncio.sleep(0)
        assert [one and one.due.settlement.nusd for one in told] == [BILL_NUSD, None]
        world.ledger.wrong = "c"
        first, second = await asyncio.gather(world.reserve("c"), world.reserve("d"), return_exceptions=True)
        assert isinstance(first, ValueError)
        assert isinstance(second, Account)

    world = run(story)
    assert world.failures == [("a fault", "b")]
    assert world.told == []


def test_who_cannot_hear_keeps_nobody_from_it() -> None:
    """
    What is told of one bill may fail; the next one is told all the same.
    """

    async def story(world: World) -> None:
        accounts = [await world.reserve(name, alone=True) for name in "ab"]
        told: list[Settled | None] = []
        world.desk.settle(world.due(accounts[0]), lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
        world.desk.settle(world.due(accounts[1]), told.append)
        world.desk.flush()
        assert [one and one.due.settlement.nusd for one in told] == [BILL_NUSD]

    assert run(story).failures == [("division by zero", "a")]


def test_ledger_that_is_out_keeps_nobody() -> None:
    """
    All who wait go on uncounted, the bill is kept, and written when the ledger is back.
    """

    async def story(world: World) -> None:
        account = await world.reserve("a", alone=True)
        world.ledger.out = True
        told: list[Any] = []
        world.desk.settle(world.due(account), told.append)
        (free,) = await asyncio.gather(world.reserve("b"))
        assert free.decision == Allowed(None, "unknown")
        assert told[0].decision == Allowed(account.hold, "unknown")
        world.ledger.out = False
        await world.reserve("c", alone=True)
        assert [one.nusd for one in world.ledger.charges()] == [BILL_NUSD]

    assert run(story).told == ["ledger_unavailable", "ledger_back"]


def test_closing_serves_who_waits() -> None:
    """
    Also where the loop has ended in the meantime.
    """
    world = World()

    async def story() -> None:
        world.desk.settle(world.due(await world.reserve("a", alone=True)), lambda _: None)

    asyncio.run(story())
    world.desk.close()
    world.desk.close()

    assert [one.nusd for one in world.ledger.charges()] == [BILL_NUSD]
