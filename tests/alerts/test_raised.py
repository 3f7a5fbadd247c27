"""
The alerts of running proxies: once for all processes of a ledger, in the background, and without what was said.
"""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.alerts.raised import Alerts
from savemode_cli.alerts.sender import Sender
from savemode_cli.core.budget.admission import Decision
from savemode_cli.core.budget.alerts import Alert, Crossings
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.errors import LedgerBusy
from savemode_cli.core.upgrade.receipt import Receipt
from tests.builders import a_refusal, a_standing, an_allowance, an_edit, an_observed
from tests.core.budget.test_alerts import SHARES
from tests.proxy.test_guarding import SESSION, loop
from tests.support.calling import CALL, send
from tests.support.receiver import fake_program, receiving
from tests.support.upstream import Upstream, running_proxy
from tests.support.waiting import until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
COST = 32_000  # of the upstream's answer, in nano-USD


def test_shares_of_a_budget(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Each once, by each channel; no prompt and no key is in it.
    """
    written = fake_program(monkeypatch, tmp_path, "notify-send")
    call = {**CALL, "messages": [{"role": "user", "content": "made-up prompt"}]}
    with (
        receiving() as receiver,
        running_proxy(
            upstream.url, budget_nusd=4 * COST, alerts_webhook=receiver.webhook, alerts_desktop=True
        ) as proxy,
    ):
        for number in range(5):
            answer = send(proxy, call, x_api_key="sk-ant-made-up")
            assert answer.status == (200 if number < 4 else 429)
            proxy.exchange(number)
            if number in (1, 3):
                until(lambda: len(receiver.posts) == 1 + (number == 3))  # noqa: B023 - waits here
        until(lambda: written.exists() and len(written.read_text().splitlines()) == 2)

    assert [alert["budget"]["share"] for alert in receiver.alerts] == [0.5, 1.0]
    shown = json.dumps(receiver.posts, default=str) + written.read_text()
    assert "made-up prompt" not in shown
    assert "sk-ant" not in shown
    assert [alert["kind"] for alert in receiver.alerts] == ["budget", "budget"]


def test_once_over_all_processes_of_a_ledger(upstream: Upstream, tmp_path: Path) -> None:
    """
    Three proxies with one ledger tell a crossing once, and so does one that starts later. A raised cap is crossed anew.
    """
    options: dict[str, Any] = {"ledger": f"sqlite:///{tmp_path}/l.db", "budget_nusd": 10 * COST, "alerts_at": SHARES}
    with receiving() as receiver:
        options["alerts_webhook"] = receiver.webhook
        with (
            running_proxy(upstream.url, **options) as first,
            running_proxy(upstream.url, **options) as second,
            running_proxy(upstream.url, **options) as third,
        ):
            for _ in range(2):
                for proxy in (first, second, third):
                    assert send(proxy).status == 200
                    proxy.exchanges  # noqa: B018 - the bill is written
            until(lambda: len(receiver.posts) == 1)
        with running_proxy(upstream.url, **options) as later:
            assert send(later).status == 200
            assert later.exchanges
        with running_proxy(upstream.url, **{**options, "budget_nusd": 16 * COST}) as raised:
            assert send(raised).status == 200
            until(lambda: len(receiver.posts) == 2)
        ledger_file = tmp_path / "l.db"

    assert [alert["budget"]["limit_nusd"] for alert in receiver.alerts] == [10 * COST, 16 * COST]
    assert ledger_file.exists()


def test_a_slow_channel_makes_no_request_wait(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Requests are answered while the channel has not.
    """
    (tmp_path / "slow").write_text("#!/bin/sh\nwhile :; do /bin/sleep 1; done\n")
    (tmp_path / "slow").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("savemode_cli.alerts.sender.TIMEOUT_S", 0.5)
    with running_proxy(upstream.url, budget_nusd=COST, budget_action="warn", alerts_command="slow") as proxy:
        send(proxy)
        until(lambda: proxy.exchanges)
        alerts = proxy.relay.till._observers[0].__self__  # type: ignore[attr-defined]
        until(lambda: alerts._senders[0]._thread is not None)
        statuses = [send(proxy).status for _ in range(3)]
        assert alerts.counters["sent"] == alerts.counters["failed"] == 0

    assert statuses == [200] * 3


def test_loop_and_downgrade(upstream: Upstream) -> None:
    """
    A loop is told once an hour, however often it is refused.
    """
    with receiving() as receiver:
        with running_proxy(upstream.url, guard_action="refuse", alerts_webhook=receiver.webhook) as proxy:
            for _ in range(3):
                assert send(proxy, loop(10), **SESSION).status == 429
            until(lambda: len(receiver.posts) == 1)
        assert receiver.alerts[0]["guard"]["seen"] == 10

        sent: list[Alert] = []
        alerts = alerts_to(sent)
        downgraded = an_observed(edits=(an_edit(),), receipt=Receipt(verified=False, cost_nusd=1))
        for _ in range(2):
            alerts.keep(downgraded)
        alerts.keep(an_observed(alarm=Alarm("agents", 3, 2)))
        alerts.close()
    assert [one.kind for one in sent] == ["downgrade", "guard"]


def alerts_to(sent: list[Alert]) -> Alerts:
    """
    Alerts of a proxy without a ledger, that arrive in a list.
    """
    return Alerts([Sender("list", lambda alert, _: sent.append(alert), lambda *_: None)], Crossings(SHARES))


def test_trouble_of_the_ledger() -> None:
    """
    Is announced as always, and told once an hour.
    """
    sent: list[Alert] = []
    announced: list[tuple[str, str]] = []
    alerts = alerts_to(sent)
    announce = alerts.listening(lambda *words: announced.append(words))
    for event in ("ledger_unavailable", "ledger_unavailable", "other"):
        announce(event, "disk full")
    alerts.close()

    assert len(announced) == 3
    assert [one.text for one in sent] == ["disk full."]


def test_trouble_of_one_ledger_is_told_once_by_all_processes_of_a_machine(tmp_path: Path) -> None:
    """
    The ledger cannot be asked, so the claim is a file; another ledger's trouble is another alert.
    """
    sent: list[Alert] = []
    for ledger in ("one", "one", "other"):
        sender = Sender("list", lambda alert, _: sent.append(alert), lambda *_: None)
        alerts = Alerts([sender], Crossings(SHARES), ledger, tmp_path / "alerts")
        alerts.listening(lambda *_: None)("ledger_unavailable", f"{ledger} is full")
        alerts.close()

    assert [one.text for one in sent] == ["one is full.", "other is full."]


def test_refusal_of_a_strict_budget(upstream: Upstream) -> None:
    """
    Money is left, so no share tells it.
    """
    with (
        receiving() as receiver,
        running_proxy(upstream.url, budget_nusd=2 * COST, strict=True, alerts_webhook=receiver.url) as proxy,
    ):
        for _ in range(2):
            assert send(proxy, {**CALL, "max_tokens": 10_000}).status == 429
        until(lambda: receiver.posts)
        assert proxy.exchanges

    assert [alert["kind"] for alert in receiver.alerts] == ["strict"]


class Busy:
    """
    A ledger that is locked at first.
    """

    def __init__(self, times: int) -> None:
        """
        How many claims find it locked.
        """
        self.times = times
        self.claimed: list[str] = []

    async def claim(self, name: str, _: datetime) -> bool:
        """
        The first to claim, once it is not locked.
        """
        if self.times:
            self.times -= 1
            raise LedgerBusy("locked")
        self.claimed.append(name)
        return self.claimed.count(name) == 1

    def outside_loop(self, coroutine: Any) -> bool:
        """
        Its result.
        """
        return bool(asyncio.run(coroutine))


def half_spent() -> Decision:
    """
    A budget of which more than half is spent.
    """
    return an_allowance(a_standing(used_nusd=6_000_000_000))


def test_locked_ledger_is_claimed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If it stays locked, the alert is sent all the same.
    """
    monkeypatch.setattr("savemode_cli.alerts.raised._PAUSE_S", 0.001)
    for times, claims in ((3, 1), (10**9, 0)):
        sent: list[Alert] = []
        ledger, alerts = Busy(times), alerts_to(sent)
        alerts.claim_with(ledger)

        async def crossed(alerts: Alerts = alerts) -> None:
            alerts.settled(half_spent(), NOW)
            await asyncio.gather(*alerts._tasks)

        asyncio.run(crossed())
        alerts.close()
        assert (len(sent), len(ledger.claimed)) == (1, claims)


def test_after_the_loop_has_ended() -> None:
    """
    The last bill of a run is written then; it is claimed at once. A refusal crosses nothing.
    """
    sent: list[Alert] = []
    ledger, alerts = Busy(0), alerts_to(sent)
    alerts.claim_with(ledger)
    alerts.settled(half_spent(), NOW)
    alerts.settled(a_refusal(), NOW)
    other = alerts_to(sent)
    other.claim_with(ledger)
    other.settled(half_spent(), NOW)
    alerts.close()
    other.close()

    assert len(sent) == 1
    assert (alerts.trouble, alerts.counters) == ("", {"sent": 1, "failed": 0, "waiting": 0})


def test_time_from_crossing_to_alert(upstream: Upstream) -> None:
    """
    Is measured by tests/benchmarks/alerts.py; here only that both times are known.
    """
    with receiving() as receiver, running_proxy(upstream.url, budget_nusd=1, alerts_webhook=receiver.webhook) as proxy:
        before = time.time()
        send(proxy)
        until(lambda: receiver.posts)

    assert datetime.fromisoformat(receiver.alerts[0]["at"]).timestamp() >= before - 1
