"""
A telemetry sink is one row of the table `SINKS`: the proxy, the banner, `doctor` and the counters find it there.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from savemode_cli.cli.banner import banner_rows
from savemode_cli.cli.compose import Proxy
from savemode_cli.cli.opening import opened_sinks
from savemode_cli.config import Settings
from savemode_cli.telemetry.definition import Probe, SinkContext, SinkDefinition, SinkFinding
from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.sinks import SINKS
from tests.support.command import Run
from tests.support.upstream import Upstream, running_proxy
from tests.support.waiting import until
from tests.support.wire import exchange, request

DELIVERED: list[Event] = []


class Pigeon:
    """
    An outlet.
    """

    where = "the pigeon"

    def deliver(self, batch: Any, timeout_s: float) -> None:
        """
        Take a batch.
        """
        DELIVERED.extend(batch)


def check(_: Settings, probe: Probe) -> Iterator[SinkFinding]:
    """
    One finding, which shows that the probe works.
    """
    yield SinkFinding("OK", f"the pigeon is here{probe.why_not_writable(Path())}")


PIGEON = SinkDefinition(
    name="pigeon",
    about="pigeon",
    is_configured=lambda settings: settings.observe,
    destination=lambda _: "the pigeon",
    open=lambda context: context.background("pigeon", Pigeon(), batch_s=0.0),
    check=check,
)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Add the sink from outside.
    """
    DELIVERED.clear()
    monkeypatch.setitem(SINKS, PIGEON.name, PIGEON)


def test_told_and_counted(upstream: Upstream) -> None:
    """
    The proxy opens it, tells it of each exchange, and shows its state and its counters in `/-/health`.
    """
    settings = Settings(observe=True)
    with (
        opened_sinks(settings, lambda *_: None, sys.stdout) as sinks,
        running_proxy(upstream.url, sinks=sinks) as proxy,
    ):
        exchange(proxy.port, request("POST", "/v1/messages", b'{"model":"claude-opus-5-5","messages":[]}'))
        proxy.exchange()
        until(lambda: sinks[0].counters["delivered"] == 1)
        health = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)

    assert [event["event"] for event in DELIVERED] == ["$ai_generation"]
    assert health["pigeon"] == "ok"
    assert health["counters"]["pigeon"] == {"delivered": 1, "lost": 0, "waiting": 0}


def test_in_the_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where it is configured, and only there.
    """
    monkeypatch.setattr("savemode_cli.cli.banner._budget_rows", lambda *_: [])
    monkeypatch.setattr("savemode_cli.views.banner.gate_words", lambda _: "")
    relay = SimpleNamespace(gate=lambda: None)
    proxy = cast("Proxy", SimpleNamespace(simulated=None, network=None, sinks=[], relay=relay))

    assert ("events", "the pigeon, without prompts and answers") in banner_rows(Settings(observe=True), proxy)
    assert "events" not in dict(banner_rows(Settings(), proxy))


def test_in_doctor(savemode: Run, upstream: Upstream) -> None:
    """
    Its own findings, and what a running proxy has counted.
    """
    with (
        opened_sinks(Settings(observe=True), lambda *_: None, sys.stdout) as sinks,
        running_proxy(upstream.url, sinks=sinks) as proxy,
    ):
        done = savemode("doctor", "--json", "--port", str(proxy.port), "--upstream", upstream.url)
    findings = {(one["about"], one["text"]) for one in json.loads(done.out)["findings"]}

    assert ("pigeon", "the pigeon is here") in findings
    assert ("proxy", "its pigeon: 0 delivered, 0 lost, 0 waiting") in findings


def test_what_a_definition_says_by_itself() -> None:
    """
    A sink without a check of its own is said to be on, or nothing is said of it.
    """
    plain = SinkDefinition(
        name="plain", is_configured=lambda one: one.quiet, destination=lambda _: "nowhere", open=PIGEON.open
    )
    probe = cast("Probe", None)

    assert list(plain.findings(Settings(), probe)) == []
    assert list(plain.findings(Settings(quiet=True, telemetry_content=True), probe)) == [
        SinkFinding("OK", "events go to nowhere, with prompts and answers")
    ]


def test_a_sink_that_cannot_be_opened_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Those that were opened before it are closed.
    """
    opened = []

    def remember(context: SinkContext) -> Any:
        opened.append(context.background("pigeon", Pigeon()))
        return opened[-1]

    def fail(_: SinkContext) -> Any:
        raise RuntimeError("no")

    on: dict[str, Any] = {"is_configured": lambda _: True, "destination": lambda _: ""}
    monkeypatch.setitem(SINKS, "pigeon", SinkDefinition(name="pigeon", open=remember, **on))
    monkeypatch.setitem(SINKS, "later", SinkDefinition(name="later", open=fail, **on))
    with pytest.raises(RuntimeError), opened_sinks(Settings(), lambda *_: None, sys.stdout):
        pass

    assert not opened[0]._thread.is_alive()
