"""
A client that leaves or dawdles, at each stage of its request: nothing runs on, nothing stays held, memory stays flat.
"""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from savemode_cli.core.budget.charge import Settlement
from tests.support.asked import (
    ASKED,
    BEGUN,
    ENDED,
    JSON,
    PLAIN,
    PLAIN_NUSD,
    STREAM,
    STREAM_NUSD,
    charged,
    resets,
)
from tests.support.processes import serving
from tests.support.streams import sse
from tests.support.upstream import ANSWER, RunningProxy, running_proxy
from tests.support.wire import CHUNKED, LAST_CHUNK, End, Wire, chunk, exchange, request

MB = 1_000_000
WHOLE = request("POST", "/v1/messages", STREAM)
HEAD_BYTES = WHOLE.index(b"\r\n\r\n") + 4
FILLER = chunk(sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 50_000}}))


def in_flight(proxy: RunningProxy) -> int:
    """
    How many requests are under way, as `/-/health` says.
    """
    number: int = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)["in_flight"]
    return number


@pytest.mark.parametrize("leave", [resets, End.close], ids=["reset", "close"])
@pytest.mark.parametrize("sent", [0, 1, 20, HEAD_BYTES - 2, HEAD_BYTES, len(WHOLE) - 1])
def test_client_that_leaves_before_its_request_is_whole(
    wire: Wire, capped: RunningProxy, sent: int, leave: object
) -> None:
    """
    Wherever it breaks off, there was no request: nothing is sent, held, charged or recorded.
    """
    assert callable(leave)
    with End.to(capped.port) as client:
        client.send(WHOLE[:sent])
        leave(client)

    assert in_flight(capped) == 0
    assert not wire.waiting()
    assert (charged(capped), capped.exchanges) == ([], [])


@pytest.mark.parametrize("leave", [resets, End.close], ids=["reset", "close"])
def test_client_that_leaves_what_it_has_not_read(wire: Wire, capped: RunningProxy, leave: object) -> None:
    """
    Gone with megabytes of its answer under way: the upstream is told, and the bill rests on what came through.
    """
    assert callable(leave)
    with End.to(capped.port) as client:
        client.send(WHOLE)
        upstream = wire.accept()
        upstream.message()
        upstream.send(BEGUN)
        client.head()
        _send_until_full(upstream)
        leave(client)
        upstream.rest()
    one = capped.exchange()

    assert (one.answer.outcome, one.bill.settlement and one.bill.settlement.basis) == ("client_gone", "estimated")
    assert one.bill.cost_nusd is not None
    assert charged(capped) == [one.bill.cost_nusd]
    assert in_flight(capped) == 0


def test_client_that_ends_its_side_gets_its_answer(wire: Wire, capped: RunningProxy) -> None:
    """
    One that closes its half of the connection behind a whole request still reads, and pays for what it gets.
    """
    with End.to(capped.port) as client:
        client.send(WHOLE)
        upstream = wire.accept()
        upstream.message()
        client.socket.shutdown(socket.SHUT_WR)
        upstream.send(ENDED)

        assert client.head().status == 200
    assert capped.exchange().bill.settlement == Settlement(STREAM_NUSD, "reported")
    assert charged(capped) == [STREAM_NUSD]


def test_pipelined_calls_are_charged_one_by_one(wire: Wire, capped: RunningProxy) -> None:
    """
    Three calls at once on one connection: each waits for the one before it, and has a bill of its own.
    """
    bodies = [PLAIN, STREAM, PLAIN]
    with End.to(capped.port) as client:
        client.send(b"".join(request("POST", "/v1/messages", body) for body in bodies))
        upstream = wire.accept()
        for body in bodies:
            assert upstream.message().body == body
            assert len(capped.ledger.holds(datetime.now(UTC))) == 1
            upstream.send(ENDED if body is STREAM else JSON)
            assert client.message().status == 200
    capped.exchange(2)

    assert charged(capped) == [PLAIN_NUSD, STREAM_NUSD, PLAIN_NUSD]


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("POST", "/v1/messages", 429, b"exceeded"),
        ("POST", "/v1/messages/batches", 429, b"exceeded"),
        ("POST", "/v1/messages/count_tokens", 200, b"exceeded"),
        ("GET", "/-/health", 200, b'"spent_nusd":6000000000,'),
        ("GET", "/-/exchanges", 200, b'"cost_nusd":6000000000,'),
    ],
)
def test_what_is_pipelined_behind_a_call_knows_its_bill(
    wire: Wire, method: str, path: str, status: int, told: bytes
) -> None:
    """
    It begins before the bill is written, in the turn in which the answer ends; $6 are spent of 10 cents.
    """
    usage = {"input_tokens": 1_500_000, "output_tokens": 0}
    answer = json.dumps({**json.loads(ANSWER), "usage": usage}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
    small = json.dumps({**ASKED, "max_tokens": 1}).encode()
    with running_proxy(wire.url, budget_nusd=10**8) as proxy, End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", small) + request(method, path, None if method == "GET" else small))
        upstream = wire.accept()
        upstream.message()
        upstream.send(head + answer)
        assert client.message().status == 200
        if path.endswith("count_tokens"):
            upstream.message()
            upstream.send(JSON)
        second = client.message()

    assert second.status == status
    assert told in (second.body if path.startswith("/-/") else second.all(b"x-posthog-budget")[0])


@pytest.mark.parametrize("leave", [resets, End.close], ids=["reset", "close"])
def test_client_that_leaves_with_more_calls_in_the_pipe(wire: Wire, capped: RunningProxy, leave: object) -> None:
    """
    The call under way ends with it, and those behind it never begin.
    """
    assert callable(leave)
    with End.to(capped.port) as client:
        client.send(WHOLE * 3)
        upstream = wire.accept()
        upstream.message()
        upstream.send(BEGUN)
        client.head()
        leave(client)
        with suppress(ConnectionError):
            upstream.send(FILLER * 20)
        upstream.rest()
    capped.exchange()

    assert in_flight(capped) == 0
    assert not wire.waiting()
    assert len(charged(capped)) == len(capped.exchanges) == 1


def test_slow_reader_slows_the_upstream(wire: Wire) -> None:
    """
    The upstream has 200 MB to say and the client reads none of it: what the kernel keeps is taken, the proxy's memory stays
    where it was, and once the client reads, all of it arrives.
    """
    with serving(wire.url) as (server, url), End.to(int(url.rpartition(":")[2])) as client:
        before = resident_mb(server.process.pid)
        client.send(WHOLE)
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED)
        taken = _send_until_full(upstream, 200 * MB)
        grown = resident_mb(server.process.pid) - before

        assert taken < 40 * MB
        assert grown < 20
        client.head()
        with ThreadPoolExecutor(1) as aside:
            # `taken` may end within a piece: first its other end.
            going_on = aside.submit(upstream.send, FILLER[taken % len(FILLER) :] + LAST_CHUNK)
            total = 0
            while piece := client.chunk():
                total += len(piece)
            going_on.result()
        assert total == (taken // len(FILLER) + 1) * (len(FILLER) - len(b"%x\r\n\r\n" % len(FILLER)))
        assert resident_mb(server.process.pid) - before < 20


def _send_until_full(upstream: End, most: int = 200 * MB) -> int:
    """
    Write as much of `FILLER` as is taken; nothing for half a second is the end. The bytes written.
    """
    taken = 0
    upstream.socket.settimeout(0.5)
    with suppress(TimeoutError):
        while taken < most:
            taken += upstream.socket.send(FILLER[taken % len(FILLER) :])
    upstream.socket.settimeout(10)
    return taken


def resident_mb(pid: int) -> float:
    """
    The physical memory of a process.
    """
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / MB
