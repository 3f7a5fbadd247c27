"""
What the sinks of a proxy get, over real sockets.
"""

import json
import threading
from asyncio import StreamWriter
from dataclasses import dataclass, field

import pytest

from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.upgrade.edits import apply
from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from tests.conftest import FLAG
from tests.support.streams import stalls_after, streamed_text
from tests.support.upstream import ANSWER, Received, Upstream, error, reply, running_proxy
from tests.support.wire import End, exchange, request

MARKED = (
    b'{ "model":"claude-opus-5-5","max_tokens":1,"system":[{"type":"text","text":"s",'
    b'"cache_control":{"type":"ephemeral"}}],"messages":[]}'
)
HEADERS = (*FLAG.items(), ("x-posthog-distinct-id", "me"), ("x-api-key", "sk-ant-api-test"))


@dataclass
class Listener:
    """
    A sink that stores what it gets.
    """

    wants_content: bool = False
    name: str = "listener"
    trouble: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    records: list[Observed] = field(default_factory=list)

    def keep(self, record: Observed) -> None:
        """
        Store an exchange.
        """
        self.records.append(record)

    def close(self) -> None:
        """
        Do nothing.
        """


def told(upstream: Upstream, sink: Listener, body: bytes = MARKED, *headers: tuple[str, str]) -> Observed:
    """
    What a sink gets for one request.
    """
    with running_proxy(upstream.url, sinks=[sink], ttl_policy="always") as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", body, *HEADERS, *headers))
        proxy.exchange()
    (record,) = sink.records
    return record


def test_a_sink_gets_the_caller_and_no_content(upstream: Upstream) -> None:
    """
    If no sink wants content, there is none, and no memory is used for it.
    """
    record = told(upstream, Listener())

    assert record.content is None
    assert record.caller is not None
    assert record.caller.distinct_id == "me"
    assert record.exchange.upgrade.upgraded == 1


def test_only_sinks_that_want_content_get_it(upstream: Upstream) -> None:
    """
    A sink that must not see content gets none, also next to one that stores it.
    """
    curious, discreet = Listener(wants_content=True), Listener()
    with running_proxy(upstream.url, sinks=[curious, discreet]) as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", MARKED, *HEADERS))
        proxy.exchange()

    assert curious.records[0].content is not None
    assert discreet.records[0].content is None


def test_content_is_what_the_client_sent_and_the_upstream_answered(upstream: Upstream) -> None:
    """
    The body before the edits, from which the edits give the forwarded one; headers and answer as they came.
    """
    record = told(upstream, Listener(wants_content=True))

    assert record.content is not None
    assert record.content.request_body == MARKED
    assert apply(MARKED, record.exchange.upgrade.edits) == upstream.received[0].body
    assert (b"x-api-key", b"sk-ant-api-test") in record.content.request_headers
    assert (b"request-id", b"req_up") in record.content.response_headers
    assert record.content.response_body == ANSWER


def test_a_sink_gets_the_end_and_the_answering_model(upstream: Upstream) -> None:
    """
    The end is in the time of the proxy's clock. A receipt uses both.
    """
    record = told(upstream, Listener())

    assert record.ended_at is not None
    assert record.ended_at >= record.exchange.started_at
    assert record.exchange.answer.answered_by == "claude-opus-5-5"


def test_content_of_a_resent_request_is_of_the_answer_that_counted(upstream: Upstream) -> None:
    """
    A refusal that was not forwarded is not part of the content.
    """
    refusals = [error("invalid_request_error", "ttl: Extra inputs are not permitted")]

    async def script(_received: Received, writer: StreamWriter) -> None:
        writer.write(refusals.pop() if refusals else reply())

    upstream.script = script
    record = told(upstream, Listener(wants_content=True))

    assert record.exchange.upgrade.resent
    assert record.content is not None
    assert record.content.response_body == ANSWER


@pytest.mark.parametrize("size", [MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
def test_an_answer_larger_than_any_is_not_kept(upstream: Upstream, size: int) -> None:
    """
    Memory is limited: a larger answer is forwarded and is no longer content.
    """

    async def script(_received: Received, writer: StreamWriter) -> None:
        writer.write(reply(b"x" * size))

    upstream.script = script
    record = told(upstream, Listener(wants_content=True))

    assert record.exchange.answer.response_bytes == size
    assert record.content is not None
    assert (record.content.response_body is None) == (size > MAX_BODY_BYTES)


def test_a_sink_that_raises_what_it_may_not_breaks_nothing(upstream: Upstream) -> None:
    """
    The answer is complete, the other sinks get the exchange, and the bug is announced without its message.
    """

    class Broken(Listener):
        def keep(self, record: Observed) -> None:
            raise ValueError("secret")

    sink = Listener()
    with running_proxy(upstream.url, sinks=[Broken(), sink]) as proxy:
        got = [exchange(proxy.port, request("POST", "/v1/messages", MARKED, *HEADERS)) for _ in range(2)]
        proxy.exchange(1)

    assert [one.body for one in got] == [ANSWER] * 2
    assert len(sink.records) == 2
    assert {event for event, _ in proxy.announced} == {"internal_error"}
    assert "secret" not in str(proxy.announced)


def test_health_shows_the_problems_of_sinks(upstream: Upstream) -> None:
    """
    The health page shows the problem of a sink.
    """
    sinks = [
        Listener(name="captures", counters={"captured": 2, "lost": 1}),
        Listener(name="telemetry", trouble="nobody is there"),
    ]
    with running_proxy(upstream.url, sinks=sinks) as proxy:
        health = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)

    assert (health["captures"], health["telemetry"]) == ("ok", "nobody is there")
    assert health["counters"] == {"captures": {"captured": 2, "lost": 1}, "telemetry": {}}


def test_a_stream_is_recorded_with_its_first_content_and_its_end(upstream: Upstream) -> None:
    """
    The time to the first token ends at the first content, not at the head or at earlier events.
    """
    begin, go_on = streamed_text("hel", "lo"), upstream.event()
    upstream.script = stalls_after(begin[:3], go_on, begin[3:])
    sink = Listener()
    body = b'{"model":"claude-opus-5-5","max_tokens":1,"stream":true,"messages":[]}'
    with running_proxy(upstream.url, sinks=[sink]) as proxy, End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", body))
        client.head()
        client.chunk()
        threading.Event().wait(0.05)
        upstream.set(go_on)
        while client.chunk():
            pass
        proxy.exchange()
    told = sink.records[0].exchange

    assert (told.call.stream, told.answer.stop_reason) == (True, "end_turn")
    assert told.answer.first_byte_ms is not None
    assert told.answer.first_token_ms is not None
    assert told.answer.first_byte_ms + 50 <= told.answer.first_token_ms <= told.answer.duration_ms


def test_an_answer_without_a_stream_has_no_first_token(upstream: Upstream) -> None:
    """
    Its content comes at once, so this time would mean nothing.
    """
    exchange = told(upstream, Listener()).exchange

    assert (exchange.call.stream, exchange.answer.stop_reason, exchange.answer.first_token_ms) == (
        False,
        "end_turn",
        None,
    )
