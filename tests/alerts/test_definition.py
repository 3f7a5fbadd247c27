"""
A channel is one row of the table `ALERT_CHANNELS`: the proxy, the banner and `savemode alerts test` find it there.
"""

from types import SimpleNamespace
from typing import cast

import pytest

from savemode_cli.alerts.channels import ALERT_CHANNELS
from savemode_cli.alerts.definition import ChannelDefinition
from savemode_cli.cli.banner import banner_rows
from savemode_cli.cli.compose import Proxy
from savemode_cli.config import Settings
from savemode_cli.core.budget.alerts import Alert
from tests.support.calling import send
from tests.support.command import Run
from tests.support.upstream import Upstream, running_proxy
from tests.support.waiting import until

TOLD: list[Alert] = []
PIGEON = ChannelDefinition(
    name="pigeon",
    is_configured=lambda settings: settings.observe,
    destination=lambda _: "the pigeon",
    open=lambda _: lambda alert, _: TOLD.append(alert),
)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Add the channel from outside.
    """
    TOLD.clear()
    monkeypatch.setitem(ALERT_CHANNELS, PIGEON.name, PIGEON)


def test_told_by_a_proxy(upstream: Upstream) -> None:
    """
    The proxy opens it and tells it.
    """
    with running_proxy(upstream.url, observe=True, budget_nusd=1) as proxy:
        send(proxy)
        until(lambda: len(TOLD) == 1)

    assert TOLD[0].kind == "budget"


def test_in_the_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where it is configured, and only there.
    """
    monkeypatch.setattr("savemode_cli.cli.banner._budget_rows", lambda *_: [])
    monkeypatch.setattr("savemode_cli.views.banner.gate_words", lambda _: "")
    proxy = cast(
        "Proxy", SimpleNamespace(simulated=None, network=None, sinks=[], relay=SimpleNamespace(gate=lambda: None))
    )

    assert ("alerts", "pigeon: the pigeon") in banner_rows(Settings(observe=True), proxy)
    assert "alerts" not in dict(banner_rows(Settings(), proxy))


def test_by_the_command(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `savemode alerts test` sends by it.
    """
    monkeypatch.setenv("SAVEMODE_OBSERVE", "true")

    assert savemode("alerts", "test").out == "pigeon  sent to the pigeon\n"
    assert TOLD[0].kind == "test"
