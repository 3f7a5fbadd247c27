"""
Limits on what a client can send, and clients that close their side of the connection.
"""

import json
import socket
from typing import Any

import pytest

from savemode_cli.serving.connections import ClientTimeouts
from tests.proxy.test_gateway import PLAIN, STREAM
from tests.serving.test_framing import LARGE, http_1_0_request, upgrade_request
from tests.support.simulated import KEY, MODEL, VERSION, running_simulated
from tests.support.upstream import RunningProxy, Upstream
from tests.support.waiting import LONG_S, until
from tests.support.wire import CHUNKED, LAST_CHUNK, OK, End, Wire, chunk, request

# Limits on what a client can send.

MUCH = 10_000_000


def refused_after(port: int, begin: bytes, piece: bytes) -> tuple[int, bytes]:
    """
    How much of an endless stream of pieces the server received before the connection ended, and the answer.
    """
    sent = 0
    with End.to(port) as client:
        try:
            client.send(begin)
            while sent < MUCH:
                client.send(piece)
                sent += len(piece)
        except ConnectionError:
            pass
        client.socket.settimeout(LONG_S)
        return sent, client.rest()


CHUNKED_POST = request("POST", "/v1/files", None, ("transfer-encoding", "chunked"))


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n", b"x-a: " + b"a" * 1000 + b"\r\n"),
        (b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: ", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (b"", b"A" * 1000),
        (b"", b"\r\n" * 500),
        (CHUNKED_POST + b"0\r\n", b"x-a: " + b"a" * 1000 + b"\r\n"),
        (CHUNKED_POST + b"0\r\nx-a: ", b"a" * 1000),
        (CHUNKED_POST + b"1;", b"a" * 1000),
        (CHUNKED_POST + b'1;a="', b"a" * 1000),
        (CHUNKED_POST, b"0" * 1000),
        (request("POST", "/-/health", None, ("transfer-encoding", "chunked")) + b"0\r\n", b"a: b\r\n" * 500),
        (request("POST", "/v1/messages", None, ("transfer-encoding", "chunked")) + b"0\r\n", b"a: b\r\n" * 500),
    ],
    ids=[
        *("headers", "header", "target", "method", "empty-lines", "trailers", "trailer", "extension", "quoted"),
        *("chunk-size", "own-page", "model-call"),
    ],
)
def test_every_part_of_a_request_is_limited(wire: Wire, wired: RunningProxy, begin: bytes, piece: bytes) -> None:
    """
    If any part of a request is endless, the connection is closed long before 10 MB.
    """
    sent, answer = refused_after(wired.port, begin, piece)

    assert sent < MUCH
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"404", b"405", b"431")
    assert wired.announced == []


def test_trailers_are_dropped(wire: Wire, wired: RunningProxy) -> None:
    """
    Trailers are not forwarded and cause no error.
    """
    with End.to(wired.port) as client:
        client.send(CHUNKED_POST + chunk(b"ab") + b"0\r\nx-secret: 1\r\n\r\n")
        upstream = wire.accept()
        arrived = upstream.message()
        upstream.send(OK)

        assert client.message().status == 200
    assert (arrived.body, b"x-secret" in arrived.names) == (b"ab", False)


def test_body_of_many_small_chunks_is_accepted(wire: Wire, wired: RunningProxy) -> None:
    """
    The framing between two parts of a body is limited, but the sum of all framing is not.
    """
    with End.to(wired.port) as client:
        client.send(CHUNKED_POST + b"1;comment\r\nx\r\n" * 50_000 + LAST_CHUNK)
        upstream = wire.accept()

        assert upstream.message().body == b"x" * 50_000

        upstream.send(OK)
        assert client.message().status == 200


def test_body_after_an_early_answer_is_limited(wired: RunningProxy) -> None:
    """
    A client can read an answer that was sent before its body was complete; then the rest of the body is limited.
    """
    sent = 0
    with End.to(wired.port) as client:
        client.send(request("GET", "/-/health", None, ("content-length", str(10**12))))
        assert client.message().status == 200
        try:
            while sent < 200_000_000:
                client.send(bytes(1_000_000))
                sent += 1_000_000
        except ConnectionError:
            pass

    assert 10_000_000 < sent < 200_000_000


# A client that closes its side of the connection.


def ended(port: int, sent: bytes) -> End:
    """
    A client that has sent this and has closed its side.
    """
    client = End.to(port)
    client.send(sent)
    client.socket.shutdown(socket.SHUT_WR)
    return client


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/v1/messages", PLAIN),
        request("POST", "/v1/messages", STREAM),
        request("POST", "/v1/files", LARGE),
        request("GET", "/v1/models"),
        http_1_0_request(request("POST", "/v1/messages", PLAIN)),
        upgrade_request("POST", "/v1/messages", PLAIN),
        CHUNKED_POST + chunk(b"ab") + LAST_CHUNK,
    ],
    ids=["plain", "stream", "large", "get", "http-1.0", "upgrade", "chunked"],
)
def test_client_that_closes_its_side_gets_its_answer(wire: Wire, wired: RunningProxy, sent: bytes) -> None:
    """
    The client gets the whole answer, and then the connection is closed.
    """
    with ended(wired.port, sent) as client:
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED + chunk(b"data: 1\n\n"))
        head = client.head()
        upstream.send(chunk(b"data: 2\n\n") + LAST_CHUNK)
        rest = client.rest()

    assert head.status == 200
    assert (
        rest.replace(b"9\r\n", b"").replace(b"\n\n\r\n", b"\n\n").removesuffix(LAST_CHUNK) == b"data: 1\n\ndata: 2\n\n"
    )
    assert wired.exchange().answer.outcome != "client_gone"


def test_pipelined_requests_of_a_client_that_closes_its_side(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    All of them are answered, and then the connection is closed.
    """
    with ended(proxy.port, b"".join(request("POST", f"/v1/files?{number}", b"x") for number in range(10))) as client:
        assert [client.message().status for _ in range(10)] == [200] * 10
        assert client.rest() == b""


def test_own_page_for_a_client_that_closes_its_side(wired: RunningProxy) -> None:
    """
    The proxy's own pages are sent too, also if the client closes its side before a complete answer is written.
    """
    for _ in range(30):
        with ended(wired.port, request("GET", "/-/health")) as client:
            assert client.message().status == 200
            assert client.rest() == b""


@pytest.mark.parametrize("sent", [b"", request("POST", "/v1/messages", LARGE)[:-1], b"POST /v1/messages HTTP/1.1\r\n"])
def test_client_that_closes_its_side_too_early_has_left(wire: Wire, wired: RunningProxy, sent: bytes) -> None:
    """
    No request is complete, so there is no answer.
    """
    with ended(wired.port, sent) as client:
        assert client.rest() == b""
    assert not wire.waiting()


def test_waiting_client_is_probed(wire: Wire, wired: RunningProxy) -> None:
    """
    While there is no answer yet, the proxy sends interim answers, which every HTTP/1.1 client accepts, to learn whether
    the client still reads.
    """
    wired.server.connections.timeouts = ClientTimeouts(probe_s=0.01)
    with ended(wired.port, request("POST", "/v1/messages", STREAM)) as client:
        upstream = wire.accept()
        upstream.message()
        for _ in range(3):
            assert client.head().first == b"HTTP/1.1 100 Continue"
        upstream.send(CHUNKED)
        while (head := client.head()).status == 100:
            pass
        until(lambda: client.socket.recv(1, socket.MSG_PEEK) == b"0")
        upstream.send(chunk(b"data: 1\n\n"))
        assert (head.status, client.chunk()) == (200, b"data: 1\n\n")
        until(lambda: client.socket.recv(1, socket.MSG_PEEK) == b"0")
        upstream.send(LAST_CHUNK)

        assert client.chunk() == b""
        assert client.rest() == b""
    assert wired.exchange().answer.response_bytes == 9


def test_probes_between_two_chunks_are_limited(wire: Wire, wired: RunningProxy) -> None:
    """
    The number of zeros in front of a chunk size is limited.
    """
    wired.server.connections.timeouts = ClientTimeouts(probe_s=0.0)
    with ended(wired.port, request("POST", "/v1/messages", STREAM)) as client:
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED)
        while client.head().status == 100:
            pass
        connection: Any = next(iter(wired.server.connections._open))
        until(lambda: connection._zeros > 8)
        upstream.send(chunk(b"x") + LAST_CHUNK)

        assert client.rest() == b"00001\r\nx\r\n0\r\n\r\n"


@pytest.mark.parametrize("answered", [b"", CHUNKED, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"])
def test_client_that_closed_its_side_and_then_left(wire: Wire, wired: RunningProxy, answered: bytes) -> None:
    """
    The proxy notices that the client no longer reads, and closes the connection to the upstream.
    """
    wired.server.connections.timeouts = ClientTimeouts(probe_s=0.01)
    with ended(wired.port, request("POST", "/v1/messages", STREAM)) as client:
        upstream = wire.accept()
        upstream.message()
        upstream.send(answered)
        if answered:
            while client.head().status == 100:
                pass
    if b"content-length" in answered:  # no place for a probe, so the answer's own bytes are the probe
        for _ in range(2):
            upstream.send(b"x")
            wired.announced  # noqa: B018 - the loop has turned
    assert upstream.rest() == b""
    assert wired.exchange().answer.outcome == "client_gone"


def test_simulated_upstream_treats_a_closed_side_as_a_hang_up() -> None:
    """
    The API's own servers do the same.
    """
    call = {"model": MODEL, "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with running_simulated(fault="stall=600") as one:
        with ended(one.port, request("POST", "/v1/messages", json.dumps(call).encode(), KEY, VERSION)) as client:
            assert client.rest() == b""
        assert one.told().status is None
