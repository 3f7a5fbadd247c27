"""
What `savemode top` asks a real proxy.
"""

import threading
from collections.abc import Iterator

import pytest

from savemode_cli.views.top import snapshot as shown
from savemode_cli.views.top import source as module
from savemode_cli.views.top.source import ProxySource
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.wire import exchange, request

PLAIN = b'{"model":"claude-opus-5-5"}'
SESSION = ("x-claude-code-session-id", "11111111-2222-3333-4444-555555555555")


@pytest.fixture
def source(proxy: RunningProxy) -> Iterator[ProxySource]:
    """
    The proxy, as it is asked.
    """
    made = ProxySource(proxy.url)
    yield made
    made.close()


def call(proxy: RunningProxy) -> None:
    """
    A call of a session that is billed.
    """
    assert exchange(proxy.port, request("POST", "/v1/messages", PLAIN, SESSION)).status == 200


def test_figures_are_those_of_the_summary(proxy: RunningProxy, source: ProxySource) -> None:
    """
    What is shown is what the proxy answers.
    """
    call(proxy)
    snapshot = source.load()

    assert snapshot.summary is not None
    assert snapshot.summary["total"]["requests"] == len(snapshot.exchanges) == 1
    assert snapshot.summary["total"]["cost_nusd"] == proxy.exchange().bill.cost_nusd
    assert "   1 request   " in shown.totals(snapshot)
    assert [row[0] for row in shown.sessions(snapshot).rows] == ["11111111"]
    assert [row[2] for row in shown.requests(snapshot).rows] == ["200"]


def test_waits_for_what_happens(proxy: RunningProxy, source: ProxySource, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A request ends the wait; without one it would last for minutes.
    """
    monkeypatch.setattr(module, "QUIET_S", 600.0)
    woken = threading.Event()

    def wait() -> None:
        source.load()
        source.wait()
        woken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not woken.wait(0.2):
        call(proxy)
    waiting.join()


def test_close_ends_a_wait(source: ProxySource, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So that the screen can be left at any time.
    """
    monkeypatch.setattr(module, "QUIET_S", 600.0)
    waiting = threading.Thread(target=source.wait)
    waiting.start()
    source.close()
    waiting.join(60)

    assert not waiting.is_alive()


def test_proxy_that_is_gone() -> None:
    """
    No error, and no summary.
    """
    source = ProxySource("http://127.0.0.1:9")

    assert source.load().summary is None
    source.close()


def test_token(upstream: Upstream) -> None:
    """
    The access token is sent, and without it nothing is shown.
    """
    with running_proxy(upstream.url, access_token="open-sesame") as proxy:
        without, with_token = ProxySource(proxy.url), ProxySource(proxy.url, "open-sesame")
        assert without.load().summary is None
        assert with_token.load().summary is not None
        without.close()
        with_token.close()
