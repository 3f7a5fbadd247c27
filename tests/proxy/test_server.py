"""
The proxy as a server: streams, hang-ups, uploads, the door, keep-alive, many at once, the end.
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

import pytest

from savemode_cli.core.messages import MAX_BODY_BYTES
from savemode_cli.proxy.server import listen
from tests.proxy.wire import CHUNKED, LAST_CHUNK, OK, CutShort, End, Wire, chunk, exchange, request
from tests.upstream import Received, RunningProxy, Upstream, running_proxy
from tests.waiting import LONG_S

STREAM = b'{"model":"claude-opus-5-5","stream":true}'
PLAIN = b'{"model":"claude-opus-5-5"}'


def health(proxy: RunningProxy) -> dict[str, Any]:
    """
    What `/-/health` says.
    """
    got: dict[str, Any] = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)
    return got


@contextlib.contextmanager
def begun(wire: Wire, proxy: RunningProxy, body: bytes = STREAM) -> Iterator[tuple[End, End]]:
    """
    A request that has reached the upstream: the client's end and the upstream's.
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
    Events, pings, comments and pieces of lines reach the client one by one; nothing waits for more.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED)
        client.head()
        for event in EVENTS:
            upstream.send(chunk(event))
            assert client.chunk() == event
        upstream.send(LAST_CHUNK)
        assert client.chunk() == b""

    assert wired.exchange().response_bytes == sum(len(event) for event in EVENTS)


def test_head_arrives_before_the_first_event(wire: Wire, wired: RunningProxy) -> None:
    """
    The answer's head does not wait for its body.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED)

        assert client.head().all(b"content-type") == [b"text/event-stream"]


@pytest.mark.parametrize("size", [1, 3, 17])
def test_odd_chunking_passes(wire: Wire, wired: RunningProxy, size: int) -> None:
    """
    However the upstream cuts its bytes, they arrive in order and whole.
    """
    whole = b"".join(EVENTS)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED + b"".join(chunk(piece) for piece in pieces) + LAST_CHUNK)

        assert client.message().body == whole


def test_stream_of_known_length_passes_at_once(wire: Wire, wired: RunningProxy) -> None:
    """
    A length does not make anything wait either.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
        client.head()

        assert client.read(1) == b"a"


def test_streams_at_once_do_not_mix(wire: Wire, wired: RunningProxy) -> None:
    """
    Two streams, written in turns, keep their own bytes.
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
    The upstream is silent and the client of a stream has left: the upstream is told, nothing stays.
    """
    with begun(wire, wired) as (client, upstream):
        client.close()

        assert upstream.rest() == b""
    assert (wired.exchange().outcome, wired.exchange().status) == ("client_gone", None)
    assert health(wired)["in_flight"] == 0


def test_client_leaves_in_mid_stream(wire: Wire, wired: RunningProxy) -> None:
    """
    So it is in mid-stream while no byte comes.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED + chunk(b"data: 1\n\n"))
        client.head()
        assert client.chunk() == b"data: 1\n\n"
        client.close()

        assert upstream.rest() == b""
    assert (wired.exchange().outcome, wired.exchange().status) == ("client_gone", 200)
    assert health(wired)["in_flight"] == 0


def test_upstream_sees_the_hang_up(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Its connection is closed while its answer is still to come.
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
    A call that does not stream is paid for anyway: it is finished and recorded, though its client has left.
    """
    with begun(wire, wired, PLAIN) as (client, upstream):
        client.close()
        # The proxy has seen the hang-up once another connection that came later has been served.
        assert health(wired)["in_flight"] == 1
        upstream.send(OK)
        done = wired.exchange()

    assert (done.outcome, done.status, done.response_bytes) == (
        "broken",
        200,
        2,
    )  # finished, not client_gone; the bytes are no answer of the API
    assert health(wired)["in_flight"] == 0


def test_plain_call_is_finished_long_after(wire: Wire, wired: RunningProxy) -> None:
    """
    So it is where the hang-up was noticed while the answer was half there.
    """
    with begun(wire, wired, PLAIN) as (client, upstream):
        upstream.send(CHUNKED + chunk(b"{"))
        client.head()
        client.close()
        with begun(wire, wired) as (other, other_up):
            # A later hang-up was noticed, so the earlier one was.
            other.close()
            assert other_up.rest() == b""
        upstream.send(chunk(b"}") + LAST_CHUNK)
        done = wired.exchange(1)

    assert (done.outcome, done.response_bytes) == (
        "broken",
        2,
    )  # finished, not client_gone; the bytes are no answer of the API


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
def test_client_leaves_during_upload(
    wire: Wire, wired: RunningProxy, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """
    Half a body comes and no more: nothing is left running, and no upstream is left waiting.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", path, b"x" * 200_000)[:-100_000])
        if path == "/v1/files":
            upstream = wire.accept()
            upstream.head()
    if path == "/v1/files":
        upstream.rest()
        assert wired.exchange().outcome == "client_gone"
    assert health(wired)["in_flight"] == 0
    assert not wire.waiting()
    wired.stop()
    wired.thread.join(LONG_S)
    assert "running task" not in caplog.text  # the server says how many it had to cancel


def test_client_leaves_during_upload_and_answer(wire: Wire, wired: RunningProxy) -> None:
    """
    Where the answer has begun before the upload has ended, a hang-up ends both.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/files", None, ("content-length", "1000000")) + b"x")
        upstream = wire.accept()
        upstream.head()
        upstream.send(CHUNKED + chunk(b"x"))
        client.head()
        assert client.chunk() == b"x"
    assert upstream.rest() == b"x"
    assert wired.exchange().outcome == "client_gone"


def test_reset_is_a_hang_up(wire: Wire, wired: RunningProxy) -> None:
    """
    A connection that is reset instead of closed ends the call as well.
    """
    with begun(wire, wired) as (client, upstream):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

        assert upstream.rest() == b""
    assert wired.exchange().outcome == "client_gone"


def test_hang_up_after_the_answer_is_none(wire: Wire, wired: RunningProxy) -> None:
    """
    A client that leaves once it has everything has not hung up.
    """
    with begun(wire, wired) as (client, upstream):
        upstream.send(CHUNKED + chunk(b"x") + LAST_CHUNK)
        client.message()

    assert wired.exchange().outcome == "broken"  # finished, not client_gone; the bytes are no answer of the API


# Uploads.


def test_slow_upload(wire: Wire, wired: RunningProxy) -> None:
    """
    A request that comes byte by byte arrives whole.
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
    The client is told to go on before it sends its body; the upstream is not asked to tell.
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
    assert wired.exchange().request_bytes == size


def test_upload_waits_for_a_slow_upstream(wire: Wire, wired: RunningProxy) -> None:
    """
    An upstream that does not read stops the client: a body is not piled up in between.
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
    33 MB are more than the API takes, and could be neither judged nor counted: 413 in its envelope, sent on nowhere.
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
    assert wired.exchange().outcome == "refused"


def test_client_leaves_while_a_body_over_the_limit_is_read_on(wire: Wire, wired: RunningProxy) -> None:
    """
    That is a client who has left, and no fault of ours to be reported.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", b"x" * (MAX_BODY_BYTES + 1_000_000))[:-10_000])

    assert wired.exchange().outcome == "client_gone"
    assert wired.announced == []


def test_answer_may_overtake_the_upload(wire: Wire, wired: RunningProxy) -> None:
    """
    Where the upstream answers while the client still sends, the body stays whole: nobody else reads of it.
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
            # This later hang-up has been noticed, so hang-ups are watched for.
            other.close()
            assert other_up.rest() == b""
        rest = memoryview(bytes(range(250)) * (size // 250))[len(first) :]
        sent = 0
        client.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            # Until everything between the two is full, and the upload waits for the upstream to read.
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


UPGRADE = (("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk"))


def test_offered_upgrade_is_declined(wire: Wire, wired: RunningProxy) -> None:
    """
    A client that offers HTTP/2 (Java's does by default) is answered in HTTP/1.1, without the offer passed on.
    """
    with End.to(wired.port) as client:
        client.send(request("GET", "/v1/models", None, *UPGRADE))
        upstream = wire.accept()

        assert upstream.message().names == [b"host"]

        upstream.send(OK)
        assert client.message().status == 200


def test_body_behind_an_offered_upgrade_is_refused(wired: RunningProxy) -> None:
    """
    The parser takes such a body for the other protocol: better a clear refusal than a request without its body.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", PLAIN, *UPGRADE))
        message = client.message()

    assert message.status == 400
    assert b"Upgrade" in message.body
    assert wired.exchanges == []


# Our own pages.


def test_health(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Who is there and in which state, for people and scripts.
    """
    exchange(proxy.port, request("POST", "/v1/messages", PLAIN))
    got = health(proxy)

    assert got.pop("uptime_s") >= 0
    assert got.pop("gate")["on"] is False
    assert got == {
        "status": "ok",
        "ttl_policy": "always",
        "observe": False,
        "requests": 1,
        "in_flight": 0,
        "ledger": "ok",
        "budgets": [],
        "downgraded_models": [],
        "upgrade_stopped_models": [],
    }


def test_health_goes_by_the_proxys_time(upstream: Upstream) -> None:
    """
    The budgets shown are those that requests are judged by, also where the time is simulated.
    """
    then = datetime(2031, 5, 6, tzinfo=UTC)
    with running_proxy(upstream.url, budget_nusd=5_000_000_000, now=lambda: then) as proxy:
        (budget,) = health(proxy)["budgets"]

    assert budget["resets_at"].startswith("2031-06-01")


@pytest.mark.parametrize("path", ["/-/unknown", "/-/", "/-/health/x", "/-/v1/messages"])
def test_own_paths_are_not_forwarded(wire: Wire, wired: RunningProxy, path: str) -> None:
    """
    What we do not know under `/-/` is 404 here.
    """
    assert exchange(wired.port, request("POST", path, b"{}")).status == 404
    assert not wire.waiting()


# Connections.


def test_small_writes_are_not_held_back() -> None:
    """
    The listener says that it is TCP: asyncio turns Nagle's algorithm off for such sockets only, and with it on, each
    small event of a stream waits 40 ms for the acknowledgement of the one before.
    """
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_many_requests_on_one_connection(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    The client's connection stays open, and so does ours with the upstream.
    """
    with End.to(proxy.port) as client:
        for number in range(50):
            client.send(request("POST", f"/v1/messages?{number}", PLAIN))
            assert client.message().status == 200

    assert [received.target for received in upstream.received] == [f"/v1/messages?{number}" for number in range(50)]
    assert upstream.connections == 1


def test_pipelined_requests_are_answered_in_order(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Requests sent without waiting get their answers one after the other.
    """
    upstream.script = _echo
    with End.to(proxy.port) as client:
        client.send(b"".join(request("POST", "/v1/files", b"%d" % number) for number in range(10)))

        assert [client.message().body for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_connection_close_is_obeyed(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    A client that wants its connection closed after the answer gets that.
    """
    with End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", PLAIN, ("connection", "close")))
        client.message()

        assert client.rest() == b""


async def _echo(received: Received, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(received.body), received.body))


def test_fifty_at_once(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Each of fifty requests that are all under way gets its own answer.
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
    A server that is told to stop takes nobody new and lets a running stream come to its end.
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
        assert proxy.exchange().outcome == "broken"  # finished, not client_gone; the bytes are no answer of the API


def test_stream_is_cut_after_the_grace(wire: Wire) -> None:
    """
    One that does not end within the grace is cut, visibly, and so is the upstream's connection.
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


def test_nobody_new_is_taken_at_the_end(wire: Wire) -> None:
    """
    Once the server has stopped, nobody listens.
    """
    with running_proxy(wire.url) as proxy:
        proxy.stop()
        proxy.thread.join(LONG_S)

        with pytest.raises(ConnectionRefusedError):
            End.to(proxy.port)
