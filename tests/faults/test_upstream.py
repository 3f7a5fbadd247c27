"""
An upstream that fails, at each stage of an answer: what the client sees, what the record says, what is charged.

Whatever happens there is one record and one attempt, and nothing stays held. The request reached the upstream, so it is not
free: where no usage came nobody knows the bill, and what was held is spent. Where an answer broke off behind its usage,
the reported input and the output so far are charged.
"""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Basis
from savemode_cli.core.wire.answer import Outcome
from tests.support.asked import (
    ASKED,
    BEGUN,
    ENDED,
    EVENTS,
    JSON,
    JSON_HEAD,
    PLAIN,
    PLAIN_NUSD,
    STREAM,
    STREAM_NUSD,
    WHOLE,
    charged,
    held_nusd,
    resets,
)
from tests.support.upstream import ANSWER, RunningProxy, running_proxy
from tests.support.wire import CHUNKED, CutShort, End, Wire, chunk, request

Act = Callable[[End], None]


def half_closes(end: End) -> None:
    """
    Say that nothing more will come, and go on listening.
    """
    end.socket.shutdown(socket.SHUT_WR)


def stalls(_end: End) -> None:
    """
    Say nothing more.
    """


def says(data: bytes, then: Act) -> Act:
    """
    Send this, then do that.
    """

    def act(end: End) -> None:
        end.send(data)
        then(end)

    return act


@dataclass(frozen=True)
class Case:
    """
    What the upstream does once it has read the request, and what comes of it. `status` is the client's; `cut`: its answer
    has no end. `nusd` is the charge where the bill is known.
    """

    act: Act
    status: int
    outcome: Outcome
    basis: Basis
    cut: bool = False
    body: bytes = STREAM
    nusd: int | None = None


BEFORE_THE_HEAD: tuple[Any, ...] = (502, "unreachable", "held")
CUT: tuple[Any, ...] = (200, "broken", "held", True)
BEGUN_NUSD = 32_000
"""3 tokens of input, and 3 characters for one of output."""
CUT_BEHIND_USAGE: tuple[Any, ...] = (200, "broken", "estimated", True, STREAM, BEGUN_NUSD)
CASES = {
    "reset-before-the-head": Case(resets, *BEFORE_THE_HEAD),
    "close-before-the-head": Case(End.close, *BEFORE_THE_HEAD),
    "half-close-before-the-head": Case(half_closes, *BEFORE_THE_HEAD),
    "silence-before-the-head": Case(stalls, 504, "unreachable", "held"),
    "reset-in-the-head": Case(says(b"HTTP/1.1 200 OK\r\ncontent-", resets), *BEFORE_THE_HEAD),
    "half-close-in-the-head": Case(says(b"HTTP/1.1 200 OK\r\ncontent-", half_closes), *BEFORE_THE_HEAD),
    "silence-in-the-head": Case(says(b"HTTP/1.1 200 OK\r\ncontent-", stalls), 504, "unreachable", "held"),
    "interim-and-close": Case(says(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", End.close), *BEFORE_THE_HEAD),
    "interim-and-silence": Case(says(b"HTTP/1.1 100 Continue\r\n\r\n", stalls), 504, "unreachable", "held"),
    "no-http": Case(says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", End.close), *BEFORE_THE_HEAD),
    "head-without-end": Case(says(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, stalls), *BEFORE_THE_HEAD),
    "two-lengths": Case(
        says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", stalls), *BEFORE_THE_HEAD
    ),
    "length-that-is-none": Case(says(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}", stalls), *BEFORE_THE_HEAD),
    "reset-after-the-head": Case(says(CHUNKED, resets), *CUT),
    "close-after-the-head": Case(says(CHUNKED, End.close), *CUT),
    "half-close-after-the-head": Case(says(CHUNKED, half_closes), *CUT),
    "silence-after-the-head": Case(says(CHUNKED, stalls), *CUT),
    "reset-in-the-body": Case(says(BEGUN, resets), *CUT_BEHIND_USAGE),
    "half-close-in-the-body": Case(says(BEGUN, half_closes), *CUT_BEHIND_USAGE),
    "silence-in-the-body": Case(says(BEGUN, stalls), *CUT_BEHIND_USAGE),
    "reset-behind-the-last-count": Case(
        says(WHOLE, resets), 200, "broken", "reported", cut=True, body=STREAM, nusd=STREAM_NUSD
    ),
    "close-in-a-chunk": Case(says(CHUNKED + chunk(EVENTS[0])[:-20], End.close), *CUT),
    "json-reset-after-the-head": replace(Case(says(JSON_HEAD, resets), *CUT), body=PLAIN),
    "json-close-in-the-body": replace(Case(says(JSON_HEAD + ANSWER[:50], End.close), *CUT), body=PLAIN),
    "json-silence-in-the-body": replace(Case(says(JSON_HEAD + ANSWER[:50], stalls), *CUT), body=PLAIN),
    "interim-and-answer": Case(
        says(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ENDED, stalls),
        200,
        "ok",
        "reported",
        nusd=STREAM_NUSD,
    ),
    "half-close-at-the-end": Case(says(ENDED, half_closes), 200, "ok", "reported", nusd=STREAM_NUSD),
    "reset-at-the-end": Case(says(JSON, End.close), 200, "ok", "reported", body=PLAIN, nusd=PLAIN_NUSD),
    "close-is-the-end": Case(
        says(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + ANSWER, half_closes),
        200,
        "ok",
        "reported",
        body=PLAIN,
        nusd=PLAIN_NUSD,
    ),
}


@pytest.fixture
def capped(wire: Wire) -> Iterator[RunningProxy]:
    """
    A proxy with a budget that waits for half a second.
    """
    with running_proxy(wire.url, budget_nusd=10**9, read_timeout_s=0.5, grace_s=1) as proxy:
        yield proxy
        wire.close()


def rest_of(client: End) -> None:
    """
    Read a body in chunks to its end.

    Raises:
        CutShort: it has none.
    """
    while client.chunk():
        pass


def answer_of(client: End) -> tuple[int, bool]:
    """
    The status of the answer, and whether it was cut short.
    """
    head = client.head()
    chunked = head.all(b"transfer-encoding") == [b"chunked"]
    lengths = head.all(b"content-length")
    try:
        if chunked:
            rest_of(client)
        elif lengths:
            client.read(int(lengths[0]))
        else:
            client.rest()
    except (CutShort, ConnectionError):
        return head.status, True
    return head.status, False


@pytest.mark.parametrize("name", CASES)
def test_failing_upstream(wire: Wire, capped: RunningProxy, name: str) -> None:
    """
    See the table: one attempt, one record, one charge on the basis named, nothing held.
    """
    case = CASES[name]
    with End.to(capped.port) as client:
        client.send(request("POST", "/v1/messages", case.body))
        upstream = wire.accept()
        upstream.message()
        held = held_nusd(capped)
        case.act(upstream)
        assert answer_of(client) == (case.status, case.cut)
    one = capped.exchange()

    assert (one.answer.outcome, one.bill.settlement and one.bill.settlement.basis) == (case.outcome, case.basis)
    bill = {"none": 0, "held": held}.get(case.basis, case.nusd)
    assert charged(capped) == [bill]
    assert one.bill.cost_nusd == bill
    assert len(capped.exchanges) == 1
    assert not wire.waiting()


@pytest.mark.parametrize(
    ("garbage", "tokens"),
    [
        (b"no chunk\r\n", 1),
        (b"ffffffffffffffffffff\r\n", 1),
        (chunk(EVENTS[4])[:-2] + b"xx", 2),
        (b"-1\r\n\r\n", 1),
    ],
    ids=["words", "overflow", "no-end", "negative"],
)
def test_garbage_in_the_framing_ends_the_answer(wire: Wire, capped: RunningProxy, garbage: bytes, tokens: int) -> None:
    """
    What follows in a stream is no chunk, and the connection stays open: the client's answer is cut at once.
    """
    with End.to(capped.port) as client:
        client.send(request("POST", "/v1/messages", STREAM))
        upstream = wire.accept()
        upstream.message()
        upstream.send(BEGUN)
        client.head()
        seen = b""
        while seen != b"".join(EVENTS[:4]):
            seen += client.chunk()
        upstream.send(garbage)
        with pytest.raises(CutShort):
            rest_of(client)

    assert (capped.exchange().answer.outcome, charged(capped)) == ("broken", [3 * 4_000 + tokens * 20_000])


@pytest.mark.parametrize("late", [False, True], ids=["with-the-answer", "while-idle"])
def test_answer_that_nobody_asked_for_is_nobodys(wire: Wire, capped: RunningProxy, late: bool) -> None:
    """
    A second answer on a connection, right behind the first or while it idles (a 408, as proxies say before they close
    it), is not given to the next request, which goes out on a new connection.
    """
    stray = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 2\r\n\r\n{}"
    with End.to(capped.port) as client:
        client.send(request("POST", "/v1/messages", PLAIN))
        first = wire.accept()
        first.message()
        first.send(JSON if late else JSON + stray)
        assert client.message().status == 200
        capped.exchange(0)
        if late:
            first.send(stray)
            # It has come once a request on another connection, whose bytes came later, was served.
            with End.to(capped.port) as other:
                other.send(request("GET", "/-/health"))
                other.message()
        client.send(request("POST", "/v1/messages", STREAM))
        second = wire.accept()
        second.message()
        second.send(ENDED)

        assert client.message().status == 200
    capped.exchange(1)
    assert charged(capped) == [PLAIN_NUSD, STREAM_NUSD]


BODY = b"content-length: 2\r\n\r\n{}"
NONSENSE = {
    "status-000": b"HTTP/1.1 000 Odd\r\n" + BODY,
    "status-001": b"HTTP/1.1 001 Odd\r\n" + BODY,
    "status-099": b"HTTP/1.1 099 Odd\r\n" + BODY,
    "status-101": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    "status-101-with-a-body": b"HTTP/1.1 101 Switching Protocols\r\n" + BODY,
    "status-199": b"HTTP/1.1 199 Odd\r\n" + BODY,
    "status-600": b"HTTP/1.1 600 Odd\r\n" + BODY,
    "status-999": b"HTTP/1.1 999 Odd\r\n" + BODY,
    "status-1000": b"HTTP/1.1 1000 Odd\r\n" + BODY,
    "status-20": b"HTTP/1.1 20 Odd\r\n" + BODY,
    "status-negative": b"HTTP/1.1 -200 Odd\r\n" + BODY,
    "status-word": b"HTTP/1.1 fine Odd\r\n" + BODY,
    "no-status": b"HTTP/1.1\r\n" + BODY,
    "version-3.7": b"HTTP/3.7 200 OK\r\n" + BODY,
    "other-protocol": b"ICY 200 OK\r\n" + BODY,
    "http-2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "json": b'{"type":"message"}',
    "html": b"<html><body>hello</body></html>\r\n\r\n",
    "empty-lines": b"\r\n\r\n\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n" + BODY,
    "carriage-return": b"HTTP/1.1 200 OK\r\nx: a\rb\r\n" + BODY,
    "space-in-a-name": b"HTTP/1.1 200 OK\r\nx y: a\r\n" + BODY,
    "no-colon": b"HTTP/1.1 200 OK\r\nxyz\r\n" + BODY,
    "no-name": b"HTTP/1.1 200 OK\r\n: a\r\n" + BODY,
    "name-not-ascii": b"HTTP/1.1 200 OK\r\n\xc3\xbc: x\r\n" + BODY,
    "length-negative": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
    "length-empty": b"HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n{}",
    "length-endless": b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 30 + b"\r\n\r\n{}",
    "length-and-chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + BODY,
    "too-many-headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(5000)) + BODY,
}


@pytest.mark.parametrize(
    ("method", "name"), [*(("POST", name) for name in NONSENSE), ("GET", "status-099"), ("GET", "status-101")]
)
def test_head_that_is_nonsense(
    wire: Wire, capped: RunningProxy, name: str, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    A 502 in the envelope for every request, never a traceback and never a connection without a byte. A call reached the
    upstream, so it is charged as held.
    """
    path, body = ("/v1/messages", PLAIN) if method == "POST" else ("/v1/models", b"")
    with End.to(capped.port) as client:
        client.send(request(method, path, body))
        upstream = wire.accept()
        upstream.message()
        held = held_nusd(capped)
        upstream.send(NONSENSE[name])
        half_closes(upstream)
        answer = client.message()
    one = capped.exchange()

    error = json.loads(answer.body)
    assert (answer.status, error["type"], error["error"]["type"]) == (502, "error", "api_error")
    assert (one.answer.outcome, one.answer.status) == ("unreachable", 502)
    assert charged(capped) == ([held] if method == "POST" else [])
    assert capped.announced == []
    assert capfd.readouterr().err == ""


LARGE = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
"""aiohttp's advice to whoever sends more than 1 MB at once; nobody sees it unless he asks Python for it."""


@LARGE
@pytest.mark.parametrize("then", [resets, End.close], ids=["reset", "close"])
def test_answer_before_the_body_was_read(wire: Wire, capped: RunningProxy, then: Act) -> None:
    """
    An upstream that refuses a large body by its head, and closes: the client reads the refusal, which costs nothing.
    """
    body = json.dumps({**ASKED, "system": "x" * 5_000_000}).encode()
    refusal = b'{"type":"error","error":{"type":"request_too_large","message":"no"}}'
    with End.to(capped.port) as client:
        client.send(request("POST", "/v1/messages", body))
        upstream = wire.accept()
        upstream.head()
        upstream.send(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(refusal))
        upstream.send(refusal)
        got = client.message()
        then(upstream)

    assert (got.status, got.body) == (413, refusal)
    assert (capped.exchange().answer.outcome, charged(capped)) == ("upstream_error", [0])


@LARGE
def test_whole_answer_before_the_body_was_read(wire: Wire, capped: RunningProxy) -> None:
    """
    The same with an answer: nobody waits for the rest of the body, and the bill is the real one.
    """
    body = json.dumps({**ASKED, "system": "x" * 5_000_000}).encode()
    with End.to(capped.port) as client:
        client.send(request("POST", "/v1/messages", body))
        upstream = wire.accept()
        upstream.head()
        upstream.send(JSON)

        assert client.message().status == 200
    assert (capped.exchange().answer.outcome, charged(capped)) == ("ok", [PLAIN_NUSD])


def test_upstream_that_dies_between_requests(wire: Wire, capped: RunningProxy) -> None:
    """
    A kept connection that breaks under the next request: one attempt, for a call that may have been heard is not
    repeated, and a 502 that the client may act on.
    """
    with End.to(capped.port) as client:
        client.send(request("POST", "/v1/messages", PLAIN))
        upstream = wire.accept()
        upstream.message()
        upstream.send(JSON)
        assert client.message().status == 200
        client.send(request("POST", "/v1/messages", PLAIN))
        upstream.message()
        held = held_nusd(capped)
        resets(upstream)

        assert client.message().status == 502
    assert capped.exchange(1).answer.outcome == "unreachable"
    assert charged(capped) == [PLAIN_NUSD, held]
    assert not wire.waiting()
