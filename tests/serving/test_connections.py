"""
How many connections are kept open, which are closed for a new one, and how long a client may keep the server waiting.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from savemode_cli.serving import connections as module
from savemode_cli.serving.connections import ClientTimeouts, Connections
from tests.proxy.test_gateway import STREAM, health
from tests.support.upstream import RunningProxy, running_proxy
from tests.support.waiting import until
from tests.support.wire import CHUNKED, LAST_CHUNK, OK, End, Wire, chunk, request

# The count, without network connections.


@dataclass(eq=False)
class Fake:
    """
    A connection whose state the test sets.
    """

    idle_since: tuple[int, float] | None
    times_out: bool = False
    closed: bool = False
    looks: list[float] = field(default_factory=list)

    def close_if_timed_out(self, now: float, timeouts: ClientTimeouts) -> bool:
        """
        Record the check.
        """
        self.looks.append(now)
        return self.times_out

    def close_idle(self) -> None:
        """
        Record the end.
        """
        self.closed = True


def filled(*fakes: Fake, announced: list[tuple[str, str]] | None = None) -> Connections:
    """
    A set of connections that is full with these.
    """
    connections = Connections(
        len(fakes), announce=lambda *one: announced.append(one) if announced is not None else None
    )
    assert all(connections.add(fake) for fake in fakes)
    return connections


def test_longest_idle_connection_is_closed_first() -> None:
    """
    A connection without a request is closed before one with half a head, and that before one with half a body. Within one
    rank, the one that has been idle longest is closed first.
    """
    fakes = [Fake(None), Fake((2, 1.0)), Fake((1, 2.0)), Fake((0, 4.0)), Fake((0, 3.0))]
    connections = filled(*fakes)
    order = []
    for _ in range(4):
        assert connections.add(Fake(None))
        order += [fakes.index(fake) for fake in fakes if fake.closed and fakes.index(fake) not in order]

    assert order == [4, 3, 2, 1]
    assert not connections.add(Fake(None))
    assert connections.to_json() == {"open": 5, "most": 5, "timed_out": 0, "closed_idle": 4, "refused": 1}


def test_several_idle_connections_are_closed_at_once() -> None:
    """
    With many connections, several are closed at once, so that many new ones do not each search all of them.
    """
    fakes = [Fake((0, float(number))) for number in range(640)]
    connections = filled(*fakes)

    connections.add(Fake(None))

    assert [fake.closed for fake in fakes] == [True] * 10 + [False] * 630
    assert connections.to_json()["open"] == 631


def test_limits_are_announced_once() -> None:
    """
    The first closing and the first refusal are announced; later ones are only counted.
    """
    announced: list[tuple[str, str]] = []
    connections = filled(Fake((0, 1.0)), Fake((0, 2.0)), announced=announced)
    for _ in range(5):
        connections.add(Fake(None))

    assert [event for event, _ in announced] == ["connections", "connections"]
    assert (
        announced[0][1]
        == "the limit of 2 open connections is reached; the longest idle ones are closed to accept new ones"
    )
    assert (
        announced[1][1] == "the limit of 2 open connections is reached; none of them is idle, so new ones are refused"
    )


def test_connections_are_checked_once_a_second() -> None:
    """
    Connections are checked once a second, however often the check is called. A timed-out connection is counted and
    forgotten.
    """
    fakes = [Fake(None), Fake(None, times_out=True)]
    connections = filled(*fakes)
    for now in (10.0, 10.1, 10.9, 11.0, 11.5, 12.1):
        connections.close_timed_out(now)

    assert fakes[0].looks == [10.0, 11.0, 12.1]
    assert fakes[1].looks == [10.0]
    assert (connections.to_json()["timed_out"], connections.to_json()["open"]) == (1, 1)


@pytest.mark.parametrize(
    ("files", "limit"), [(20_000, 8_192), (10_128, 5_000), (1_024, 448), (256, 64), (64, 16), (0, 16)]
)
def test_limit_follows_the_limit_on_open_files(files: int, limit: int) -> None:
    """
    Each connection may need a second one to the upstream, and some files are reserved for other uses.
    """
    connections = Connections()
    connections.limit_to_open_files(files)

    assert connections.limit == limit


# The same with real sockets.


@contextmanager
def proxy_with(wire: Wire, *, limit: int = 100, timeouts: ClientTimeouts | None = None) -> Iterator[RunningProxy]:
    """
    A proxy with these limits.
    """
    with pytest.MonkeyPatch.context() as patched, running_proxy(wire.url, grace_s=1) as proxy:
        patched.setattr(module, "_CHECK_INTERVAL_S", 0.01)
        until(lambda: proxy.server.started)
        proxy.server.connections.limit = limit
        proxy.server.connections.timeouts = timeouts or ClientTimeouts()
        yield proxy
        wire.close()


def waiting(proxy: RunningProxy, rank: int, unframed_bytes: int = 0) -> Any:
    """
    The first connection that waits for its client in this state and has received this many unframed bytes.
    """
    for connection in list(proxy.server.connections._open):
        held: Any = connection
        if held.idle_since is not None and held.idle_since[0] == rank and held._unframed_bytes >= unframed_bytes:
            return held
    return None


def receives_body(proxy: RunningProxy) -> Any:
    """
    The first connection that waits for the rest of a body.
    """
    return waiting(proxy, 2)


HALF = request("POST", "/v1/messages", STREAM)[:-1]


@pytest.mark.parametrize("sent", [b"", b"POST /v1/messages HTTP/1.1\r\nhost: 127", HALF], ids=["none", "head", "body"])
def test_new_client_is_served_beside_idle_ones(wire: Wire, sent: bytes) -> None:
    """
    Idle connections and half-sent requests are closed for new connections; a connection that is being answered is not.
    """
    with proxy_with(wire, limit=20) as proxy, ExitStack() as stack:
        busy = stack.enter_context(End.to(proxy.port))
        busy.send(request("POST", "/v1/messages", STREAM))
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED)
        busy.head()
        idle = [stack.enter_context(End.to(proxy.port)) for _ in range(60)]
        for client in idle:
            with suppress(ConnectionError):  # the server may have closed it already
                client.send(sent)
        got = health(proxy)["connections"]
        assert got["closed_idle"] >= 40
        assert got["open"] <= got["most"] == 20
        assert [event for event, _ in proxy.announced] == ["connections"]
        upstream.send(chunk(b"x") + LAST_CHUNK)
        assert busy.chunk() == b"x"


def test_new_client_is_refused_beside_busy_ones(wire: Wire) -> None:
    """
    The refusal is in the API's error format, and the next client is served when a connection is free.
    """
    with proxy_with(wire, limit=2) as proxy, ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(End.to(proxy.port))
            client.send(request("POST", "/v1/messages", STREAM))
            upstream = wire.accept()
            upstream.message()
        with End.to(proxy.port) as refused:
            answer = refused.message()
        assert (answer.status, json.loads(answer.body)["error"]["type"]) == (503, "overloaded_error")
        assert answer.all(b"connection") == [b"close"]
        upstream.send(OK)
        assert client.message().status == 200
        assert health(proxy)["connections"]["refused"] == 1


def test_closed_half_sent_body_is_not_forwarded(wire: Wire) -> None:
    """
    The request ends as if its client had left.
    """
    with proxy_with(wire, limit=1) as proxy:
        with End.to(proxy.port) as client:
            client.send(HALF)
            until(lambda: receives_body(proxy))
            assert health(proxy)["connections"]["closed_idle"] == 1
            assert client.rest() == b""
        assert not wire.waiting()
        assert health(proxy)["in_flight"] == 0


@pytest.mark.parametrize(
    ("sent", "rank", "status"),
    [
        (b"", 0, None),
        (b"\r\n", 0, None),
        (b"POST /v1/messages HTTP/1.1\r\n", 1, 408),
        (HALF, 2, 408),
        (request("POST", "/v1/files", b"x" * 1000)[:-1], 2, 408),
        (request("POST", "/v1/messages", None, ("transfer-encoding", "chunked")) + chunk(b"x"), 2, 408),
    ],
    ids=["nothing", "empty-line", "head", "body", "upload", "chunks"],
)
def test_client_that_keeps_the_server_waiting(wire: Wire, sent: bytes, rank: int, status: int | None) -> None:
    """
    The connection is closed, with an answer if a request had begun.
    """
    with proxy_with(wire) as proxy:
        with End.to(proxy.port) as client:
            client.send(sent)
            until(lambda: waiting(proxy, rank, len(sent) if rank == 0 else 0))
            proxy.server.connections.timeouts = ClientTimeouts(head_s=0, body_s=0)
            if status is None:
                assert client.rest() == b""
            else:
                answer = client.message()
                assert (answer.status, json.loads(answer.body)["type"]) == (status, "error")
                assert client.rest() == b""
        proxy.server.connections.timeouts = ClientTimeouts()
        got = health(proxy)
    assert (got["connections"]["timed_out"], got["in_flight"]) == (1, 0)


def test_slow_head_times_out_however_often_a_byte_comes(wire: Wire) -> None:
    """
    The timeout of a head counts from its first byte to its last.
    """
    with proxy_with(wire) as proxy, End.to(proxy.port) as client:
        client.send(b"GET /")
        until(lambda: waiting(proxy, 1))
        proxy.server.connections.timeouts = ClientTimeouts(head_s=0.3)
        client.socket.settimeout(0.01)
        got = b""
        while not got:
            client.send(b"a")
            try:
                got = client.socket.recv(1000)
            except TimeoutError:
                continue

        assert got.startswith(b"HTTP/1.1 408 ")


def test_slow_body_does_not_time_out_while_bytes_come(wire: Wire) -> None:
    """
    The timeout of a body starts again with each byte, so the whole body may take any time.
    """
    sent, timeouts = request("POST", "/v1/messages", STREAM), ClientTimeouts()
    with proxy_with(wire) as proxy, End.to(proxy.port) as client:
        client.send(sent[:-3])
        until(lambda: receives_body(proxy))
        connection = receives_body(proxy)
        for byte in sent[-3:-1]:
            heard = connection.idle_since[1]
            assert not connection.close_if_timed_out(heard + timeouts.body_s - 1, timeouts)
            client.send(bytes([byte]))
            until(lambda before=heard: connection.idle_since[1] > before)  # type: ignore[misc]
        client.send(sent[-1:])
        upstream = wire.accept()
        assert upstream.message().body == STREAM
        upstream.send(OK)

        assert client.message().status == 200


def looks(proxy: RunningProxy, number: int) -> None:
    """
    Wait until connections have been checked this many times more.
    """
    connections = proxy.server.connections
    for _ in range(number):
        before = connections._next_check
        until(lambda before=before: connections._next_check > before)  # type: ignore[misc]


def test_upload_that_waits_for_its_upstream_does_not_time_out(wire: Wire) -> None:
    """
    If the upstream does not read the body, the client does not time out.
    """
    with proxy_with(wire) as proxy, End.to(proxy.port) as client:
        client.send(request("POST", "/v1/files", None, ("content-length", "64000000")))
        until(lambda: receives_body(proxy))
        connection = receives_body(proxy)
        client.socket.settimeout(0.2)
        with suppress(TimeoutError):
            while True:
                client.socket.send(b"x" * 100_000)
        until(lambda: connection.flow.read_paused)
        proxy.server.connections.timeouts = ClientTimeouts(body_s=0)
        looks(proxy, 5)
        assert health(proxy)["connections"]["timed_out"] == 0


def test_kept_alive_connection_does_not_time_out(wire: Wire) -> None:
    """
    A long answer does not time out, and neither does a pause before the next request.
    """
    with proxy_with(wire, timeouts=ClientTimeouts(head_s=600, body_s=600)) as proxy, End.to(proxy.port) as client:
        upstream: End | None = None
        for _ in range(2):
            client.send(request("POST", "/v1/messages", STREAM))
            upstream = upstream or wire.accept()
            upstream.message()
            proxy.server.connections.timeouts = ClientTimeouts(head_s=0, body_s=0)
            looks(proxy, 5)
            upstream.send(OK)
            assert client.message().status == 200
            looks(proxy, 5)
            proxy.server.connections.timeouts = ClientTimeouts(head_s=600, body_s=600)


# The limit on open files.


def python(code: str, *, files: int) -> str:
    """
    What a process prints that may open this many files.
    """
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files * 4}))\n{code}"
    ran = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1024, reason="few open files are allowed here")
def test_limit_on_open_files_is_raised_and_given_back() -> None:
    """
    The soft limit is raised to the hard limit; a process started within the block has the original limit.
    """
    code = """
import subprocess, sys
from savemode_cli.serving.process import original_open_file_limit, open_file_limit, raise_open_file_limit
ask = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"]
print(open_file_limit())
for _ in range(2):
    raise_open_file_limit()
    print(open_file_limit(), subprocess.run(ask, capture_output=True).stdout.decode().strip())
    with original_open_file_limit():
        print(subprocess.run(ask, capture_output=True).stdout.decode().strip())
"""
    assert python(code, files=256).split() == ["256", "1024", "1024", "256", "1024", "1024", "256"]
