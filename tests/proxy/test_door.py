"""
The door: who may come in, over real sockets.
"""

import json

import pytest

from savemode_cli.proxy.door import is_loopback
from tests.proxy.wire import End, Wire, Wired, exchange, request
from tests.upstream import RunningProxy, Upstream, running_proxy

RAW_HEALTH = "GET /-/health HTTP/1.1\r\n{}\r\n"
TOKEN = "0123456789abcdef"


def knock(port: int, *lines: str) -> Wired:
    """
    The answer to a request for `/-/health` with these header lines.
    """
    with End.to(port) as client:
        client.send(RAW_HEALTH.format("".join(f"{line}\r\n" for line in lines)).encode())
        return client.message()


@pytest.mark.parametrize(
    "lines",
    [
        ["host: evil.example"],
        ["host: evil.example:8787"],
        ["host: 127.0.0.1.evil.example"],
        ["host: 10.0.0.1"],
        ["host: [::2]:80"],
        ["host:"],
        [],
        ["host: localhost", "origin: https://evil.example"],
        ["host: localhost", "origin: https://localhost.evil.example"],
        ["host: localhost", "origin: null"],
        ["host: localhost", "origin:"],
        ["host: localhost", "host: evil.example"],
        ["host: evil.example", "host: localhost"],
        ["host: localhost", "host: localhost"],
        ["host: localhost", "sec-fetch-site: cross-site"],
        ["host: localhost", "sec-fetch-site: same-site"],
        ["host: localhost", "sec-fetch-site:"],
    ],
    ids=str,
)
def test_door_stays_shut(wired: RunningProxy, lines: list[str]) -> None:
    """
    A foreign name, no name, a foreign page: 403 in the API's envelope.
    """
    got = knock(wired.port, *lines)
    envelope = json.loads(got.body)

    assert (got.status, envelope["error"]["type"]) == (403, "permission_error")
    assert got.all(b"request-id") == [envelope["request_id"].encode()]


@pytest.mark.parametrize(
    "lines",
    [
        ["host: localhost"],
        ["host: LOCALHOST:8787"],
        ["host: 127.0.0.1:1"],
        ["host: [::1]"],
        ["host: [::1]:8787"],
        ["host: 127.0.0.1", "origin: http://127.0.0.1:8787"],
        ["host: 127.0.0.1", "origin: http://localhost"],
        ["host: [::1]", "origin: http://[::1]:8787"],
        ["host: localhost", "sec-fetch-site: none"],
        ["host: localhost", "sec-fetch-site: same-origin"],
    ],
    ids=str,
)
def test_door_opens(wired: RunningProxy, lines: list[str]) -> None:
    """
    Under loopback's names, in any spelling and with any port, also as an origin.
    """
    assert knock(wired.port, *lines).status == 200


@pytest.mark.parametrize(("name", "status"), [("proxy.test", 200), ("PROXY.test:1", 200), ("other.test", 403)])
def test_allowed_host(wire: Wire, name: str, status: int) -> None:
    """
    `--allow-host` adds a name.
    """
    with running_proxy(wire.url, allow_host=("proxy.test",)) as proxy:
        assert knock(proxy.port, f"host: {name}").status == status


@pytest.mark.parametrize(("name", "status"), [("10.0.0.1:1", 200), ("[fe80::1]", 200), ("evil.example", 403)])
def test_any_address_is_ours_beyond_loopback(wire: Wire, name: str, status: int) -> None:
    """
    Where other machines may come, an address is no foreign name; a name still is.
    """
    with running_proxy(wire.url, allow_remote=True, access_token=TOKEN) as proxy:
        assert knock(proxy.port, f"host: {name}", f"x-savemode-token: {TOKEN}").status == status


@pytest.mark.parametrize("lines", [["host: evil.example"], ["host: localhost", "origin: null"]])
def test_nothing_passes_a_shut_door(wire: Wire, wired: RunningProxy, lines: list[str]) -> None:
    """
    What is refused at the door reaches no upstream and no record.
    """
    with End.to(wired.port) as client:
        client.send("\r\n".join(["POST /v1/messages HTTP/1.1", *lines, "content-length: 2", "", "{}"]).encode())
        assert client.message().status == 403

    assert not wire.waiting()
    assert wired.exchanges == []


@pytest.mark.parametrize(
    ("host", "ours"), [("localhost", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False), ("a.test", False)]
)
def test_is_loopback(host: str, ours: bool) -> None:
    """
    Only what this machine alone can reach is.
    """
    assert is_loopback(host) == ours


PREFLIGHT = ("access-control-request-method", "POST"), ("access-control-request-headers", "x-api-key")


def test_a_page_gets_no_permission(wire: Wire, wired: RunningProxy) -> None:
    """
    A browser that asks for a page whether it may post (CORS) is not told that it may, and nobody else is asked.
    """
    got = exchange(wired.port, request("OPTIONS", "/v1/messages", None, ("origin", "https://evil.example"), *PREFLIGHT))

    assert got.status == 403
    assert not [name for name, _ in got.headers if name.startswith(b"access-control")]
    assert not wire.waiting()


@pytest.mark.parametrize(
    ("shown", "status"),
    [((), 401), (("",), 401), ((TOKEN[:-1],), 401), ((TOKEN + "0",), 401), ((TOKEN,), 200), (("x", TOKEN), 200)],
    ids=str,
)
def test_token(wire: Wire, shown: tuple[str, ...], status: int) -> None:
    """
    Where a token is set, who does not show it stays outside, from this machine too.
    """
    with running_proxy(wire.url, access_token=TOKEN) as proxy:
        got = knock(proxy.port, "host: localhost", *(f"x-savemode-token: {one}" for one in shown))

    assert got.status == status
    if status == 401:
        assert json.loads(got.body)["error"]["type"] == "authentication_error"


def test_token_stays_here(upstream: Upstream) -> None:
    """
    It is for our door: the upstream does not see it, whether or not one is set.
    """
    with running_proxy(upstream.url, access_token=TOKEN) as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", b"{}", ("x-savemode-token", TOKEN)))
    with running_proxy(upstream.url) as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", b"{}", ("x-savemode-token", TOKEN)))

    assert [received.all("x-savemode-token") for received in upstream.received] == [[], []]
