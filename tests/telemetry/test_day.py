"""
A day of mixed traffic: a dashboard made of the events shows the dollars that the ledger and the receipts have.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.simulated.clock import Clock
from savemode_cli.telemetry.background import Background
from savemode_cli.telemetry.event import Origin, ai_generation
from savemode_cli.telemetry.posthog import PostHog
from tests.conftest import FLAG
from tests.support.asked import resets
from tests.support.receiver import receiver
from tests.support.simulated import KEY, VERSION, asks, running_simulated, system
from tests.support.upstream import RunningProxy, running_proxy
from tests.support.wire import CutShort, End, request

START = datetime(2026, 11, 24, tzinfo=UTC)
CAP_NUSD = 1_000_000_000_000
REQUESTS = 240
FUTURE = "claude-of-the-future"  # answered, and without a price
FAULTS = ("status=529", "status=400", "drop", "garbage", "truncate", "truncate=1", "error", "downgrade", "downgrade")
PAUSES_S = (1, 5, 20, 60, 200, 290, 400, 1_800, 3_000, 4_000)


def a_request(chance: random.Random) -> tuple[bytes, bool]:
    """
    Some request, and whether its client hangs up.
    """
    session = chance.randrange(6)
    marks = system(chance.choice([None, None, None, "1h"]), f"Session {session}. " + "Read the whole of it. " * 400)
    said = [{"role": "user", "content": f"turn {chance.randrange(3)}"}]
    model = FUTURE if chance.random() < 0.05 else "claude-opus-5-5"
    body = asks(said, model=model, system=marks, stream=chance.random() < 0.5)
    headers = [KEY, VERSION, ("x-claude-code-session-id", f"session-{session}")]
    if chance.random() < 0.8:
        headers += FLAG.items()
    hangs_up = body["stream"] and chance.random() < 0.15
    if hangs_up:
        headers.append(("x-savemode-fault", "stall=3,after=4"))
    elif chance.random() < 0.25:
        headers.append(("x-savemode-fault", chance.choice(FAULTS)))
    path = chance.choice(["/v1/messages", "/posthog_code/v1/messages", "/v1/messages/count_tokens", "/v1/messages"])
    return request("POST", path, json.dumps(body).encode(), *headers), hangs_up


def play(proxy: RunningProxy, clock: Clock, chance: random.Random) -> None:
    """
    One request after the other, with the pauses of a day; towards its end the cap is lowered, and what comes is refused.
    """
    for number in range(REQUESTS):
        if number == REQUESTS * 9 // 10:
            proxy.ledger.set_budget(Budget("default", 1))
        raw, hangs_up = a_request(chance)
        with suppress(CutShort, ConnectionError), End.to(proxy.port) as client:
            client.send(raw)
            if not hangs_up:
                client.message()
            elif client.head().all(b"transfer-encoding") == [b"chunked"]:
                client.chunk()
                resets(client)
        proxy.exchange(number)
        clock.advance(chance.choice(PAUSES_S))


def nusd(events: list[dict[str, Any]], name: str) -> int:
    """
    The sum of a property, as PostHog adds it up, in nano-dollars.
    """
    amounts: list[float] = [event["properties"].get(name, 0.0) for event in events]
    return round(sum(amounts) * 1e9)


def days(clock: Clock) -> Iterator[str]:
    """
    The days that the clock went through.
    """
    for number in range((clock() - START).days + 1):
        yield f"2026-11-{24 + number}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_dashboard_is_the_ledger_and_the_receipts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    To the nano-dollar, day by day, over all there is: streams, hang-ups, refusals, upgrades, downgrades, errors.
    """
    monkeypatch.setattr("savemode_cli.telemetry.background._FIRST_PAUSE_S", 0.01)
    clock, announced = Clock(START), []
    with receiver() as posthog, running_simulated(clock=clock, models=frozenset({FUTURE})) as upstream:
        posthog.answer = _fails_now_and_then(random.Random(seed))
        make = partial(ai_generation, origin=Origin(upstream.url, "1"))
        sink = Background("telemetry", make, PostHog("phc_key", posthog.url), lambda *one: announced.append(one))
        settings: dict[str, Any] = {"ttl_policy": "always", "budget_nusd": CAP_NUSD}
        with running_proxy(upstream.url, sinks=[sink], now=clock, **settings) as proxy:
            play(proxy, clock, random.Random(seed))
            balance = proxy.ledger.balance(Budget("default", CAP_NUSD).key("", clock()), clock())
            exchanges = [one for one in proxy.exchanges if not one.call.path.endswith("count_tokens")]
        sink.close()
        events = posthog.taken

    assert sink.lost == 0
    assert {event["properties"]["$ai_span_id"] for event in events} == {one.id for one in exchanges}
    assert len(events) == len(exchanges)
    _there_was_everything(exchanges)

    assert nusd(events, "$ai_total_cost_usd") == balance.spent_nusd
    assert nusd(events, "cache_saving_usd") == -sum(_difference_nusd(one) for one in exchanges)
    for day in days(clock):
        of_day = [event for event in events if event["timestamp"].startswith(day)]
        charged = [one.bill.cost_nusd or 0 for one in exchanges if one.started_at.isoformat().startswith(day)]
        assert nusd(of_day, "$ai_total_cost_usd") == sum(charged)
    sides = nusd(events, "$ai_input_cost_usd") + nusd(events, "$ai_output_cost_usd")
    held = [event for event in events if "$ai_input_cost_usd" not in event["properties"]]
    assert sides + nusd(held, "$ai_total_cost_usd") == balance.spent_nusd


def _fails_now_and_then(chance: random.Random) -> Any:
    return lambda _post: (503, {}) if chance.random() < 0.2 else (200, {"status": 1})


def _difference_nusd(exchange: Exchange) -> int:
    return 0 if exchange.bill.receipt is None else exchange.bill.receipt.difference_nusd or 0


def _there_was_everything(exchanges: list[Exchange]) -> None:
    """
    Or the day would prove less than it says.
    """
    outcomes = Counter(one.answer.outcome for one in exchanges)
    verified = Counter(one.bill.receipt.verified for one in exchanges if one.bill.receipt is not None)
    bases = {one.bill.settlement.basis for one in exchanges if one.bill.settlement is not None}

    assert set(outcomes) == {"ok", "refused", "upstream_error", "client_gone", "broken", "unreachable"}
    assert min(verified[True], verified[False]) > 0
    assert bases == {"reported", "estimated", "held", "none"}
    assert any(one.call.stream for one in exchanges)
    assert any(one.bill.price_state == "unpriced" for one in exchanges)
    assert any(_difference_nusd(one) < 0 for one in exchanges)
    assert any(_difference_nusd(one) > 0 for one in exchanges)
