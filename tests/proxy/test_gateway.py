"""
The proxy as a server: streams, hang-ups, uploads, access, keep-alive, concurrency, shutdown.
"""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from unittest.mock import ANY

import pytest

from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from tests.support.upstream import Received, RunningProxy, Upstream, running_proxy
from tests.support.waiting import LONG_S
from tests.support.wire import CHUNKED, LAST_CHUNK, OK, CutShort, End, Wire, chunk, exchange, request

STREAM = b'{"model":"claude-opus-5-5","stream":true}'
PLAIN = b'{"model":"claude-opus-5-5"}'


def health(proxy: RunningProxy) -> dict[str, Any]:
    """
    The answer of `/-/health`.
    """
    got: dict[str, Any] = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)
    return got


@contextlib.contextmanager
def begun(wire: Wire, proxy: RunningProxy, body: bytes = STREAM) -> Iterator[tuple[End, End]]:
    """
    A request that has reached the upstream: the client's end and the upstream's end.
    """
    with End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", body))
        upstream = wire.accept()
        upstream.message()
        yield client, upstream


# Streams.

EVENTS = [
    b'event: message_start\ndata: {"type":"message_start"}\n\n',
    b": a comment\n\n",
    b"event: ping\ndata: {}\n\n",
    b"data: hal",
    b"f\n",
    b"\n",
    b'event: error\ndata: {"type":"error"}\n\n',
]


def test_each_event_arrives_before_the_next_is_written(wire: Wire, wired: RunningProxy) -> None:
    """
    Events, pings, comments and parts of lines reach the client one by one, without delay.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED)
        client.head()
        for event in EVENTS:
            upstream.send(chunk(event))
            assert client.chunk() == event
        upstream.send(LAST_CHUNK)
        assert client.chunk() == b""

    assert wired.exchange().answer.response_bytes == sum(len(event) for event in EVENTS)


def test_head_arrives_before_the_first_event(wire: Wire, wired: RunningProxy) -> None:
    """
    The head of the answer does not wait for its body.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED)

        assert client.head().all(b"content-type") == [b"text/event-stream"]


@pytest.mark.parametrize("size", [1, 3, 17])
def test_odd_chunking_passes(wire: Wire, wired: RunningProxy, size: int) -> None:
    """
    However the upstream divides its bytes, they arrive completely and in order.
    """
    whole = b"".join(EVENTS)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED + b"".join(chunk(piece) for piece in pieces) + LAST_CHUNK)

        assert client.message().body == whole


def test_stream_of_known_length_passes_at_once(wire: Wire, wired: RunningProxy) -> None:
    """
    A content-length does not delay anything either.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
        client.head()

        assert client.read(1) == b"a"


def test_streams_at_once_do_not_mix(wire: Wire, wired: RunningProxy) -> None:
    """
    Two interleaved streams keep their own bytes.
    """
    with begun(wire, wired) as (one, one_up), begun(wire, wired) as (two, two_up):
        one_up.send(CHUNKED)
        two_up.send(CHUNKED)
        one.head()
        two.head()
        for number in range(20):
            one_up.send(chunk(b"one %d" % number))
            two_up.send(chunk(b"two %d" % number))
            assert two.chunk() == b"two %d" % number
            assert one.chunk() == b"one %d" % number


# Hang-ups: closed sockets, never a cancelled task.


def test_client_leaves_before_the_head(wire: Wire, wired: RunningProxy) -> None:
    """
    If the client of a stream leaves while the upstream is silent, the connection to the upstream is closed.
    """
    with begun(wire, wired) as (client, upstream):
        client.close()

        assert upstream.rest() == b""
    assert (wired.exchange().answer.outcome, wired.exchange().answer.status) == ("client_gone", None)
    assert health(wired)["in_flight"] == 0


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
def test_client_of_a_larger_body_leaves(wire: Wire, wired: RunningProxy, path: str) -> None:
    """
    The same if the body has come at once and is larger than what the server lets wait.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", path, STREAM[:-1] + b',"x":"' + b"x" * 100_000 + b'"}'))
        upstream = wire.accept()
        upstream.message()
        client.close()

        assert upstream.rest() == b""
    assert wired.exchange().answer.outcome == "client_gone"


def test_client_leaves_in_mid_stream(wire: Wire, wired: RunningProxy) -> None:
    """
    The same in the middle of a stream while no byte comes.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED + chunk(b"data: 1\n\n"))
        client.head()
        assert client.chunk() == b"data: 1\n\n"
        client.close()

        assert upstream.rest() == b""
    assert (wired.exchange().answer.outcome, wired.exchange().answer.status) == ("client_gone", 200)
    assert health(wired)["in_flight"] == 0


def test_upstream_sees_the_hang_up(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Its connection is closed before its answer has come.
    """
    silent, over = threading.Event(), upstream.event()

    async def script(_received: Received, _writer: Any) -> None:
        silent.set()
        await over.wait()

    upstream.script = script
    with End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", STREAM))
        assert silent.wait(LONG_S)

    assert upstream.received[0].closed.wait(LONG_S)
    upstream.set(over)


def test_plain_call_is_finished(wire: Wire, wired: RunningProxy) -> None:
    """
    A call without streaming is billed anyway, so it is finished and recorded although its client has left.
    """
    with begun(wire, wired, PLAIN) as (client, upstream):
        client.close()
        # The proxy has noticed the hang-up when a later connection has been served.
        assert health(wired)["in_flight"] == 1
        upstream.send(OK)
        done = wired.exchange()

    assert (done.answer.outcome, done.answer.status, done.answer.response_bytes) == (
        "broken",
        200,
        2,
    )  # finished, not client_gone; the bytes are not an answer of the API
    assert health(wired)["in_flight"] == 0


def test_plain_call_is_finished_long_after(wire: Wire, wired: RunningProxy) -> None:
    """
    The same if the hang-up is noticed in the middle of the answer.
    """
    with begun(wire, wired, PLAIN) as (client, upstream):
        upstream.send(CHUNKED + chunk(b"{"))
        client.head()
        client.close()
        with begun(wire, wired) as (other, other_up):
            # A later hang-up was noticed, so the earlier one was too.
            other.close()
            assert other_up.rest() == b""
        upstream.send(chunk(b"}") + LAST_CHUNK)
        done = wired.exchange(1)

    assert (done.answer.outcome, done.answer.response_bytes) == (
        "broken",
        2,
    )  # finished, not client_gone; the bytes are not an answer of the API


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
def test_client_leaves_during_upload(
    wire: Wire, wired: RunningProxy, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """
    If only half of a body comes, the exchange ends and the connection to the upstream is closed.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", path, b"x" * 200_000)[:-100_000])
        if path == "/v1/files":
            upstream = wire.accept()
            upstream.head()
    if path == "/v1/files":
        upstream.rest()
        assert wired.exchange().answer.outcome == "client_gone"
    assert health(wired)["in_flight"] == 0
    assert not wire.waiting()
    wired.stop()
    wired.thread.join(LONG_S)
    assert "running task" not in caplog.text  # the server logs how many tasks it cancelled


def test_client_leaves_during_upload_and_answer(wire: Wire, wired: RunningProxy) -> None:
    """
    If the answer begins before the upload has ended, a hang-up ends both.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/files", None, ("content-length", "1000000")) + b"x")
        upstream = wire.accept()
        upstream.head()
        upstream.send(CHUNKED + chunk(b"x"))
        client.head()
        assert client.chunk() == b"x"
    assert upstream.rest() == b"x"
    assert wired.exchange().answer.outcome == "client_gone"


def test_reset_is_a_hang_up(wire: Wire, wired: RunningProxy) -> None:
    """
    A connection that is reset instead of closed ends the call too.
    """
    with begun(wire, wired) as (client, upstream):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

        assert upstream.rest() == b""
    assert wired.exchange().answer.outcome == "client_gone"


def test_leaving_after_the_answer_is_not_a_hang_up(wire: Wire, wired: RunningProxy) -> None:
    """
    A client that leaves after the whole answer has not hung up.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED + chunk(b"x") + LAST_CHUNK)
        client.message()

    assert (
        wired.exchange().answer.outcome == "broken"
    )  # finished, not client_gone; the bytes are not an answer of the API


# Uploads.


def test_slow_upload(wire: Wire, wired: RunningProxy) -> None:
    """
    A request that comes byte by byte arrives completely.
    """
    with End.to(wired.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("POST", "/v1/messages", PLAIN):
            client.send(bytes([byte]))
        upstream = wire.accept()

        assert upstream.message().body == PLAIN

        upstream.send(OK)
        client.message()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
def test_expect_continue_is_answered(wire: Wire, wired: RunningProxy, path: str) -> None:
    """
    The proxy tells the client to send its body; the upstream is not asked.
    """
    head = request("POST", path, None, ("expect", "100-continue"), ("content-length", "2"))
    with End.to(wired.port) as client:
        client.send(head)
        assert client.head().status == 100
        client.send(b"{}")
        upstream = wire.accept()
        arrived = upstream.message()
        upstream.send(OK)

        assert (arrived.names, arrived.body) == ([b"host", b"content-length"], b"{}")
        assert client.message().status == 200


def test_upload_is_not_collected(wire: Wire, wired: RunningProxy) -> None:
    """
    The upstream reads the first bytes of 40 MB to /v1/files before the client has sent the last.
    """
    size, piece = 40_000_000, b"0123456789" * 10_000
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/files", None, ("content-length", str(size))))
        client.send(piece)
        upstream = wire.accept()
        assert upstream.head().all(b"content-length") == [str(size).encode()]
        assert upstream.read(len(piece)) == piece
        for _ in range(size // len(piece) - 1):
            client.send(piece)
            assert upstream.read(len(piece)) == piece
        upstream.send(OK)

        assert client.message().status == 200
    assert wired.exchange().call.request_bytes == size


def test_upload_waits_for_a_slow_upstream(wire: Wire, wired: RunningProxy) -> None:
    """
    If the upstream does not read, the client is stopped too: the body is not buffered.
    """
    size = 64_000_000
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/files", None, ("content-length", str(size))))
        client.socket.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += client.socket.send(b"x" * 100_000)

    assert sent < size / 2


@pytest.mark.parametrize("declared", [True, False])
def test_body_over_the_limit_is_refused(wire: Wire, wired: RunningProxy, declared: bool) -> None:
    """
    The API refuses 33 MB, and the proxy could neither judge nor count such a body: 413 in the API's error format, and
    nothing is forwarded.
    """
    body = b"x" * (MAX_BODY_BYTES + 1_000_000)
    sent = request("POST", "/v1/messages", body)
    if not declared:
        sent = request("POST", "/v1/messages", None, ("transfer-encoding", "chunked")) + chunk(body) + LAST_CHUNK
    with End.to(wired.port) as client:
        client.send(sent)
        got = client.message()

    assert (got.status, json.loads(got.body)["error"]["type"]) == (413, "request_too_large")
    assert not wire.waiting()
    assert wired.exchange().answer.outcome == "refused"


def test_client_leaves_while_a_body_over_the_limit_is_read_on(wire: Wire, wired: RunningProxy) -> None:
    """
    The client has left; this is not announced as a bug.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", b"x" * (MAX_BODY_BYTES + 1_000_000))[:-10_000])

    assert wired.exchange().answer.outcome == "client_gone"
    assert wired.announced == []


def test_answer_may_overtake_the_upload(wire: Wire, wired: RunningProxy) -> None:
    """
    If the upstream answers while the client still sends, the body stays complete.
    """
    size, first = 30_000_000, b"0123456789"
    with End.to(wired.port) as client, ThreadPoolExecutor(1) as aside:
        client.send(request("POST", "/v1/files", None, ("content-length", str(size))) + first)
        upstream = wire.accept()
        upstream.head()
        assert upstream.read(len(first)) == first
        upstream.send(CHUNKED)
        client.head()
        with begun(wire, wired) as (other, other_up):
            # This later hang-up was noticed, so the proxy watches for hang-ups.
            other.close()
            assert other_up.rest() == b""
        rest = memoryview(bytes(range(250)) * (size // 250))[len(first) :]
        sent = 0
        client.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            # Send until all buffers are full and the upload waits for the upstream.
            while sent < len(rest):
                sent += client.socket.send(rest[sent : sent + 100_000])
        client.socket.settimeout(LONG_S)
        sending = aside.submit(client.send, rest[sent:])
        upstream.socket.settimeout(2)

        assert upstream.read(len(rest)) == rest

        sending.result(LONG_S)
        upstream.send(chunk(b"done") + LAST_CHUNK)
        assert client.chunk() == b"done"


def test_early_refusal_of_an_upload_arrives(wire: Wire, wired: RunningProxy) -> None:
    """
    A 413 that comes before the body was sent reaches the client.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/files", None, ("content-length", "1000000")) + b"x" * 1000)
        upstream = wire.accept()
        upstream.head()
        upstream.read(1000)
        upstream.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")

        assert client.message().status == 413


# The proxy's own pages.


def test_health(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    The state of the proxy, for people and scripts.
    """
    exchange(proxy.port, request("POST", "/v1/messages", PLAIN))
    got = health(proxy)

    assert got.pop("uptime_s") >= 0
    assert got.pop("gate")["on"] is False
    assert got.pop("connections") == {"open": 1, "most": ANY, "timed_out": 0, "closed_idle": 0, "refused": 0}
    assert got == {
        "status": "ok",
        "ttl_policy": "always",
        "observe": False,
        "requests": 1,
        "in_flight": 0,
        "ledger": "ok",
        "incoming_bodies": {"open": 0, "bytes": 0, "most_mb": 512, "refused": 0},
        "unwritten": {"calls": 0, "nusd": 0},
        "budgets": [],
        "caps": [],
        "counters": {},
        "downgraded_models": [],
        "upgrade_stopped_models": [],
    }


def test_health_uses_the_clock_of_the_proxy(upstream: Upstream) -> None:
    """
    The budgets shown are those for the proxy's clock, also if the clock is simulated.
    """
    then = datetime(2031, 5, 6, tzinfo=UTC)
    with running_proxy(upstream.url, budget_nusd=5_000_000_000, now=lambda: then) as proxy:
        (budget,) = health(proxy)["budgets"]

    assert budget["resets_at"].startswith("2031-06-01")


@pytest.mark.parametrize("path", ["/-/unknown", "/-/index.html", "/-/health/x", "/-/v1/messages"])
def test_own_paths_are_not_forwarded(wire: Wire, wired: RunningProxy, path: str) -> None:
    """
    An unknown path under `/-/` is 404.
    """
    assert exchange(wired.port, request("POST", path, b"{}")).status == 404
    assert not wire.waiting()


async def _echo(received: Received, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(received.body), received.body))


def test_fifty_at_once(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Each of fifty concurrent requests gets its own answer.
    """
    everyone = upstream.event()

    async def script(received: Received, writer: Any) -> None:
        if len(upstream.received) == 50:
            everyone.set()
        await everyone.wait()
        await _echo(received, writer)

    upstream.script = script
    bodies = [b'{"n":%d,"x":"%b"}' % (number, b"x" * 10_000) for number in range(50)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(End.to(proxy.port)) for _ in bodies]
        for client, body in zip(clients, bodies, strict=True):
            client.send(request("POST", "/v1/messages", body))

        assert [client.message().body for client in clients] == bodies
    proxy.exchange(49)
    assert health(proxy)["in_flight"] == 0


# The end.


def test_running_stream_is_finished_at_the_end(wire: Wire) -> None:
    """
    A server that stops accepts no new connections and lets a running stream end.
    """
    with running_proxy(wire.url, grace_s=30) as proxy, begun(wire, proxy) as (client, upstream):
        upstream.send(CHUNKED)
        client.head()
        with End.to(proxy.port) as idle:
            idle.send(request("GET", "/-/health"))
            idle.message()
            proxy.stop()
            # An idle connection is closed at once: the server has begun to stop.
            assert idle.rest() == b""
        upstream.send(chunk(b"late") + LAST_CHUNK)

        assert client.chunk() == b"late"
        assert client.chunk() == b""
        proxy.thread.join(LONG_S)
        assert not proxy.thread.is_alive()
        assert (
            proxy.exchange().answer.outcome == "broken"
        )  # finished, not client_gone; the bytes are not an answer of the API


def test_stream_is_cut_after_the_grace(wire: Wire) -> None:
    """
    A stream that does not end within the grace period is cut visibly, and so is the connection to the upstream.
    """
    with running_proxy(wire.url, grace_s=1) as proxy, begun(wire, proxy) as (client, upstream):
        upstream.send(CHUNKED + chunk(b"x"))
        client.head()
        assert client.chunk() == b"x"
        proxy.stop()

        with pytest.raises((CutShort, ConnectionError)):
            client.chunk()
        assert upstream.rest() == b""
        proxy.thread.join(LONG_S)
        assert not proxy.thread.is_alive()


def test_no_connection_is_accepted_after_the_end(wire: Wire) -> None:
    """
    After the server has stopped, its port is closed.
    """
    with running_proxy(wire.url) as proxy:
        proxy.stop()
        proxy.thread.join(LONG_S)

        with pytest.raises(ConnectionRefusedError):
            End.to(proxy.port)
