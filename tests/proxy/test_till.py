"""
The queue before the ledger: which requests are posted together, and what happens to clients that leave.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance, Refused
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.budget.ledger import Posted, Reserve, Settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.errors import LedgerBusy, LedgerUnavailable
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy import till as till_module
from savemode_cli.proxy.local_ledger import LocalLedger
from savemode_cli.proxy.reservation import Reservation
from savemode_cli.proxy.till import OnSettled, Till
from tests.builders import a_call_in_progress, a_price
from tests.proxy.test_pricing_memory import Meter
from tests.support.waiting import until_in_loop

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP_NUSD = 1_000_000
KEY = Budget("default", CAP_NUSD).key("", NOW)
ASKED = Facts(model="claude-opus-5-5", max_tokens=10)
HELD_NUSD = 360_000  # 70 bytes are 20 tokens, written at 8,000, and 10 tokens of output at 20,000
BILL_NUSD = 4_000  # one token of input


class CountingLedger(MemoryLedger):
    """
    A ledger that records the size of each step. `wrong` is the hold that makes it raise, `out` whether it is unavailable.
    """

    def __init__(self) -> None:
        """
        Sound.
        """
        super().__init__()
        self.steps: list[tuple[int, int]] = []
        self.wrong = ""
        self.out = False
        self.busy = False
        self.attempts = 0
        self.threads: set[int] = set()

    def balance(self, key: str, now: datetime) -> Balance:
        """
        Unless it is out.
        """
        if self.out:
            raise LedgerUnavailable("gone")
        return super().balance(key, now)

    def check(self) -> None:
        """
        Unless it is out.
        """
        self._meet()

    def _meet(self) -> None:
        self.attempts += 1
        self.threads.add(threading.get_ident())
        if self.busy:
            raise LedgerBusy("locked")
        if self.out:
            raise LedgerUnavailable("gone")

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        Noted.
        """
        self._meet()
        self.steps.append((len(settles), len(reserves)))
        if self.wrong in [*(one.hold_id for one in settles), *(one.hold.id for one in reserves)]:
            raise ValueError("a fault")
        return super().post(settles, reserves)


class TillFixture:
    """
    A till, its ledger, and the announcements.
    """

    def __init__(self) -> None:
        """
        With a cap.
        """
        self.ledger = CountingLedger()
        self.failures: list[tuple[str, str]] = []
        self.announced: list[str] = []
        self.till = Till(
            LocalLedger(self.ledger), PriceTable([a_price()]), self.announce, budgets=[Budget("default", CAP_NUSD)]
        )

    def announce(self, event: str, text: str) -> None:
        """
        A bug in savemode is recorded with its type and its request.
        """
        if event != "internal_error":
            self.announced.append(event)
            return
        kind, _, place, whose, *_ = text.split()
        self.failures.append((kind, "" if place.endswith(":") else whose.rstrip(":")))

    async def reserve(self, hold_id: str, *, alone: bool = False) -> Reservation:
        """
        Reserve money for a request.
        """
        return await self.till.open(a_call_in_progress(hold_id, ASKED, session=hold_id, now=NOW), alone=alone)

    def charge(self, reservation: Reservation, on_settled: OnSettled = lambda _: None) -> None:
        """
        Charge a finished request that used one token.
        """
        self.till.close(reservation, Ending("ok"), NOW, on_settled, meter=Meter(Usage(Tokens(input=1))))


def run(scenario: Callable[[TillFixture], Awaitable[None]]) -> TillFixture:
    """
    The result of a test; two iterations of the event loop after its end, everything is posted.
    """
    fixture = TillFixture()

    async def run_scenario() -> None:
        await scenario(fixture)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run_scenario())
    return fixture


def test_requests_of_one_iteration_are_posted_in_one_step() -> None:
    """
    In order, and only as many as there is money for: the third one crosses the cap.
    """

    async def scenario(fixture: TillFixture) -> None:
        accounts = await asyncio.gather(*(fixture.reserve(name) for name in "abcd"))
        assert [type(one.decision) for one in accounts] == [Allowed, Allowed, Allowed, Refused]

    assert run(scenario).ledger.steps == [(0, 4)]


def test_a_single_request_does_not_wait() -> None:
    """
    It is posted before the coroutine suspends, together with waiting invoices.
    """

    async def scenario(fixture: TillFixture) -> None:
        first = await fixture.reserve("a", alone=True)
        fixture.charge(first)
        with pytest.raises(StopIteration) as done:
            fixture.reserve("b", alone=True).send(None)
        assert done.value.value.decision.standing.balance == Balance(settled_nusd=BILL_NUSD)

    assert run(scenario).ledger.steps == [(0, 1), (1, 1)]


def test_invoices_are_posted_in_the_next_iteration_before_requests() -> None:
    """
    A bill makes room for a request in the same step; its callback runs when it is in the ledger.
    """

    async def scenario(fixture: TillFixture) -> None:
        accounts = [await fixture.reserve(name, alone=True) for name in "abc"]
        assert isinstance((await fixture.reserve("d", alone=True)).decision, Refused)
        bills: list[Bill | None] = []
        for one in accounts[:2]:
            fixture.charge(one, bills.append)
        assert fixture.ledger.charges() == ()
        account = await fixture.reserve("e")
        assert isinstance(account.decision, Allowed)
        assert [one and one.cost_nusd for one in bills] == [BILL_NUSD] * 2
        assert fixture.ledger.balance(KEY, NOW) == Balance(2 * BILL_NUSD, 0, 2 * HELD_NUSD)

    assert run(scenario).ledger.steps[-1] == (2, 1)


def test_a_cancelled_request_holds_nothing() -> None:
    """
    Whether the client leaves before the step or during it.
    """

    async def scenario(fixture: TillFixture) -> None:
        early = asyncio.ensure_future(fixture.reserve("a"))
        late = asyncio.ensure_future(fixture.reserve("b"))
        await asyncio.sleep(0)
        early.cancel()
        await fixture.till.post_waiting()
        assert [one.hold.id for one in fixture.ledger.holds(NOW)] == ["b"]
        late.cancel()
        ends = await asyncio.gather(early, late, return_exceptions=True)
        assert [type(one) for one in ends] == [asyncio.CancelledError] * 2

    fixture = run(scenario)
    assert fixture.ledger.holds(NOW) == ()
    assert [(one.hold_id, one.nusd, one.basis) for one in fixture.ledger.charges()] == [("b", 0, "none")]
    assert fixture.ledger.steps == [(0, 1), (1, 0)]


def test_a_fault_hits_only_whom_it_is_about() -> None:
    """
    The others of the step are posted one by one; a bill that cannot be written is recorded without an amount.
    """

    async def scenario(fixture: TillFixture) -> None:
        paid, unpaid = [await fixture.reserve(name, alone=True) for name in "ab"]
        bills: list[Bill | None] = []
        fixture.ledger.wrong = "b"
        fixture.charge(paid, bills.append)
        fixture.charge(unpaid, bills.append)
        await asyncio.sleep(0)
        assert [one and one.cost_nusd for one in bills] == [BILL_NUSD, None]
        fixture.ledger.wrong = "c"
        first, second = await asyncio.gather(fixture.reserve("c"), fixture.reserve("d"), return_exceptions=True)
        assert isinstance(first, ValueError)
        assert isinstance(second, Reservation)

    fixture = run(scenario)
    assert fixture.failures == [("ValueError", "b")]
    assert fixture.announced == []


def test_a_failing_callback_does_not_stop_the_others() -> None:
    """
    If the callback of one bill raises, the callback of the next one still runs.
    """

    async def scenario(fixture: TillFixture) -> None:
        accounts = [await fixture.reserve(name, alone=True) for name in "ab"]
        bills: list[Bill | None] = []
        fixture.charge(accounts[0], lambda _: 1 / 0)  # type: ignore[arg-type]
        fixture.charge(accounts[1], bills.append)
        await fixture.till.post_waiting()
        assert [one and one.cost_nusd for one in bills] == [BILL_NUSD]

    assert run(scenario).failures == [("ZeroDivisionError", "a")]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A ledger that does not answer is tried again at once.
    """
    monkeypatch.setattr(till_module, "PAUSE_S", 0.0)


async def answers(fixture: TillFixture) -> None:
    """
    Wait until the ledger answers.
    """
    await until_in_loop(lambda: not fixture.till.condition.trouble)


@pytest.mark.usefixtures("hurried")
def test_requests_do_not_wait_for_a_ledger_that_fails() -> None:
    """
    Waiting requests are judged from memory, and the bill is kept. A thread writes it when the ledger answers.
    """

    async def scenario(fixture: TillFixture) -> None:
        account = await fixture.reserve("a", alone=True)
        fixture.ledger.out = True
        bills: list[Any] = []
        fixture.charge(account, bills.append)
        (free,) = await asyncio.gather(fixture.reserve("b"))
        assert free.decision == Allowed(free.hold, "unknown")
        assert bills[0].budget_after == Allowed(account.hold, "unknown").report()
        fixture.ledger.threads.clear()
        fixture.ledger.out = False
        await answers(fixture)
        assert threading.get_ident() not in fixture.ledger.threads
        assert [one.nusd for one in fixture.ledger.charges()] == [BILL_NUSD]
        assert [one.hold.id for one in fixture.ledger.holds(NOW)] == ["b"]

    assert run(scenario).announced == ["ledger_unavailable", "ledger_back"]


def test_ledger_that_does_not_answer_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However many requests come.
    """
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("savemode_cli.proxy.till.asyncio.sleep", slept)

    async def scenario(fixture: TillFixture) -> None:
        fixture.ledger.out = True
        for name in "abcdefghij":
            await fixture.reserve(name, alone=True)
            await fixture.till.look(None, (), NOW)
        while len(pauses) < 5:
            await sleep(0.001)
        fixture.ledger.out = False
        while fixture.till.condition.trouble:
            await sleep(0.001)
        assert fixture.ledger.attempts <= 1 + len(pauses)

    fixture = run(scenario)
    assert set(pauses) - {0} == {till_module.PAUSE_S}
    assert fixture.failures == []


def test_locked_ledger_keeps_requests_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While another process writes, requests wait without blocking the event loop, and are then posted in one step.
    """

    async def scenario(fixture: TillFixture) -> None:
        running = await fixture.reserve("a", alone=True)
        fixture.ledger.busy = True
        bills: list[Any] = []
        fixture.charge(running, bills.append)
        waiting = [asyncio.ensure_future(fixture.reserve(name, alone=name == "b")) for name in "bc"]
        turns = 0
        while fixture.ledger.attempts < 5:
            turns += 1
            await asyncio.sleep(0)
        assert turns > 5
        assert not any(one.done() for one in waiting)
        assert (await fixture.till.look(None, (), NOW)).status == "ok"
        fixture.ledger.busy = False
        accounts = await asyncio.gather(*waiting)
        assert [one.decision.status for one in accounts] == ["ok", "ok"]
        assert bills[0].budget_after.left_nusd == CAP_NUSD - BILL_NUSD

    fixture = run(scenario)
    assert fixture.ledger.steps == [(0, 1), (1, 2)]
    assert fixture.announced == []


@pytest.mark.usefixtures("hurried")
def test_lock_that_lasts_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Requests are then judged from memory until the ledger answers.
    """
    monkeypatch.setattr(till_module, "_PATIENCE_S", 0.0)

    async def scenario(fixture: TillFixture) -> None:
        running = await fixture.reserve("a", alone=True)
        fixture.ledger.busy = True
        first = await fixture.reserve("b")
        assert first.decision == Allowed(first.hold, "unknown")
        with pytest.raises(StopIteration):
            fixture.reserve("c", alone=True).send(None)
        fixture.charge(running)
        await asyncio.sleep(0.01)
        fixture.ledger.busy = False
        await answers(fixture)
        assert [one.nusd for one in fixture.ledger.charges()] == [BILL_NUSD]
        assert [one.hold.id for one in fixture.ledger.holds(NOW)] == ["b", "c"]

    assert run(scenario).announced == ["ledger_unavailable", "ledger_back"]


@pytest.mark.usefixtures("hurried")
def test_fault_during_recovery_is_announced_and_recovery_continues() -> None:
    """
    The next attempt is made anyway.
    """

    async def scenario(fixture: TillFixture) -> None:
        running = await fixture.reserve("a", alone=True)
        fixture.ledger.out = True
        fixture.charge(running)
        await asyncio.sleep(0)
        fixture.ledger.out, fixture.ledger.wrong = False, "a"
        await until_in_loop(lambda: fixture.failures)
        fixture.ledger.wrong = ""
        await answers(fixture)

    fixture = run(scenario)
    assert fixture.failures[0] == ("ValueError", "")
    assert [one.nusd for one in fixture.ledger.charges()] == [BILL_NUSD]


def test_a_request_cancelled_while_the_ledger_is_locked_holds_nothing() -> None:
    """
    The same as for any client that leaves.
    """

    async def scenario(fixture: TillFixture) -> None:
        fixture.ledger.busy = True
        early, late = (asyncio.ensure_future(fixture.reserve(name)) for name in "ab")
        await until_in_loop(lambda: fixture.ledger.attempts > 1, pause_s=0)
        early.cancel()
        await asyncio.sleep(0)
        fixture.ledger.busy = False
        assert (await late).decision.status == "ok"
        assert early.cancelled()

    assert [one.hold.id for one in run(scenario).ledger.holds(NOW)] == ["b"]


def test_closing_waits_for_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The event loop has ended, so there is time to write the bills.
    """
    fixture = TillFixture()

    async def scenario() -> None:
        running = await fixture.reserve("a", alone=True)
        fixture.ledger.busy = True
        fixture.charge(running)

    def sleep(_seconds: float) -> None:
        fixture.ledger.busy = False

    monkeypatch.setattr(till_module, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=sleep))
    asyncio.run(scenario())
    fixture.till.outside_loop(fixture.till.shut())

    assert fixture.announced == []
    assert [one.nusd for one in fixture.ledger.charges()] == [BILL_NUSD]


def test_closing_posts_everything_that_waits() -> None:
    """
    Also if the event loop has ended meanwhile.
    """
    fixture = TillFixture()

    async def scenario() -> None:
        fixture.charge(await fixture.reserve("a", alone=True))

    asyncio.run(scenario())
    fixture.till.outside_loop(fixture.till.shut())
    fixture.till.outside_loop(fixture.till.shut())

    assert [one.nusd for one in fixture.ledger.charges()] == [BILL_NUSD]
