"""
The till with a ledger that must be awaited.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance, Refused
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy import till as till_module
from savemode_cli.proxy.reservation import Reservation
from savemode_cli.proxy.till import OnSettled, Till
from tests.builders import a_call_in_progress, a_price
from tests.proxy.test_pricing_memory import Meter
from tests.support.awaited import AwaitedLedger
from tests.support.waiting import until_in_loop

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP_NUSD = 1_000_000
KEY = Budget("default", CAP_NUSD).key("", NOW)
HELD_NUSD = 360_000  # 70 bytes are 20 tokens, written at 8,000, and 10 tokens of output at 20,000
BILL_NUSD = 4_000  # one token of input


class TillFixture:
    """
    A till, its remote ledger, and the announcements.
    """

    def __init__(self) -> None:
        """
        With a cap.
        """
        self.ledger = AwaitedLedger()
        self.announced: list[str] = []
        self.till = Till(
            self.ledger,
            PriceTable([a_price()]),
            lambda event, _text: self.announced.append(event),
            budgets=[Budget("default", CAP_NUSD)],
        )

    async def reserve(self, hold_id: str, now: datetime = NOW) -> Reservation:
        """
        A request that is alone.
        """
        facts = Facts(model="claude-opus-5-5", max_tokens=10)
        return await self.till.open(a_call_in_progress(hold_id, facts, session=hold_id, now=now), alone=True)

    def charge(self, reservation: Reservation, on_settled: OnSettled = lambda _: None) -> None:
        """
        A request is over, and used one token.
        """
        self.till.close(reservation, Ending("ok"), NOW, on_settled, meter=Meter(Usage(Tokens(input=1))))


def run(scenario: Callable[[TillFixture], Awaitable[None]]) -> TillFixture:
    """
    The state after a test, and after the till was shut in an event loop of its own.
    """
    fixture = TillFixture()

    async def run_scenario() -> None:
        await scenario(fixture)

    asyncio.run(run_scenario())
    fixture.till.outside_loop(fixture.till.shut())
    return fixture


def test_one_step_at_a_time_reaches_the_ledger() -> None:
    """
    Everything that arrives during a step is posted together in the next step, and the cap holds.
    """

    async def scenario(fixture: TillFixture) -> None:
        fixture.ledger.gate = asyncio.Event()
        first = asyncio.ensure_future(fixture.reserve("a"))
        await until_in_loop(lambda: fixture.ledger.running)
        others = [asyncio.ensure_future(fixture.reserve(name)) for name in "bcd"]
        await asyncio.sleep(0)
        fixture.ledger.gate.set()
        decisions = [(await one).decision for one in (first, *others)]
        assert [type(one) for one in decisions] == [Allowed, Allowed, Allowed, Refused]

    fixture = run(scenario)
    assert (fixture.ledger.steps, fixture.ledger.most_running, fixture.ledger.closed) == ([(0, 1), (0, 3)], 1, 1)


def test_callback_runs_when_the_bill_is_in_the_ledger() -> None:
    """
    The answer does not wait for this. A request for the state of the budgets waits for it.
    """

    async def scenario(fixture: TillFixture) -> None:
        reservation = await fixture.reserve("a")
        bills: list[Bill | None] = []
        fixture.charge(reservation, bills.append)
        assert bills == []
        decision = await fixture.till.look(None, (), NOW)
        assert decision.standing is not None
        assert decision.standing.balance == Balance(settled_nusd=BILL_NUSD)
        assert [one and one.cost_nusd for one in bills] == [BILL_NUSD]
        (standing,) = await fixture.till.standings(NOW)
        assert standing.left_nusd == CAP_NUSD - BILL_NUSD
        assert [one.budget.limit_nusd for one in await fixture.till.in_force()] == [CAP_NUSD]

    assert [one.nusd for one in run(scenario).ledger.ledger.charges()] == [BILL_NUSD]


def test_a_request_cancelled_during_a_step_holds_nothing() -> None:
    """
    The money was reserved during the step, and is released.
    """

    async def scenario(fixture: TillFixture) -> None:
        fixture.ledger.gate = asyncio.Event()
        leaving = asyncio.ensure_future(fixture.reserve("a"))
        await until_in_loop(lambda: fixture.ledger.running)
        leaving.cancel()
        await asyncio.sleep(0)
        fixture.ledger.gate.set()
        await fixture.till.post_waiting()

    fixture = run(scenario)
    assert fixture.ledger.ledger.holds(NOW) == ()
    assert [(one.hold_id, one.nusd, one.basis) for one in fixture.ledger.ledger.charges()] == [("a", 0, "none")]


def test_requests_do_not_wait_for_a_network_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Requests are judged from memory, and their bills are written when the network works again.
    """
    monkeypatch.setattr(till_module, "PAUSE_S", 0.0)

    async def scenario(fixture: TillFixture) -> None:
        reservation = await fixture.reserve("a")
        fixture.ledger.out = True
        bills: list[Bill | None] = []
        fixture.charge(reservation, bills.append)
        assert (await fixture.reserve("b")).decision.status == "unknown"
        (bill,) = bills
        assert bill is not None
        assert bill.budget_after is not None
        assert bill.budget_after.status == "unknown"
        assert fixture.till.condition.unwritten_calls == 1
        fixture.ledger.out = False
        await until_in_loop(lambda: not fixture.till.condition.trouble)

    fixture = run(scenario)
    assert fixture.announced == ["ledger_unavailable", "ledger_back"]
    assert [one.nusd for one in fixture.ledger.ledger.charges()] == [BILL_NUSD]
    assert [one.hold.id for one in fixture.ledger.ledger.holds(NOW)] == ["b"]


def test_end_of_the_loop_during_a_step_loses_no_bill() -> None:
    """
    The task of the step is cancelled with the event loop; the bill is posted again when the till is shut.
    """

    async def scenario(fixture: TillFixture) -> None:
        reservation = await fixture.reserve("a")
        fixture.ledger.gate = asyncio.Event()
        fixture.charge(reservation)
        await until_in_loop(lambda: fixture.ledger.running)

    fixture = TillFixture()
    asyncio.run(scenario(fixture))
    assert fixture.ledger.ledger.charges() == ()
    fixture.ledger.gate = None
    fixture.till.outside_loop(fixture.till.shut())

    assert [one.nusd for one in fixture.ledger.ledger.charges()] == [BILL_NUSD]
    assert fixture.ledger.closed == 1


def test_budget_set_from_elsewhere_counts_for_the_next_request() -> None:
    """
    The terms are remembered; the step that finds others is judged again by them.
    """

    async def scenario(fixture: TillFixture) -> None:
        assert isinstance((await fixture.reserve("a")).decision, Allowed)
        fixture.ledger.ledger.set_budget(Budget("default", 1, set_at_us=1))
        assert isinstance((await fixture.reserve("b")).decision, Refused)
        fixture.ledger.ledger.set_budget(Budget("default", 7 * CAP_NUSD))
        decision = await fixture.till.look(None, (), NOW)
        assert decision.standing is not None
        assert decision.standing.limit.nusd == 7 * CAP_NUSD
        fixture.ledger.ledger.set_budget(Budget("default", 9 * CAP_NUSD))
        assert [one.budget.limit_nusd for one in await fixture.till.in_force()] == [9 * CAP_NUSD]

    assert run(scenario).ledger.steps == [(0, 1), (0, 1)]


def test_clock_of_the_ledger_decides_the_window() -> None:
    """
    A request of the last minute of November is one of December where the ledger's clock is five minutes ahead.
    """
    first = datetime(2026, 12, 1, tzinfo=UTC)
    december = Budget("default", CAP_NUSD).key("", first)

    async def scenario(fixture: TillFixture) -> None:
        fixture.ledger.clock_offset = timedelta(minutes=5)
        reservation = await fixture.reserve("a", first - timedelta(minutes=1))
        assert reservation.hold is not None
        assert (reservation.hold.keys, reservation.hold.expires_at) == ((december,), first + timedelta(minutes=34))
        fixture.till.close(
            reservation,
            Ending("ok"),
            first - timedelta(seconds=30),
            lambda _: None,
            meter=Meter(Usage(Tokens(input=1))),
        )
        (standing,) = await fixture.till.standings(first - timedelta(seconds=20))
        assert (standing.limit.key, standing.balance) == (december, Balance(BILL_NUSD))

    (charge,) = run(scenario).ledger.ledger.charges()
    assert charge.settled_at == first + timedelta(minutes=4, seconds=30)
