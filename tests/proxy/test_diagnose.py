"""
The API's own cache diagnostics through the proxy, over real sockets.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from savemode_cli.captures.sink import CaptureSink
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.wire.diagnostics import CacheDiagnosis
from savemode_cli.simulated.clock import Clock
from tests.conftest import FLAG
from tests.support.command import Run
from tests.support.mutations import conversation, replaced
from tests.support.prompts import Object, encoded
from tests.support.simulated import running_simulated
from tests.support.upstream import RunningProxy, Upstream, error, reply, running_proxy

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"others": {"diagnose": True}, "ttl_policy": "off"}


def ask(proxy: RunningProxy, body: Object, **headers: str) -> Exchange:
    """
    Send a request with the gate open.
    """
    before = len(proxy.exchanges)
    named = {"x-api-key": "made-up", "anthropic-version": "2023-06-01", "x-claude-code-session-id": "one"}
    answer = httpx.post(
        f"{proxy.url}/v1/messages", content=encoded(body), headers={**named, **FLAG, **headers}, timeout=60
    )
    answer.read()
    return proxy.exchange(before)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """
    Where captures go.
    """
    return tmp_path / "captures"


@pytest.fixture
def proxy(store: Path) -> Iterator[RunningProxy]:
    """
    A proxy that asks for diagnoses, and a simulated API behind it.
    """
    clock = Clock(NOON)
    sink = CaptureSink(store, lambda *_: None)
    with (
        running_simulated(clock=clock) as upstream,
        running_proxy(upstream.url, now=clock, sinks=[sink], **OPTIONS) as made,
    ):
        yield made
    sink.close()


def test_both_verdicts(proxy: RunningProxy, store: Path, savemode: Run) -> None:
    """
    The first request asks to be remembered, the next one is compared, a changed one is named; `why` counts agreement.
    """
    first, second = ask(proxy, conversation(0)), ask(proxy, conversation(1))
    changed = conversation(2)
    replaced("11-24", "11-25", "system", 1, "text")(changed)
    third = ask(proxy, changed)

    assert [exchange.answer.diagnosis for exchange in (first, second)] == [None, CacheDiagnosis("no_divergence")]
    assert third.answer.diagnosis is not None
    assert third.answer.diagnosis.reason == "system_changed"
    assert third.to_json()["api_diagnosis"]["missed_tokens"] > 1000
    assert [len(exchange.upgrade.edits) for exchange in (first, second, third)] == [1, 1, 1]
    proxy.stop()
    proxy.thread.join(20)
    shown = savemode("why", str(store))
    data = json.loads(savemode("why", str(store), "--json").out)
    assert "names the same cause for 2 (100 %)" in shown.out
    assert "the API says: system_changed, about " in shown.out
    assert (data["api_diagnosed_requests"], data["api_agreed_requests"], data["api_disputed"]) == (2, 2, [])
    assert data["rows"][0]["api_agrees"] is True


def test_an_upstream_that_does_not_know_it(upstream: Upstream) -> None:
    """
    The original is sent once, and later requests do not ask for the diagnosis.
    """
    refusals = [error("invalid_request_error", "diagnostics: Extra inputs are not permitted")]

    async def script(_received: object, writer: object) -> None:
        writer.write(refusals.pop() if refusals else reply())  # type: ignore[attr-defined]

    upstream.script = script
    with running_proxy(upstream.url, **OPTIONS) as proxy:
        exchanges = [ask(proxy, conversation(0)) for _ in range(2)]

        assert [(exchange.answer.status, exchange.upgrade.resent) for exchange in exchanges] == [
            (200, True),
            (200, False),
        ]
        assert [b"diagnostics" in received.body for received in upstream.received] == [True, False, False]
        assert upstream.received[1].body == encoded(conversation(0))
        assert [event for event, _ in proxy.announced if event == "diagnose_stopped"] == ["diagnose_stopped"]


def test_off_by_default(upstream: Upstream) -> None:
    """
    Without the option nothing is added.
    """
    with running_proxy(upstream.url) as proxy:
        ask(proxy, conversation(0))

        assert b"diagnostics" not in upstream.received[0].body
