"""
What is remembered of upgrades: which models' upgrades the upstream refused, and the TTL of each session.
"""

import gzip
from typing import Any

import brotli
import pytest
import zstandard

from tests.support.upgradable import AGENT, BLAME, HOUR, OPEN, SESSION, ask, marked, refusing
from tests.support.upstream import Received, RunningProxy, Upstream, answer, error, reply, running_proxy

# The upstream refuses the upgrade.


@pytest.mark.parametrize("message", [BLAME, "cache_control: no", "bad ttl"])
@pytest.mark.parametrize("compressed", [False, True])
def test_refused_upgrade_is_taken_back(upstream: Upstream, proxy: RunningProxy, message: str, compressed: bool) -> None:
    """
    The original bytes are sent once, without the added beta, and the client gets only this answer.
    """
    upstream.script = refusing(message, compressed=compressed)
    got = ask(proxy, marked(), *OPEN, ("anthropic-beta", "a-1"))

    assert got.status == 200
    assert [received.body for received in upstream.received] == [marked(HOUR), marked()]
    assert upstream.received[1].all("anthropic-beta") == ["a-1"]
    assert (proxy.exchange().upgrade.resent, proxy.exchange().upgrade.upgraded, proxy.exchange().answer.outcome) == (
        True,
        0,
        "ok",
    )


def test_refusal_stops_the_upgrade_for_its_model(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    This is announced once; that model is not upgraded again, another one is.
    """
    upstream.script = refusing(BLAME)
    ask(proxy, marked(), *OPEN)
    upstream.script = answer
    ask(proxy, marked(), *OPEN)
    ask(proxy, marked(model="claude-sonnet-5"), *OPEN)

    assert [received.body for received in upstream.received[2:]] == [marked(), marked(HOUR, "claude-sonnet-5")]
    assert [event for event, _ in proxy.announced] == ["upgrade_stopped"]
    assert "claude-opus-5-5" in proxy.announced[0][1]
    assert [skip.code for skip in proxy.exchange(1).upgrade.skips] == ["stopped"]


def test_original_is_sent_once(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    If the original is refused too, that second refusal is the answer.
    """

    async def script(_received: Received, writer: Any) -> None:
        writer.write(error("invalid_request_error", f"{BLAME} ({len(upstream.received)})"))

    upstream.script = script
    got = ask(proxy, marked(), *OPEN)

    assert len(upstream.received) == 2
    assert (got.status, BLAME + " (2)" in got.body.decode()) == (400, True)


@pytest.mark.parametrize("compressed", [False, True])
def test_unrelated_400_passes(upstream: Upstream, proxy: RunningProxy, compressed: bool) -> None:
    """
    Another 400 is forwarded byte for byte; the request is not sent again, and upgrades continue.
    """
    raw = error("invalid_request_error", "max_tokens: subtle throttling", compressed=compressed)

    async def script(_received: Received, writer: Any) -> None:
        writer.write(raw)

    upstream.script = script
    got = ask(proxy, marked(), *OPEN)
    ask(proxy, marked(), *OPEN)

    assert got.body == raw.partition(b"\r\n\r\n")[2]
    assert [received.body for received in upstream.received] == [marked(HOUR)] * 2
    assert proxy.announced == []


def test_long_400_passes(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    An error body too long to be read before it is passed on is passed on whole.
    """
    body = b"".join(b"cache_control %d " % number for number in range(40_000))

    async def script(_received: Received, writer: Any) -> None:
        writer.write(reply(body, "400 Bad Request"))

    upstream.script = script

    assert ask(proxy, marked(), *OPEN).body == body
    assert len(upstream.received) == 1


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_400_that_is_long_once_it_is_decoded_passes(
    upstream: Upstream, proxy: RunningProxy, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    """
    A few compressed bytes may expand to gigabytes, so decoding is limited to the size of an error.
    """
    body = error("invalid_request_error", BLAME).partition(b"\r\n\r\n")[2] + b" " * 10_000_000
    small = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}[coding](body)

    async def script(_received: Received, writer: Any) -> None:
        writer.write(reply(small, "400 Bad Request", (("content-encoding", coding),)))

    upstream.script = script

    assert ask(proxy, marked(), *OPEN).body == small
    assert len(upstream.received) == 1


@pytest.mark.parametrize("headers", [(), OPEN], ids=["gate-closed", "nothing-to-edit"])
def test_400_of_an_unedited_request_is_not_resent(
    upstream: Upstream, proxy: RunningProxy, headers: tuple[tuple[str, str], ...]
) -> None:
    """
    An unedited request was not refused because of an edit.
    """

    async def script(_received: Received, writer: Any) -> None:
        writer.write(error("invalid_request_error", BLAME))

    upstream.script = script

    assert ask(proxy, marked(HOUR), *headers).status == 400
    assert len(upstream.received) == 1
    assert proxy.announced == []


def test_observed_400_is_not_resent(upstream: Upstream) -> None:
    """
    The same if the edits were only observed.
    """

    async def script(_received: Received, writer: Any) -> None:
        writer.write(error("invalid_request_error", BLAME))

    upstream.script = script
    with running_proxy(upstream.url, ttl_policy="always", observe=True) as proxy:
        assert ask(proxy, marked(), *OPEN).status == 400
    assert len(upstream.received) == 1


# A session keeps its TTL.


def test_session_keeps_its_ttl(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    If the gate was closed for the first request, the cache is warm at 5m, and the session stays at 5m when the gate
    opens.
    """
    ask(proxy, marked(), SESSION)
    ask(proxy, marked(), SESSION, *OPEN)

    assert upstream.received[1].body == marked()
    assert upstream.received[1].all("anthropic-beta") == []
    assert [skip.code for skip in proxy.exchange(1).upgrade.skips] == ["sticky"]


@pytest.mark.parametrize(
    "other", [(SESSION, AGENT), (("x-claude-code-session-id", "another"),)], ids=["agent", "session"]
)
def test_another_session_does_not_share_it(
    upstream: Upstream, proxy: RunningProxy, other: tuple[tuple[str, str], ...]
) -> None:
    """
    A sub-agent and another session have caches of their own.
    """
    ask(proxy, marked(), SESSION)
    ask(proxy, marked(), *other, *OPEN)

    assert upstream.received[1].body == marked(HOUR)


def test_upgraded_session_stays_upgraded(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    A session that began with the gate open is upgraded at each request.
    """
    for _ in range(3):
        ask(proxy, marked(), SESSION, *OPEN)

    assert [received.body for received in upstream.received] == [marked(HOUR)] * 3


def test_failed_request_wrote_no_cache(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    If the upstream refused the first request, the session is not bound to a TTL.
    """

    async def script(_received: Received, writer: Any) -> None:
        writer.write(error("rate_limit_error", "slow down", "429 Too Many Requests"))

    upstream.script = script
    ask(proxy, marked(), SESSION)
    upstream.script = answer
    ask(proxy, marked(), SESSION, *OPEN)

    assert upstream.received[1].body == marked(HOUR)
