"""
Keep-warm requests in a running proxy before a simulated upstream: when they are sent, what they cost, and what stops them.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.config.folders import user_state
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.upgrade.auto import Run
from savemode_cli.proxy.auto_history import AutoHistoryFile
from savemode_cli.proxy.keep_warm import KeepWarm
from savemode_cli.simulated.clock import Clock
from savemode_cli.simulated.faults import parse
from savemode_cli.telemetry.event import Origin, ai_generation
from savemode_cli.views.logfmt import logfmt
from savemode_cli.views.receipt import receipt
from savemode_cli.views.request import trouble
from tests.builders import OPEN, an_observed
from tests.conftest import FLAG
from tests.support.prompts import MARK, MODEL, assistant, text, user
from tests.support.simulated import KEY, VERSION, Simulated, running_simulated
from tests.support.upstream import RunningProxy, running_proxy
from tests.support.waiting import until
from tests.support.wire import exchange, request

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
PING_S = 271
SESSION = ("x-claude-code-session-id", "one")


def body(turns: int = 0, **more: Any) -> bytes:
    """
    The request of a conversation after so many turns.
    """
    said = [one for turn in range(turns) for one in (user(text(f"ask {turn}")), assistant(text(f"answer {turn}")))]
    fields = {
        "model": MODEL,
        "max_tokens": 64,
        "system": [text("word " * 8_000, **MARK)],
        "messages": [*said, user(text(f"ask {turns}"))],
    }
    return json.dumps(fields | more).encode()


class Play:
    """
    A proxy, its upstream and their clock, which a test turns.
    """

    def __init__(self, proxy: RunningProxy, upstream: Simulated, clock: Clock) -> None:
        """
        Nothing was sent yet.
        """
        self.proxy = proxy
        self.upstream = upstream
        self.clock = clock

    @property
    def keep_warm(self) -> KeepWarm:
        """
        What sends keep-warm requests.
        """
        found = self.proxy.relay.upgrading._keep_warm
        assert found is not None
        return found

    def ask(self, sent: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        """
        A client sends a request.
        """
        wire = request("POST", "/v1/messages", sent, VERSION, SESSION, *(headers or (KEY,)))
        assert exchange(self.proxy.port, wire).status == status

    def later(self, seconds: float = PING_S) -> list[Exchange]:
        """
        Advance the clock, send what is due, and return all keep-warm requests so far.
        """
        self.clock.advance(seconds)
        asyncio.run_coroutine_threadsafe(self.keep_warm.tick(), self.proxy.loop).result(20)
        return [one for one in self.proxy.exchanges if one.call.keep_warm]

    def counter(self, name: str) -> int:
        """
        One of the counters.
        """
        return self.keep_warm.counters.get(name, 0)


@contextmanager
def playing(fault: str = "", **options: Any) -> Iterator[Play]:
    """
    A proxy that keeps caches warm.
    """
    clock = Clock(START)
    given: dict[str, Any] = {"keep_warm": 4, "keep_warm_hourly": 10**9, "ttl_policy": "off"} | options
    with (
        running_simulated(clock=clock, fault=fault) as upstream,
        running_proxy(upstream.url, now=clock, **given) as proxy,
    ):
        yield Play(proxy, upstream, clock)


def test_a_pause_is_bridged() -> None:
    """
    After 12 minutes the client reads its prompt instead of writing it anew. The receipts say what that cost and saved.
    """
    with playing() as play:
        play.ask(body())
        assert play.later(200) == []
        pings = play.later(71)
        pings = play.later()
        play.clock.advance(180)
        play.ask(body(1))
        first, *_, last = play.proxy.exchanges
        assert play.counter("came_back") == 1
        assert play.later(60) == pings, "the next pause has just begun"

    assert len(pings) == 2
    assert first.bill.usage is not None
    assert last.bill.usage is not None
    cached = first.bill.usage.tokens.write_5m
    for ping in pings:
        assert ping.bill.usage is not None
        assert (ping.bill.usage.tokens.read, ping.bill.usage.tokens.output) == (cached, 0)
        assert ping.bill.receipt is not None
        assert ping.bill.receipt.difference_nusd == ping.bill.cost_nusd
        assert ping.bill.held_nusd > 0
        assert ping.bill.verdict is None
    assert last.bill.usage.tokens.read == cached
    assert last.bill.receipt is not None
    assert last.bill.receipt.difference_nusd is not None
    assert last.bill.receipt.difference_nusd < 0
    total = Summary()
    for one in (first, *pings, last):
        total = total.add(one)
    assert total.difference_nusd < 0, "the rewrite would have cost more than both requests"
    assert re.search(r" vs_5m_usd=\+0\.00\d+ ", logfmt(pings[0]))
    assert re.search(r" vs_5m_usd=-0\.\d+ ", logfmt(last))
    assert re.search(r"kept warm.*saved \$0\.\d+ compared", receipt(total, OPEN))


def test_what_is_shown() -> None:
    """
    A request line, an event and JSON say that it is one.
    """
    with playing() as play:
        play.ask(body(stream=True))
        (ping,) = play.later()

    assert " keep_warm=yes" in logfmt(ping)
    assert "sent by savemode to keep the cache warm" in "\n".join(trouble(ping))
    assert ping.to_json()["keep_warm"] is True
    observed = an_observed(keep_warm=True)
    event = ai_generation(observed, Origin("https://api.example"))
    assert event is not None
    assert event["properties"]["keep_warm"] is True


def test_the_number_is_limited() -> None:
    """
    Then the cache expires, and the client writes its prompt anew.
    """
    with playing(keep_warm=2) as play:
        play.ask(body())
        for _ in range(5):
            pings = play.later()
        play.ask(body(1))
        last = play.proxy.exchanges[-1]

    assert len(pings) == 2
    assert play.counter("stopped_limit") == 1
    assert last.bill.usage is not None
    assert last.bill.usage.tokens.read == 0


def test_it_stops_if_a_return_is_not_expected() -> None:
    """
    Few conversations come back after half an hour.
    """
    with playing(keep_warm=12) as play:
        play.ask(body())
        for _ in range(12):
            pings = play.later()

    assert len(pings) == 6
    assert play.counter("stopped_not_worth") == 1


def test_the_hour_is_limited() -> None:
    """
    By what the requests cost, all conversations together.
    """
    with playing(keep_warm_hourly=3_000_000) as play:
        play.ask(body())
        for _ in range(4):
            pings = play.later()

    assert len(pings) == 1
    assert play.counter("stopped_hour") == 1


def test_a_near_cap_stops_it() -> None:
    """
    It stops as soon as clients are advised to save.
    """
    with playing(budget_nusd=60_000_000) as play:
        play.ask(body())
        assert play.later() == []
        assert play.counter("stopped_budget") == 1


def test_a_far_cap_does_not() -> None:
    """
    The money of each request is held, and settled under the budget.
    """
    with playing(budget_nusd=10**9) as play:
        play.ask(body())
        (ping,) = play.later()

    assert ping.bill.budget_after is not None
    assert ping.bill.budget_after.left_nusd is not None
    assert ping.bill.budget is not None
    assert ping.bill.budget.left_nusd is not None
    assert ping.bill.budget_after.left_nusd == ping.bill.budget.left_nusd - (ping.bill.cost_nusd or 0)


def test_the_client_sends_another_request() -> None:
    """
    No more keep-warm requests are sent, even if the cache of the new request cannot be kept warm.
    """
    with playing() as play:
        play.ask(body())
        play.clock.advance(100)
        play.ask(body(1, tool_choice={"type": "any"}, tools=[{"name": "a", "input_schema": {"type": "object"}}]))
        for _ in range(3):
            pings = play.later()

    assert pings == []
    assert play.counter("waiting") == 0
    assert play.counter("stopped_unsendable") == 1


@pytest.mark.parametrize(
    ("headers", "options", "more"),
    [
        ((("authorization", "Bearer sk-ant-oat01-made-up"),), {}, {}),
        ((KEY, ("x-claude-code-agent-id", "a1")), {}, {}),
        ((KEY, *FLAG.items()), {"ttl_policy": "always"}, {}),
        ((KEY, *FLAG.items()), {"ttl_policy": "always", "hold_out": 0.999999}, {}),
        ((KEY,), {}, {"system": [text("word " * 8_000, cache_control={"type": "ephemeral", "ttl": "1h"})]}),
        ((KEY,), {}, {"system": "short"}),
    ],
    ids=["subscription", "sub-agent", "upgraded", "held out", "client's hour", "nothing cached"],
)
def test_conversations_that_are_not_kept_warm(
    headers: tuple[tuple[str, str], ...], options: dict[str, Any], more: dict[str, Any]
) -> None:
    """
    Nothing is kept of such a conversation.
    """
    with playing(**options) as play:
        play.ask(body(**more), *headers)
        assert play.counter("waiting") == 0
        assert play.later() == []


def test_a_cold_cache_stops_it() -> None:
    """
    After a leap of the clock nothing is warm any more.
    """
    with playing() as play:
        play.ask(body())
        assert play.later(3600) == []
        assert play.counter("stopped_expired") == 1


def test_an_upstream_that_refuses() -> None:
    """
    This is announced once, and no more are sent for that model.
    """
    with playing() as play:
        play.ask(body())
        play.upstream.app.faults.set(parse("status=400*1"))
        assert len(play.later()) == 1
        play.ask(body(1))
        assert len(play.later()) == 1

    assert [event for event, _ in play.proxy.announced] == ["keep_warm_refused"]
    assert play.counter("stopped_failed") == 1


def test_it_runs_by_itself() -> None:
    """
    Once a second; `/-/health` shows what was sent.
    """
    with playing() as play:
        play.ask(body())
        play.clock.advance(PING_S)
        until(lambda: play.counter("sent") == 1)
        until(lambda: play.counter("spent_nusd") > 0)
        health = json.loads(exchange(play.proxy.port, request("GET", "/-/health", b"")).body)

    assert health["counters"]["keep_warm"]["sent"] == 1
    assert health["keep_warm"] == "ok"


@pytest.mark.parametrize(("warm_share", "sent"), [(0.5, 1), (1.5, 0)])
def test_auto_decides_what_is_kept_warm(warm_share: float, sent: int) -> None:
    """
    A person whose conversations cost less with 5 minutes: kept warm if that costs still less, and left alone if not.
    """
    five = 10**9
    run = Run("r", "start", START - timedelta(days=1), five, 2 * five, round(warm_share * five), (2, *[0] * 11))
    AutoHistoryFile(user_state() / "auto.json").add([("", run)])
    with playing(ttl_policy="auto") as play:
        play.ask(body(), KEY, *FLAG.items())
        assert len(play.later()) == sent
        auto = play.proxy.exchanges[0].upgrade.auto

    assert auto is not None
    assert (auto.ttl, auto.keeps_warm) == ("5m", bool(sent))
    line = logfmt(play.proxy.exchanges[0])
    assert ("ttl_policy=auto:5m-warm" in line) == bool(sent)


def test_learned_pauses_survive_a_restart() -> None:
    """
    A person who never came back is not waited for long, without the policy auto too.
    """
    runs = [Run(f"r{n}", "start", START - timedelta(days=n), 9, 9, 9, (0,) * 12) for n in range(1, 41)]
    AutoHistoryFile(user_state() / "auto.json").add(("", run) for run in runs)
    with playing() as play:
        play.ask(body())
        play.later()
        assert len(play.later()) == 1
        assert play.counter("stopped_not_worth") == 1


def test_auto_does_not_take_a_kept_cache_for_a_cold_one() -> None:
    """
    A lane at 5 minutes that was kept warm stays there, and its pauses teach nothing that a request did not show.
    """
    with playing(ttl_policy="auto") as play:
        session = ("x-claude-code-session-id", "two")
        auto = play.proxy.relay.upgrading._auto
        assert auto is not None
        play.ask(body(), KEY, session)
        for _ in range(2):
            play.later()
        assert auto.counters == {"learned": 0}
