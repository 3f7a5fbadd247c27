"""
Bodies that are not complete: how many bytes they may take together, and which one gives way.
"""

import json
from contextlib import ExitStack

import pytest

from savemode_cli.serving.incoming import BYTES_PER_MB, IncomingBodies, IncomingBody
from tests.proxy.test_gateway import STREAM, health
from tests.support.upstream import running_proxy
from tests.support.waiting import until
from tests.support.wire import OK, End, Wire, request

KB = 1024


def opened(bodies: IncomingBodies, refused: list[str], *names: str) -> list[IncomingBody]:
    """
    Bodies that begin in this order, and write down who was refused.
    """
    return [bodies.begin(lambda _why, name=name: refused.append(name)) for name in names]  # type: ignore[misc]


def test_the_one_without_progress_gives_way() -> None:
    """
    Progress is 64 KB, so that a byte now and then does not count as any.
    """
    refused: list[str] = []
    announced: list[tuple[str, str]] = []
    bodies = IncomingBodies(1, lambda *one: announced.append(one))
    fast, drips, stalls, late = opened(bodies, refused, "fast", "drips", "stalls", "late")
    for one in (fast, drips, stalls):
        one.add(250 * KB)
    fast.add(64 * KB)
    drips.add(1)
    late.add(200 * KB)
    assert (refused, bodies.size) == ([], 1014 * KB + 1)

    late.add(100 * KB)
    assert refused == ["drips"]
    late.add(350 * KB)
    assert refused == ["drips", "stalls"]
    assert announced == [
        ("incoming_bodies", "unfinished request bodies take more than 1 MB of memory; the slowest are refused")
    ]
    assert bodies.to_json() == {"open": 2, "bytes": 964 * KB, "most_mb": 1, "refused": 2}


def test_what_ended_counts_no_more() -> None:
    """
    However often its end is told, and whatever still comes of a refused one.
    """
    refused: list[str] = []
    bodies = IncomingBodies(1)
    first, second = opened(bodies, refused, "first", "second")
    first.add(BYTES_PER_MB)
    first.end()
    first.end()
    second.add(BYTES_PER_MB)
    assert (refused, bodies.size) == ([], BYTES_PER_MB)
    opened(bodies, refused, "third")[0].add(1)
    second.add(5)
    assert (refused, bodies.size) == (["second"], 1)


@pytest.mark.parametrize("most_mb", [0, 1])
def test_one_alone_is_never_refused(most_mb: int) -> None:
    """
    Nor any without a limit.
    """
    refused: list[str] = []
    bodies = IncomingBodies(most_mb)
    if not most_mb:
        opened(bodies, refused, "other")[0].add(BYTES_PER_MB)
    opened(bodies, refused, "large")[0].add(32 * BYTES_PER_MB)

    assert refused == []


def test_stalled_clients_give_way_to_one_that_sends(wire: Wire) -> None:
    """
    Each stalled one is answered with 503 and a sentence; an honest client is served, and nothing of the others is forwarded.
    """
    part = b"x" * 300 * KB
    half = request("POST", "/v1/messages", None, ("content-length", "32000000")) + part
    honest = b'{"pad": "' + b"y" * 600 * KB + STREAM.replace(b"{", b'", ', 1)
    with running_proxy(wire.url, incoming_mb=1) as proxy, ExitStack() as stack:
        stalled = [stack.enter_context(End.to(proxy.port)) for _ in range(3)]
        for number, client in enumerate(stalled, 1):
            client.send(half)
            until(lambda number=number: proxy.server.connections.bodies.size == number * len(part))  # type: ignore[misc]
        client = stack.enter_context(End.to(proxy.port))
        client.send(request("POST", "/v1/messages", honest))
        upstream = stack.enter_context(wire.accept())
        assert upstream.message().body == honest
        upstream.send(OK)
        assert client.message().status == 200
        answer = stalled[0].message()
        got = health(proxy)["incoming_bodies"]

    assert (answer.status, json.loads(answer.body)["error"]["type"]) == (503, "overloaded_error")
    assert "this one came slowest; send it again, or raise incoming_mb" in json.loads(answer.body)["error"]["message"]
    assert (got["most_mb"], got["bytes"]) == (1, got["open"] * len(part))
    assert got["refused"] in (1, 2)
    assert [event for event, _ in proxy.announced] == ["incoming_bodies"]
