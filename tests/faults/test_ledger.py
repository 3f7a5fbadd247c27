"""
A ledger that is locked, full or gone while requests run, and a clock that jumps: every bill is written once, or said.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.cli.opening import open_till
from savemode_cli.config import Settings
from savemode_cli.core.budget.admission import Balance
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Ending, Settlement
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.ledgers import open_ledger
from savemode_cli.ledgers.sqlite import SqliteLedger
from tests.builders import a_call_in_progress
from tests.support.asked import BEGUN, ENDED, EVENTS, JSON, PLAIN, PLAIN_NUSD, STREAM, STREAM_NUSD, charged
from tests.support.disks import full, locked
from tests.support.streams import MODEL
from tests.support.upstream import RunningProxy, running_proxy
from tests.support.waiting import until, until_in_loop
from tests.support.wire import End, Wire, Wired, exchange, request

DEFAULT = Budget("default", 10**9)
REST = ENDED[len(BEGUN) :]


def closing(answer: bytes) -> bytes:
    """
    An answer that is the last on its connection, so that each request is a connection to accept.
    """
    return answer.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)


class Streaming:
    """
    A stream that has begun.
    """

    def __init__(self, wire: Wire, proxy: RunningProxy) -> None:
        """
        Ask, and begin to answer.
        """
        self._proxy = proxy
        self._client = End.to(proxy.port)
        self._client.send(request("POST", "/v1/messages", STREAM))
        self._upstream = wire.accept()
        self._upstream.message()
        self._upstream.send(closing(BEGUN))
        self._client.head()

    def ends(self) -> Exchange:
        """
        The rest of it; the client has it all.
        """
        before = len(self._proxy.exchanges)
        self._upstream.send(REST)
        said = b""
        while piece := self._client.chunk():
            said += piece
        self._client.close()
        assert said == b"".join(EVENTS)
        return self._proxy.exchange(before)


def plain(wire: Wire, proxy: RunningProxy) -> Wired:
    """
    One call and its whole answer, once it is recorded.
    """
    before = len(proxy.exchanges)
    with End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", PLAIN))
        upstream = wire.accept()
        upstream.message()
        upstream.send(closing(JSON))
        got = client.message()
    proxy.exchange(before)
    return got


def events(proxy: RunningProxy) -> list[str]:
    """
    What was announced, by name.
    """
    return [event for event, _ in proxy.announced]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    Where the ledger is.
    """
    return tmp_path / "l.db"


@pytest.fixture
def counted(wire: Wire, path: Path) -> Iterator[RunningProxy]:
    """
    A proxy that counts in a file.
    """
    with running_proxy(wire.url, budget_nusd=10**9, ledger=f"sqlite:///{path}", grace_s=1) as proxy:
        yield proxy
        wire.close()


@pytest.mark.parametrize("trouble", [locked, full])
def test_bill_that_cannot_be_written_is_written_later(
    wire: Wire, counted: RunningProxy, path: Path, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """
    Locked, or the disk full, when an answer ends: the client has it all, a person is told once, the next requests pass and
    say that nobody knows, and when the ledger is back that is told, and every bill is in it.
    """
    running = Streaming(wire, counted)
    with trouble(path):
        assert running.ends().bill.settlement == Settlement(STREAM_NUSD, "reported")
        for _ in range(3):
            assert plain(wire, counted).all(b"x-posthog-budget") == [b"unknown"]
        assert events(counted) == ["ledger_unavailable"]
        assert exchange(counted.port, request("GET", "/-/health")).status == 200
    until(lambda: len(counted.announced) > 1)
    assert counted.announced[1][1] == "the budget ledger answers again; 4 bills of $0.0002 entered"
    assert plain(wire, counted).all(b"x-posthog-budget") == [b"ok"]

    assert events(counted) == ["ledger_unavailable", "ledger_back"]
    assert sorted(charged(counted)) == [*[PLAIN_NUSD] * 4, STREAM_NUSD]


@pytest.mark.parametrize("trouble", [locked, full])
def test_call_in_flight_is_held_when_the_ledger_is_back(
    wire: Wire, counted: RunningProxy, path: Path, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """
    A call that was let through meanwhile and is still running holds its money in the ledger, for the others to see.
    """
    with trouble(path):
        running = Streaming(wire, counted)
    until(lambda: len(counted.announced) > 1)
    (hold,) = counted.ledger.holds(datetime.now(UTC))
    assert hold.hold.ask_nusd > 0

    running.ends()
    assert charged(counted) == [STREAM_NUSD]


def test_strict_budget_refuses_until_the_ledger_answers(wire: Wire, path: Path) -> None:
    """
    A lock is over soon, so the client is told to try again; a call that was running is charged, and what is free passes.
    """
    options: dict[str, Any] = {"budget_nusd": 10**9, "strict": True, "ledger": f"sqlite:///{path}", "grace_s": 1}
    with running_proxy(wire.url, **options) as proxy:
        running = Streaming(wire, proxy)
        with locked(path):
            got = exchange(proxy.port, request("POST", "/v1/messages", PLAIN))
            assert (got.status, got.all(b"x-posthog-budget")) == (429, [b"unknown"])
            assert (got.all(b"x-should-retry"), got.all(b"retry-after")) == ([b"true"], [b"5"])
            assert running.ends().bill.settlement == Settlement(STREAM_NUSD, "reported")
        until(lambda: len(proxy.announced) > 1)
        assert plain(wire, proxy).status == 200
        assert sorted(charged(proxy)) == [PLAIN_NUSD, STREAM_NUSD]
        wire.close()


def test_free_calls_do_not_wait_for_a_locked_ledger(wire: Wire, counted: RunningProxy, path: Path) -> None:
    """
    The loop asks the ledger without a wait, so they read where the budgets stand although another process writes.
    """
    assert isinstance(counted.books, SqliteLedger)
    assert counted.books._db.execute("PRAGMA busy_timeout").fetchone() == (0,)
    plain(wire, counted)
    with locked(path):
        for _ in range(3):
            with End.to(counted.port) as client:
                client.send(request("GET", "/v1/models"))
                upstream = wire.accept()
                upstream.message()
                upstream.send(closing(JSON))
                assert client.message().all(b"x-posthog-budget") == [b"ok"]
    assert counted.announced == []


def test_bill_is_written_at_the_end_where_nobody_asks_again(wire: Wire, path: Path) -> None:
    """
    The same where no request comes any more: it is written when the proxy closes, which waits for a lock that ends.
    """
    settings = Settings(port=0, upstream=wire.url, budget_nusd=10**9, ledger=f"sqlite:///{path}")
    announced: list[str] = []
    till = open_till(settings, lambda event, _text: announced.append(event))
    now = datetime.now(UTC)

    async def story() -> None:
        caller, facts = Caller("x", idle_prone=False), Facts(model=MODEL)
        call = a_call_in_progress("req_1", facts, caller=caller, body_bytes=9, now=now)
        reservation = await till.open(call, alone=True)
        lock.enter_context(locked(path))
        assert (await till.look(None, (), now)).status == "ok"
        till.close(reservation, Ending("unreachable", sent=False), now, lambda _: None)
        await until_in_loop(lambda: till.condition.trouble)

    with ExitStack() as lock:
        asyncio.run(story())
        closing_proxy = threading.Thread(target=lambda: till.outside_loop(till.shut()))
        closing_proxy.start()
    closing_proxy.join()
    ledger = open_ledger(f"sqlite:///{path}")

    assert (announced, ledger.holds(now), len(ledger.charges())) == (["ledger_unavailable", "ledger_back"], (), 1)
    ledger.close()


def test_ledger_that_is_deleted_under_a_running_request(wire: Wire, counted: RunningProxy, path: Path) -> None:
    """
    Its hold is gone with the file: the answer is whole, and its bill counts in the new file, as does what comes next.
    """
    running = Streaming(wire, counted)
    for one in path.parent.glob("l.db*"):
        one.unlink()
    running.ends()
    plain(wire, counted)

    assert counted.announced == []
    assert charged(counted) == [STREAM_NUSD, PLAIN_NUSD]


class Clock:
    """
    A clock that is set by hand.
    """

    def __init__(self, text: str) -> None:
        """
        Where it stands.
        """
        self.set(text)

    def __call__(self) -> datetime:
        """
        The time.
        """
        return self._now

    def set(self, text: str) -> None:
        """
        Set it.
        """
        self._now = datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "jumps_to",
    ["2026-12-01T00:00:01", "2026-11-30T23:00:00", "2026-11-01T00:00:00", "2027-11-30T23:59:59", "1999-12-31T23:59:59"],
)
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_clock_that_jumps_under_a_running_request(wire: Wire, path: Path, jumps_to: str, kind: str) -> None:
    """
    Over the month's edge, back, and far: what began in November is November's, charged once, whatever time it is then;
    what begins afterwards counts where it begins; and when the clock is right again, so is the cap.
    """
    clock = Clock("2026-11-30T23:59:59")
    november = DEFAULT.key("", clock())
    url = "memory:" if kind == "memory" else f"sqlite:///{path}"
    with running_proxy(wire.url, budget_nusd=STREAM_NUSD, ledger=url, now=clock, grace_s=1) as proxy:
        running = Streaming(wire, proxy)
        clock.set(jumps_to)
        done = running.ends()
        then = DEFAULT.key("", clock())
        next_status = 429 if then == november else plain(wire, proxy).status

        assert (done.answer.outcome, done.bill.settlement) == ("ok", Settlement(STREAM_NUSD, "reported"))
        assert next_status == (429 if then == november else 200)
        assert proxy.ledger.balance(november, clock()) == Balance(settled_nusd=STREAM_NUSD)
        if then != november:
            assert proxy.ledger.balance(then, clock()) == Balance(settled_nusd=PLAIN_NUSD)
        clock.set("2026-11-30T23:59:59")
        assert exchange(proxy.port, request("POST", "/v1/messages", PLAIN)).status == 429
        assert proxy.announced == []
        wire.close()


def test_hold_that_ran_out_is_settled_once(wire: Wire) -> None:
    """
    The clock jumps past a hold's life while its stream runs: it counts as spent meanwhile, and is then what it cost.
    """
    clock = Clock("2026-11-10T12:00:00")
    key = DEFAULT.key("", clock())
    with running_proxy(wire.url, budget_nusd=10**9, now=clock, grace_s=1) as proxy:
        running = Streaming(wire, proxy)
        clock.set("2026-11-10T13:00:00")
        meanwhile = proxy.ledger.balance(key, clock())
        running.ends()

        assert (meanwhile.settled_nusd, meanwhile.held_nusd) == (0, 0)
        assert meanwhile.unsettled_nusd > 0
        assert proxy.ledger.balance(key, clock()) == Balance(settled_nusd=STREAM_NUSD)
        wire.close()
