"""
Whether a failed request may have reached the upstream, with real servers on loopback. A request that was not sent is
free.
"""

import asyncio
import contextlib
import json
import socket

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.errors import UpstreamUnreachable
from savemode_cli.network import network_for
from savemode_cli.proxy.transport import AiohttpTransport
from savemode_cli.proxy.upstream import UpstreamRequest
from tests.support.asked import PLAIN, charged, held_nusd
from tests.support.network import Answering, Authority, HttpProxy, Listen, SocksProxy
from tests.support.upstream import running_proxy
from tests.support.waiting import until
from tests.support.wire import End, Wire, request


def was_sent(url: str, **environ: str) -> bool:
    """
    Whether a request without an answer counts as sent.
    """
    network = network_for(url, environ)
    connected: list[bool] = []

    async def main() -> UpstreamUnreachable:
        transport = AiohttpTransport(
            url, connect_timeout_s=10.0, read_timeout_s=0.3, proxy=network.proxy, tls=network.tls
        )
        sent = UpstreamRequest("POST", b"/v1/messages", [], b"{}", lambda: connected.append(True))
        try:
            with pytest.raises(UpstreamUnreachable) as caught:
                await transport.send(sent)
        finally:
            await transport.aclose()
        return caught.value

    error = asyncio.run(main())
    return bool(connected) and error.served


def closes(connection: socket.socket) -> None:
    """
    Read a head, and close.
    """
    connection.recv(4096)


def says_garbage(connection: socket.socket) -> None:
    """
    Send bytes that are neither HTTP nor TLS.
    """
    connection.recv(4096)
    connection.sendall(b"hello there\n")


def is_silent(connection: socket.socket) -> None:
    """
    Read until the other side closes.
    """
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


@pytest.mark.parametrize("handler", [closes, says_garbage, is_silent])
def test_sent(listen: Listen, handler: object) -> None:
    """
    There was a connection, so the upstream may have read the request.
    """
    assert was_sent(f"http://127.0.0.1:{listen(handler)}")  # type: ignore[arg-type]


def test_sent_behind_a_tunnel(listen: Listen) -> None:
    """
    The same through a proxy that has connected to the upstream.
    """
    upstream = listen(closes)

    assert was_sent("http://10.1.2.3", ALL_PROXY=f"socks5://127.0.0.1:{listen(SocksProxy(upstream))}")


@pytest.mark.parametrize("url", ["http://nowhere.invalid", "https://nowhere.invalid"])
def test_no_such_host(url: str) -> None:
    """
    Nothing was sent.
    """
    assert not was_sent(url)


def test_refused_connection() -> None:
    """
    The port is closed.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert not was_sent(f"http://127.0.0.1:{port}")


def test_tls_fails(listen: Listen, authority: Authority) -> None:
    """
    A handshake fails before the request is sent: the server has no TLS, or its certificate is not trusted.
    """
    assert not was_sent(f"https://127.0.0.1:{listen(says_garbage)}")
    assert not was_sent(f"https://localhost:{listen(Answering(authority.serving('localhost')))}")


def test_proxy_refuses(listen: Listen) -> None:
    """
    A proxy that does not connect, and one that forwards requests and requires a login.
    """
    refusing, asking = listen(HttpProxy(refuses="403 Forbidden")), listen(HttpProxy(login="a:b"))

    assert not was_sent("https://api.example", HTTPS_PROXY=f"http://127.0.0.1:{refusing}")
    assert not was_sent("https://api.example", HTTPS_PROXY=f"http://127.0.0.1:{asking}")
    assert not was_sent("http://api.example", HTTP_PROXY=f"http://127.0.0.1:{asking}")
    assert not was_sent("http://10.1.2.3", ALL_PROXY=f"socks5://127.0.0.1:{listen(SocksProxy(reply=5))}")


@pytest.mark.parametrize("strict", [False, True])
def test_call_that_got_no_answer_is_charged_as_held(wire: Wire, strict: bool) -> None:
    """
    The upstream received all of it and the result is unknown; the line and the JSON say what the charge is based on.
    """
    with running_proxy(wire.url, budget_nusd=10**9, strict=strict, read_timeout_s=0.3, grace_s=1) as proxy:
        with End.to(proxy.port) as client:
            client.send(request("POST", "/v1/messages", PLAIN))
            wire.accept().message()
            held = held_nusd(proxy)
            answer = client.message()
        one = proxy.exchange()
        wire.close()

        assert (answer.status, json.loads(answer.body)["error"]["type"]) == (504, "timeout_error")
        assert (one.answer.outcome, one.bill.settlement) == ("unreachable", Settlement(held, "held"))
        assert one.to_json()["cost_note"] == "it was sent, and no answer reported its usage"
        assert charged(proxy) == [held]
        assert held > 0


def test_client_that_leaves_while_nothing_is_sent_is_free(listen: Listen) -> None:
    """
    The connection to the upstream was not open yet: nothing was sent, and nothing is charged.
    """
    stream = json.dumps({**json.loads(PLAIN), "stream": True}).encode()
    port = listen(is_silent)
    with running_proxy(f"https://127.0.0.1:{port}", budget_nusd=10**9, grace_s=1) as proxy:
        with End.to(proxy.port) as client:
            client.send(request("POST", "/v1/messages", stream))
            until(lambda: held_nusd(proxy) > 0)
        one = proxy.exchange()

        assert (one.answer.outcome, one.bill.settlement) == ("client_gone", Settlement(0, "none"))
        assert charged(proxy) == [0]
