"""
What the sinks of a proxy are told, over real sockets.
"""

import json
import threading
from asyncio import StreamWriter
from dataclasses import dataclass, field

import pytest

from savemode_cli.core.messages import MAX_BODY_BYTES
from savemode_cli.core.record import Record
from savemode_cli.core.transform import apply
from tests.conftest import FLAG
from tests.proxy.wire import End, exchange, request
from tests.streams import stalls_after, streamed_text
from tests.upstream import ANSWER, Received, Upstream, error, reply, running_proxy

MARKED = (
    b'{ "model":"claude-opus-5-5","max_tokens":1,"system":[{"type":"text","text":"s",'
    b'"cache_control":{"type":"ephemeral"}}],"messages":[]}'
)
HEADERS = (*FLAG.items(), ("x-posthog-distinct-id", "me"), ("x-api-key", "sk-ant-api-test"))


@dataclass
class Listener:
    """
    A sink that keeps what it is told.
    """

    wants_content: bool = False
    name: str = "listener"
    trouble: str = ""
    records: list[Record] = field(default_factory=list)

    def keep(self, record: Record) -> None:
        """
        Take a record.
        """
        self.records.append(record)

    def close(self) -> None:
        """
        Nothing to finish.
        """


def told(upstream: Upstream, sink: Listener, body: bytes = MARKED, *headers: tuple[str, str]) -> Record:
    """
    What a sink is told of one request.
    """
    with running_proxy(upstream.url, sinks=[sink], ttl_policy="always") as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", body, *HEADERS, *headers))
        proxy.exchange()
    (record,) = sink.records
    return record


def test_a_sink_knows_the_caller_and_not_what_was_said(upstream: Upstream) -> None:
    """
    Unless it wants the content there is none, and nothing is kept in memory for it.
    """
    record = told(upstream, Listener())

    assert record.content is None
    assert record.caller is not None
    assert record.caller.distinct_id == "me"
    assert record.exchange.upgraded == 1


def test_content_goes_to_those_only_who_want_it(upstream: Upstream) -> None:
    """
    Beside a sink that keeps content one that must not see it still does not.
    """
    curious, discreet = Listener(wants_content=True), Listener()
    with running_proxy(upstream.url, sinks=[curious, discreet]) as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", MARKED, *HEADERS))
        proxy.exchange()

    assert curious.records[0].content is not None
    assert discreet.records[0].content is None


def test_content_is_what_the_client_sent_and_the_upstream_answered(upstream: Upstream) -> None:
    """
    The body before the edits, which give the one on the wire; headers and answer as they came.
    """
    record = told(upstream, Listener(wants_content=True))

    assert record.content is not None
    assert record.content.request_body == MARKED
    assert apply(MARKED, record.exchange.edits) == upstream.received[0].body
    assert (b"x-api-key", b"sk-ant-api-test") in record.content.request_headers
    assert (b"request-id", b"req_up") in record.content.response_headers
    assert record.content.response_body == ANSWER


def test_a_sink_knows_when_it_ended_and_who_answered(upstream: Upstream) -> None:
    """
    By the clock that it started by, whatever the content; a receipt goes by both.
    """
    record = told(upstream, Listener())

    assert record.ended_at is not None
    assert record.ended_at >= record.exchange.started_at
    assert record.answered_by == "claude-opus-5-5"


def test_content_of_a_resent_request_is_of_the_answer_that_counted(upstream: Upstream) -> None:
    """
    The refusal that was not passed on is not content.
    """
    refusals = [error("invalid_request_error", "ttl: Extra inputs are not permitted")]

    async def script(_received: Received, writer: StreamWriter) -> None:
        writer.write(refusals.pop() if refusals else reply())

    upstream.script = script
    record = told(upstream, Listener(wants_content=True))

    assert record.exchange.resent
    assert record.content is not None
    assert record.content.response_body == ANSWER


@pytest.mark.parametrize("size", [MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
def test_an_answer_larger_than_any_is_not_kept(upstream: Upstream, size: int) -> None:
    """
    What is kept in memory has an end: past it the answer passes on, and is no longer content.
    """

    async def script(_received: Received, writer: StreamWriter) -> None:
        writer.write(reply(b"x" * size))

    upstream.script = script
    record = told(upstream, Listener(wants_content=True))

    assert record.exchange.response_bytes == size
    assert record.content is not None
    assert (record.content.response_body is None) == (size > MAX_BODY_BYTES)


def test_a_sink_that_raises_what_it_may_not_breaks_nothing(upstream: Upstream) -> None:
    """
    The answer is whole, the other sinks are told, and the fault is said without its words.
    """

    class Broken(Listener):
        def keep(self, record: Record) -> None:
            raise ValueError("secret")

    sink = Listener()
    with running_proxy(upstream.url, sinks=[Broken(), sink]) as proxy:
        got = [exchange(proxy.port, request("POST", "/v1/messages", MARKED, *HEADERS)) for _ in range(2)]
        proxy.exchange(1)

    assert [one.body for one in got] == [ANSWER] * 2
    assert len(sink.records) == 2
    assert {event for event, _ in proxy.announced} == {"internal_error"}
    assert "secret" not in str(proxy.announced)


def test_health_tells_how_the_sinks_are(upstream: Upstream) -> None:
    """
    A sink in trouble is seen from outside.
    """
    sinks = [Listener(name="captures"), Listener(name="telemetry", trouble="nobody is there")]
    with running_proxy(upstream.url, sinks=sinks) as proxy:
        health = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)

    assert (health["captures"], health["telemetry"]) == ("ok", "nobody is there")


def test_a_stream_is_told_with_its_first_content_and_its_end(upstream: Upstream) -> None:
    """
    The clock of the first token stops at content, not at the headers, and not at the events before it.
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

    assert (told.stream, told.stop_reason) == (True, "end_turn")
    assert told.first_byte_ms is not None
    assert told.first_token_ms is not None
    assert told.first_byte_ms + 50 <= told.first_token_ms <= told.duration_ms


def test_an_answer_that_is_no_stream_has_no_first_token(upstream: Upstream) -> None:
    """
    Its content comes at once: the time to it would say nothing.
    """
    exchange = told(upstream, Listener()).exchange

    assert (exchange.stream, exchange.stop_reason, exchange.first_token_ms) == (False, "end_turn", None)
