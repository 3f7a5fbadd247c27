"""
Strict caps and calls whose bodies refer to content that the API stores, over real sockets.
"""

import gzip
import http.client
import json
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Settlement
from tests.support.calling import CALL, send
from tests.support.streams import message, says, streamed_text, streams, text
from tests.support.upstream import RunningProxy, Upstream, running_proxy

CAP_NUSD = 500_000_000
CONTINUE = {"type": "continue", "previous_message_id": "msg_1"}
FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}
BIG = {"input_tokens": 9, "cache_read_input_tokens": 500_000, "output_tokens": 5}
"""What a turn of 70 bytes may report: 9 x 4,000 + 500,000 x 200 + 5 x 20,000."""


def asked(*blocks: Any, **more: Any) -> dict[str, Any]:
    """
    A call with these blocks.
    """
    return {**CALL, "messages": [{"role": "user", "content": [{"type": "text", "text": "go on"}, *blocks]}], **more}


@pytest.mark.parametrize(
    "call",
    [asked(thread=CONTINUE), asked(FILE), asked(PDF), asked(container="container_1")],
    ids=["thread", "file", "pdf", "container"],
)
def test_unknown_reference_is_held_as_the_whole_context(upstream: Upstream, call: dict[str, Any]) -> None:
    """
    No request can cross a strict cap: $0.50 is less than the $8.80 and more that this one may cost.
    """
    upstream.script = says(text("x"), usage=BIG)
    with running_proxy(upstream.url, budget_nusd=CAP_NUSD, strict=True) as proxy:
        answer = send(proxy, call)

        assert answer.status == 429
        assert b"this request could cross the spend limit" in answer.body
        assert upstream.received == []


def turns(proxy: RunningProxy, create: dict[str, Any]) -> tuple[int, int]:
    """
    The statuses of a thread's first turn and of its next one.
    """
    first = send(proxy, {**create, "thread": {"type": "create"}}).status
    proxy.exchange(0)
    return first, send(proxy, {**create, "thread": CONTINUE}).status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("tokens", "status"), [(20_000, 200), (80_000, 429)])
def test_thread_that_was_seen_is_held_for_its_turns(upstream: Upstream, tokens: int, status: int, stream: bool) -> None:
    """
    The next turn can cost what the thread contains, written for an hour in the US: 8,800 nano-dollars a token.
    """
    usage = {"input_tokens": tokens, "output_tokens": 1}
    events = streamed_text("x")
    events[0]["message"]["usage"] = events[-2]["usage"] = usage
    upstream.script = streams(events) if stream else says(text("x"), usage=usage)
    with running_proxy(upstream.url, budget_nusd=CAP_NUSD + tokens * 4_000, strict=True) as proxy:
        assert turns(proxy, asked(stream=stream)) == (200, status)


def test_hold_of_an_unknown_reference_without_strict(upstream: Upstream) -> None:
    """
    By default it may start, and other requests see what it may cost.
    """
    upstream.script = says(text("x"), usage=BIG)
    with running_proxy(upstream.url, budget_nusd=CAP_NUSD) as proxy:
        assert send(proxy, asked(FILE)).status == 200
        one = proxy.exchange()

    assert one.bill.settlement == Settlement(100_136_000, "reported")
    assert one.bill.held_nusd > 8_000_000_000


def test_compressed_body_is_held_as_the_whole_context(upstream: Upstream) -> None:
    """
    The length of the body does not limit the length of its prompt.
    """
    with running_proxy(upstream.url, budget_nusd=CAP_NUSD, strict=True) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
        body = gzip.compress(json.dumps(asked()).encode())
        connection.request("POST", "/v1/messages", body, {"content-encoding": "gzip"})
        status = connection.getresponse().status
        connection.close()

    assert status == 429
    assert upstream.received == []


def test_fallbacks_are_part_of_the_ceiling(upstream: Upstream) -> None:
    """
    Each attempt may be billed. A single attempt would fit: 64 tokens of output and a body of about 100 bytes cost less
    than $0.004.
    """
    upstream.script = says(text("x"))
    many = asked(fallbacks=[{"model": "claude-opus-4-8", "max_tokens": 30_000}])
    with running_proxy(upstream.url, budget_nusd=CAP_NUSD, strict=True) as proxy:
        assert send(proxy, many).status == 429
        assert send(proxy, asked(fallbacks="default")).status == 200


def test_fallback_is_billed_by_its_attempts(upstream: Upstream) -> None:
    """
    The attempt that declined after some output, and the one that answered, each at its model's price; the record names
    both.
    """
    attempts = [
        {"type": "message", "model": "claude-fable-5", "input_tokens": 535, "output_tokens": 50},
        {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 412, "output_tokens": 264},
    ]
    usage = {"input_tokens": 412, "output_tokens": 264, "iterations": attempts}
    served = message(text("x"), model="claude-opus-4-8", usage=usage)
    upstream.script = says(text("x"), **{name: served[name] for name in ("model", "usage")})
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        send(proxy, {**CALL, "model": "claude-fable-5", "fallbacks": "default"})
        one = proxy.exchange()

    nusd = 412 * 5_000 + 264 * 25_000 + 535 * 10_000 + 50 * 50_000
    assert one.bill.settlement == Settlement(nusd, "reported")
    assert one.call.model == "claude-fable-5"
