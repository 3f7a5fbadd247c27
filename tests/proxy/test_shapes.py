"""
Requests that two servers could parse differently: none of them becomes two requests at the upstream, and anything that is
not plain HTTP/1.1 is refused in the API's error format.

Source of the cases: https://datatracker.ietf.org/doc/html/rfc9112#section-11.2 (request smuggling) and its sections 5, 6,
7.
"""

import json

import pytest

from savemode_cli.serving.access import MAX_HEAD_BYTES
from tests.support.upstream import RunningProxy, Upstream
from tests.support.wire import End, Wired, exchange, request

INNER = b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
LENGTH = b"content-length: %d\r\n" % len(INNER)
CHUNKED = b"transfer-encoding: chunked\r\n"


def head(*lines: bytes, first: bytes = b"POST /v1/messages HTTP/1.1") -> bytes:
    """
    The head of a request with exactly these lines.
    """
    return first + b"\r\nhost: localhost\r\n" + b"".join(lines) + b"\r\n"


def sent(proxy: RunningProxy, data: bytes) -> Wired:
    """
    The first answer to these bytes.
    """
    with End.to(proxy.port) as client:
        client.send(data)
        return client.message()


REFUSED = {
    "a length and chunks": head(LENGTH, CHUNKED) + b"0\r\n\r\n" + INNER,
    "chunks and a length": head(CHUNKED, LENGTH) + b"0\r\n\r\n" + INNER,
    "two lengths": head(b"content-length: 0\r\n", LENGTH) + INNER,
    "two equal lengths": head(b"content-length: 2\r\n" * 2) + b"{}",
    "a list of lengths": head(b"content-length: 0, 43\r\n") + INNER,
    "a signed length": head(b"content-length: +2\r\n") + b"{}",
    "a negative length": head(b"content-length: -1\r\n") + INNER,
    "a hexadecimal length": head(b"content-length: 0x2\r\n") + b"{}",
    "a length with a blank": head(b"content-length: 1 0\r\n") + INNER,
    "a blank before the colon": head(b"transfer-encoding : chunked\r\n") + b"0\r\n\r\n" + INNER,
    "an unknown coding": head(b"transfer-encoding: xchunked\r\n") + b"0\r\n\r\n" + INNER,
    "no coding, and a length": head(b"transfer-encoding: identity\r\n", LENGTH) + INNER,
    "chunks not last": head(b"transfer-encoding: chunked, identity\r\n") + b"0\r\n\r\n" + INNER,
    "chunks twice": head(CHUNKED, CHUNKED) + b"0\r\n\r\n" + INNER,
    "a coding behind a control": head(b"transfer-encoding: \x0bchunked\r\n") + b"0\r\n\r\n" + INNER,
    "a folded header": head(b"x-a: b\r\n c\r\n"),
    "a folded coding": head(b"transfer-encoding:\r\n chunked\r\n") + b"0\r\n\r\n" + INNER,
    "a chunk of 0x2": head(CHUNKED) + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk of -2": head(CHUNKED) + b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": head(CHUNKED) + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a chunk without an end": head(CHUNKED) + b"2\r\n{}XX0\r\n\r\n",
    "chunks with bare feeds": head(CHUNKED) + b"2\n{}\n0\n\n",
    "lines with bare feeds": b"POST /v1/messages HTTP/1.1\nhost: localhost\ncontent-length: 0\n\n",
    "a bare return": head(b"x-a: b\rx-c: d\r\n"),
    "a zero byte": head(b"x-a: b\0c\r\n"),
    "a blank in a name": head(b"x a: b\r\n"),
    "a blank before a name": head(b" x-a: b\r\n"),
    "no colon": head(b"x-a\r\n"),
    "no name": head(b": b\r\n"),
    "another version": head(first=b"GET /v1/x HTTP/1.2"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a blank in the target": head(first=b"GET /v1/x y HTTP/1.1"),
    "a control in the target": head(first=b"GET /v1/x\x01y HTTP/1.1"),
    "a tunnel": head(first=b"CONNECT evil.example:443 HTTP/1.1"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_not_plain_is_refused(upstream: Upstream, proxy: RunningProxy, data: bytes) -> None:
    """
    400 in the API's error format, the connection ends, and no part of the bytes reaches the upstream as a request.
    """
    got = sent(proxy, data)

    assert got.status == 400
    assert json.loads(got.body)["error"]["type"] == "invalid_request_error"
    assert got.all(b"connection") == [b"close"]
    exchange(proxy.port, request("POST", "/v1/after", b"{}"))
    bodies = [received.body for received in upstream.received if received.target != "/v1/after"]
    # An invalid chunk: the head was valid, but the announced body never came.
    assert all(INNER not in body for body in bodies)
    assert "/smuggled" not in [received.target for received in upstream.received]


def test_a_body_is_not_a_request(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Bytes in a body that look like a request stay in the body, also for methods that usually have no body.
    """
    sent(proxy, head(LENGTH, first=b"GET /v1/x HTTP/1.1") + INNER)

    (received,) = upstream.received
    assert (received.target, received.body) == ("/v1/x", INNER)


def test_trailers_are_not_headers(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    An override in a trailer is ignored, because trailers come after every decision.
    """
    trailers = b"x-posthog-budget-override: true\r\nx-a: b\r\n\r\n"
    for path in (b"/v1/messages", b"/v1/x"):
        first = b"POST %s HTTP/1.1" % path
        assert sent(proxy, head(CHUNKED, first=first) + b"2\r\n{}\r\n0\r\n" + trailers).status == 200

    assert [received.body for received in upstream.received] == [b"{}", b"{}"]
    assert [received.all("x-a") for received in upstream.received] == [[], []]
    (told, _) = (proxy.exchange(0).bill.budget, proxy.exchange(1))
    assert told is not None
    assert told.status != "override"


@pytest.mark.parametrize("whole", [True, False])
def test_a_head_has_an_end(upstream: Upstream, proxy: RunningProxy, whole: bool) -> None:
    """
    A head that is too large is refused, complete or not; otherwise it would fill the memory.
    """
    line = b"x-a: " + b"a" * MAX_HEAD_BYTES
    got = sent(proxy, head(line + b"\r\n") if whole else head(line)[:-2])

    assert got.status == 431
    assert json.loads(got.body)["error"]["type"] == "invalid_request_error"
    assert upstream.received == []


def test_a_large_head_passes(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    A head that many servers would refuse, and that the API accepts.
    """
    assert sent(proxy, head(b"x-a: " + b"a" * 60_000 + b"\r\n", first=b"GET /v1/x HTTP/1.1")).status == 200
    assert len(upstream.received[0].all("x-a")[0]) == 60_000
