"""
The proxy's verdicts on cache misses, over real sockets.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.proxy.misses import MAX_BYTES, MAX_STEPS
from savemode_cli.simulated.clock import Clock
from tests.support.mutations import conversation, marked, replaced
from tests.support.prompts import Object, encoded, text
from tests.support.simulated import running_simulated
from tests.support.upstream import RunningProxy, running_proxy

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class Program:
    """
    A client with a proxy of its own.
    """

    proxy: RunningProxy
    clock: Clock

    def ask(self, body: Object, **headers: str) -> Exchange:
        """
        Send a request, then wait for 5 seconds.
        """
        before = len(self.proxy.exchanges)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = httpx.post(
            f"{self.proxy.url}/v1/messages",
            content=encoded(body),
            headers={"x-api-key": "made-up", "anthropic-version": "2023-06-01", **named},
            timeout=60,
        )
        answer.read()
        self.clock.advance(5)
        return self.proxy.exchange(before)


@pytest.fixture
def program() -> Iterator[Program]:
    """
    A proxy in front of a simulated API.
    """
    clock = Clock(NOON)
    with running_simulated(clock=clock) as upstream, running_proxy(upstream.url, now=clock) as proxy:
        yield Program(proxy, clock)


def verdict(exchange: Exchange) -> Verdict:
    """
    The verdict of an exchange.
    """
    assert exchange.bill.verdict is not None
    return exchange.bill.verdict


def test_a_date_in_the_system_prompt(program: Program) -> None:
    """
    The cause, the place, the compared requests, and the cost above a cache read.
    """
    first = program.ask(conversation(0))
    assert verdict(first).misses == ()
    body = conversation(1)
    replaced("11-24", "11-25", "system", 1, "text")(body)
    found = verdict(program.ask(body))
    (miss,) = found.misses

    assert (miss.cause, miss.at, miss.values_only) == ("system_changed", "system[1].text", True)
    assert found.base == first.id
    assert miss.cost_nusd == found.cost_nusd > 0
    assert found.missed_tokens == miss.tokens > 1024


def test_a_pause(program: Program) -> None:
    """
    The times of the proxy count.
    """
    program.ask(conversation(0), x_claude_code_session_id="one")
    program.clock.advance(420)
    (miss,) = verdict(program.ask(conversation(1), x_claude_code_session_id="one")).misses

    assert (miss.cause, miss.held_by) == ("expired", "1h")


def test_sessions_and_agents_are_kept_apart(program: Program) -> None:
    """
    A sub-agent with its own prompt misses nothing, and the main conversation is not affected.
    """
    name = {"x_claude_code_session_id": "one"}
    program.ask(conversation(0), **name)
    other = marked(conversation(0, system=[text("You search. " * 900)]))

    assert verdict(program.ask(other, x_claude_code_agent_id="a", **name)).misses == ()
    assert verdict(program.ask(conversation(1), **name)).misses == ()


def test_what_gets_no_verdict(program: Program) -> None:
    """
    A request that the upstream refused, one that is too large, and one that is not a model call. The next request is
    compared with the last one that was answered.
    """
    program.ask(conversation(0))
    bad = program.ask({**conversation(1), "max_tokens": -1})
    many = program.ask({**conversation(0), "messages": [{"role": "user", "content": [text("a")] * MAX_STEPS}]})
    large = program.ask({**conversation(0), "metadata": {"user_id": "x" * MAX_BYTES}})

    assert (bad.answer.status, bad.bill.verdict) == (400, None)
    assert (large.bill.verdict, many.bill.verdict) == (None, None)
    assert verdict(program.ask(conversation(1))).misses == ()


def test_a_fault_of_ours_does_not_reach_the_client(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is announced, and the request is answered and recorded.
    """
    for name in ("asked", "answered"):

        def fail(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(f"savemode_cli.proxy.misses.History.{name}", fail)
        exchange = program.ask(conversation(0))
        monkeypatch.undo()

        assert (exchange.answer.status, exchange.bill.verdict) == (200, None)
        assert exchange.bill.cost is not None
    assert [event for event, _ in program.proxy.announced] == ["internal_error", "internal_error"]


def test_exchanges_and_health_show_it(program: Program) -> None:
    """
    The list of exchanges contains the verdict as JSON.
    """
    program.ask(conversation(0))
    body = conversation(1)
    replaced("good", "bad", "system", 0, "text")(body)
    program.ask(body)
    rows = httpx.get(f"{program.proxy.url}/-/exchanges", timeout=60).json()["exchanges"]

    assert rows[0]["verdict"]["misses"] == []
    assert rows[1]["verdict"]["misses"][0]["cause"] == "system_changed"
    assert rows[1]["verdict"]["compared_with"] == rows[0]["id"]
    assert "You are" not in json.dumps(rows)
