"""
`/-/summary` and `/-/events` of a real proxy.
"""

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.window import parse_window
from savemode_cli.ledgers import open_ledger
from savemode_cli.proxy.broadcast import MAX_READERS
from savemode_cli.views.live_page import read_files
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.waiting import until
from tests.support.wire import End, exchange, request

PLAIN = b'{"model":"claude-opus-5-5"}'
SESSION = ("x-claude-code-session-id", "11111111-2222-3333-4444-555555555555")


def summary(proxy: RunningProxy, query: str = "") -> dict[str, Any]:
    """
    The answer of `/-/summary`.
    """
    answer = exchange(proxy.port, request("GET", f"/-/summary{query}"))
    assert answer.status == 200
    assert answer.all(b"cache-control") == [b"no-store"]
    got: dict[str, Any] = json.loads(answer.body)
    return got


def call(proxy: RunningProxy, *headers: tuple[str, str]) -> None:
    """
    A billed call.
    """
    assert exchange(proxy.port, request("POST", "/v1/messages", PLAIN, *headers)).status == 200


def watching(proxy: RunningProxy) -> End:
    """
    An open stream of events.
    """
    end = End.to(proxy.port)
    end.send(request("GET", "/-/events"))
    assert end.head().all(b"content-type") == [b"text/event-stream; charset=utf-8"]
    assert end.chunk() == b"retry: 2000\n\n"
    return end


def test_the_sums_are_those_of_the_exchanges(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    They equal the exchanges and the ledger to the nano-dollar.
    """
    before = summary(proxy)
    for _ in range(3):
        call(proxy)
    after = summary(proxy)

    costs = [one.bill.cost_nusd or 0 for one in proxy.exchanges]
    assert (before["total"]["requests"], before["sessions"], before["schema_version"]) == (0, [], 1)
    assert after["total"]["requests"] == 3
    assert after["total"]["cost_nusd"] == after["counts"]["cost_nusd"] == sum(costs) > 0
    assert sum(charge.nusd for charge in proxy.ledger.charges()) == sum(costs)
    assert after["in_flight"] == 0


def test_one_session(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    With its sub-agents, by the session ID of the client.
    """
    call(proxy, SESSION)
    call(proxy, SESSION, ("x-claude-code-agent-id", "agent-1"))
    call(proxy, ("x-claude-code-session-id", "another"))
    shown = summary(proxy, f"?session={SESSION[1]}")

    (session,) = shown["sessions"]
    assert (session["session"], session["requests"]) == (SESSION[1], 2)
    assert [agent["agent"] for agent in session["agents"]] == ["agent-1"]
    assert "hours" not in shown
    assert len(summary(proxy)["sessions"]) == 2
    assert summary(proxy, "?session=unknown")["sessions"] == []


def test_each_exchange_is_an_event(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Every reader gets it, with the fields of `/-/exchanges`.
    """
    with watching(proxy) as one, watching(proxy) as two:
        call(proxy)
        events = [one.chunk(), two.chunk()]

    assert events[0] == events[1]
    first, number, data, *rest = events[0].decode().split("\n")
    assert (first, number, rest) == ("event: exchange", "id: 1", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == proxy.exchange().to_json()


def test_watching_does_not_keep_the_proxy_from_stopping(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    A stream ends normally when the proxy stops, without using the grace period.
    """
    with watching(proxy) as end:
        proxy.stop()
        assert end.chunk() == b""
    until(lambda: not proxy.thread.is_alive())


def test_the_number_of_readers_is_limited(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    One more reader is refused until another one leaves.
    """

    def status() -> int:
        with End.to(proxy.port) as end:
            end.send(request("GET", "/-/events"))
            return end.head().status

    with ExitStack() as stack:
        for _ in range(MAX_READERS):
            stack.enter_context(watching(proxy))
        assert status() == 503
    until(lambda: status() == 200)


@pytest.mark.parametrize("path", ["/-/", "/-/summary", "/-/events", "/-/metrics", "/-/page.js"])
def test_other_sites_are_refused(upstream: Upstream, proxy: RunningProxy, path: str) -> None:
    """
    As on every path of the proxy.
    """
    for header in (("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")):
        assert exchange(proxy.port, request("GET", path, None, header)).status == 403
    assert exchange(proxy.port, request("GET", path, host="evil.example")).status == 403


def test_a_browser_is_led_to_the_page(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    From `/`; every other request for this path goes to the upstream.
    """
    led = exchange(proxy.port, request("GET", "/", None, ("accept", "text/html,*/*;q=0.8")))
    assert (led.status, led.all(b"location")) == (302, [b"/-/"])
    assert len(upstream.received) == 0
    assert exchange(proxy.port, request("GET", "/", None, ("accept", "*/*"))).status == 200
    assert len(upstream.received) == 1


def test_the_page_may_load_only_its_own_files(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Its policy ensures this; each file is served with its type.
    """
    page = exchange(proxy.port, request("GET", "/-/?sort=cost"))
    assert page.all(b"content-security-policy")[0].startswith(
        b"default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert b">Budgets</h2>" in page.body
    for path, (content, media_type) in read_files().items():
        file = exchange(proxy.port, request("GET", path))
        assert (file.status, file.body, file.all(b"content-type")) == (200, content, [media_type.encode()])
        assert file.all(b"x-content-type-options") == [b"nosniff"]


def test_the_forecast_of_a_budget(upstream: Upstream, tmp_path: Path) -> None:
    """
    It is made from the charges in the ledger, beside the requests.
    """
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger, now = open_ledger(url), datetime.now(UTC)
    counted = Budget("default", 1, parse_window("month"))
    for day in range(20, 0, -1):
        at = now - timedelta(days=day)
        reserve(ledger, Hold(f"h{day}", (counted.key("", at),), 10**9, at + timedelta(minutes=9)), [], at)
        settle(ledger, f"h{day}", 10**9, "reported", at)
    ledger.close()

    with running_proxy(upstream.url, ledger=url, budget_nusd=400 * 10**9) as proxy:
        assert summary(proxy)["budgets"][0]["forecast"] is None
        until(lambda: summary(proxy)["budgets"][0]["forecast"] is not None)
        forecast = summary(proxy)["budgets"][0]["forecast"]
        assert forecast["days"] == 20
        assert forecast["at_reset"]["expected_nusd"] > 0
        assert b" at reset</td>" in exchange(proxy.port, request("GET", "/-/")).body


def test_a_ledger_in_memory_has_no_forecast(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    It has no days before today.
    """
    call(proxy)
    shown = summary(proxy)
    assert shown["dearest_misses"] == []
    assert all(budget["forecast"] is None for budget in shown["budgets"])
