"""
The server: connections and pipelining.
"""

import socket

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.serving.server import bind, listen, open_port
from tests.proxy.test_gateway import PLAIN, _echo
from tests.support.upstream import RunningProxy, Upstream
from tests.support.wire import End, request

# Connections.


def test_small_writes_are_not_delayed() -> None:
    """
    The listener names TCP as its protocol: asyncio disables Nagle's algorithm only for such sockets. With Nagle's
    algorithm, each small event of a stream waits 40 ms for the acknowledgement of the previous one.
    """
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_many_requests_on_one_connection(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    The client's connection stays open, and so does the connection to the upstream.
    """
    with End.to(proxy.port) as client:
        for number in range(50):
            client.send(request("POST", f"/v1/messages?{number}", PLAIN))
            assert client.message().status == 200

    assert [received.target for received in upstream.received] == [f"/v1/messages?{number}" for number in range(50)]
    assert upstream.connections == 1


def test_pipelined_requests_are_answered_in_order(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Requests that are sent without waiting get their answers in the same order.
    """
    upstream.script = _echo
    with End.to(proxy.port) as client:
        client.send(b"".join(request("POST", "/v1/files", b"%d" % number) for number in range(10)))

        assert [client.message().body for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_connection_close_is_obeyed(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    If a client asks to close the connection after the answer, the server closes it.
    """
    with End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", PLAIN, ("connection", "close")))
        client.message()

        assert client.rest() == b""


def test_port_that_another_server_opened_meanwhile() -> None:
    """
    Two servers can bind the same port before either listens; the second one to listen gets the error that it is taken.
    """
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        try:
            second = bind("127.0.0.1", port)
        except ConfigError:
            pytest.skip("this system binds a port once")
        open_port(first)

        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: address already in use"):
            open_port(second)


def test_bound_port_is_not_open() -> None:
    """
    Clients cannot connect before the server is ready.
    """
    with bind("127.0.0.1", 0) as listener:
        with pytest.raises(ConnectionRefusedError):
            End.to(listener.getsockname()[1])
        open_port(listener)
        End.to(listener.getsockname()[1]).close()
