"""
The access policy of the proxy and of the simulated upstream, over real sockets.
"""

import ast
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import savemode_cli
from savemode_cli.core.wire.access_tokens import AccessTokens, digest_of
from savemode_cli.serving.access import AccessPolicy, is_loopback
from tests.support.simulated import running_simulated
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.wire import End, Wire, Wired, exchange, request

RAW_HEALTH = "GET /-/health HTTP/1.1\r\n{}\r\n"
TOKEN = "0123456789abcdef"


def status_request(port: int, *lines: str) -> Wired:
    """
    The answer to a request for `/-/health` with these header lines.
    """
    with End.to(port) as client:
        client.send(RAW_HEALTH.format("".join(f"{line}\r\n" for line in lines)).encode())
        return client.message()


@pytest.fixture(params=["proxy", "proxy of a simulated upstream", "simulated upstream"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """
    The port of each kind of server that savemode opens.
    """
    with server(request.param) as port:
        yield port


@contextmanager
def server(kind: str) -> Iterator[int]:
    """
    Run a server of this kind.
    """
    if kind == "simulated upstream":
        with running_simulated() as simulated:
            yield simulated.port
        return
    upstream = Upstream()
    try:
        with running_proxy("simulated" if "simulated" in kind else upstream.url) as proxy:
            yield proxy.port
    finally:
        upstream.close()


REJECTED = [
    [],
    ["host:"],
    ["host: evil.example"],
    ["host: evil.example:8787"],
    ["host: 127.0.0.1.evil.example"],
    ["host: 127.0.0.1:80.evil.example"],
    ["host: localhost:evil"],
    ["host: localhost:8787:80"],
    ["host: localhost@evil.example"],
    ["host: localhost/evil"],
    ["host: 10.0.0.1"],
    ["host: [::2]:80"],
    ["host: [::1].evil.example"],
    ["host: [::1].evil.example:80"],
    ["host: [::1]:80.evil.example"],
    ["host: [::1"],
    ["host: ::1"],
    ["host: [localhost]"],
    ["host: localhost", "host: evil.example"],
    ["host: evil.example", "host: localhost"],
    ["host: localhost", "host: localhost"],
    ["host: localhost", "origin: https://evil.example"],
    ["host: localhost", "origin: https://localhost.evil.example"],
    ["host: localhost", "origin: https://[::1].evil.example"],
    ["host: localhost", "origin: http://localhost@evil.example"],
    ["host: localhost", "origin: http://localhost:1@evil.example"],
    ["host: localhost", "origin: evil://localhost"],
    ["host: localhost", "origin: localhost"],
    ["host: localhost", "origin: null"],
    ["host: localhost", "origin:"],
    ["host: localhost", "origin: http://localhost", "origin: https://evil.example"],
    ["host: localhost", "origin: https://evil.example", "origin: http://localhost"],
    ["host: localhost", "origin: http://localhost", "origin: http://localhost"],
    ["host: localhost", "origin: https://evil.example, http://localhost"],
    ["host: localhost", "sec-fetch-site: cross-site"],
    ["host: localhost", "sec-fetch-site: same-site"],
    ["host: localhost", "sec-fetch-site: none", "sec-fetch-site: cross-site"],
    ["host: localhost", "sec-fetch-site: cross-site", "sec-fetch-site: none"],
    ["host: localhost", "sec-fetch-site:"],
]


@pytest.mark.parametrize("kind", ["proxy", "proxy of a simulated upstream", "simulated upstream"])
def test_foreign_requests_are_rejected(kind: str) -> None:
    """
    Every server rejects a foreign host, a missing host, a foreign page, and two such headers: 403 in the API's error
    format.
    """
    with server(kind) as port:
        answers = [status_request(port, *lines) for lines in REJECTED]

    envelopes = [json.loads(got.body) for got in answers]
    said = [(got.status, one["error"]["type"]) for got, one in zip(answers, envelopes, strict=True)]
    assert dict(zip(map(str, REJECTED), said, strict=True)) == dict.fromkeys(
        map(str, REJECTED), (403, "permission_error")
    )
    assert [got.all(b"request-id") for got in answers] == [[one["request_id"].encode()] for one in envelopes]


@pytest.mark.parametrize(
    "lines",
    [
        ["host: localhost"],
        ["host: LOCALHOST:8787"],
        ["host: 127.0.0.1:1"],
        ["host: [::1]"],
        ["host: [::1]:8787"],
        ["host: localhost:"],
        ["host: 127.0.0.1", "origin: http://127.0.0.1:8787"],
        ["host: 127.0.0.1", "origin: http://localhost"],
        ["host: [::1]", "origin: http://[::1]:8787"],
        ["host: localhost", "sec-fetch-site: none"],
        ["host: localhost", "sec-fetch-site: same-origin"],
    ],
    ids=str,
)
def test_requests_of_this_machine_are_served(port: int, lines: list[str]) -> None:
    """
    The names of loopback are accepted in any case and with any port, in Host and in Origin.
    """
    assert status_request(port, *lines).status == 200


@pytest.mark.parametrize("path", ["/-/clock", "/-/reset", "/-/faults", "/-/script"])
@pytest.mark.parametrize("kind", ["proxy of a simulated upstream", "simulated upstream"])
def test_no_page_changes_the_simulated_upstream(kind: str, path: str) -> None:
    """
    Budgets follow the simulated clock, so a page of another site must not be able to move it, through the proxy or
    directly.
    """
    body = b'{"advance_s": 864000}'
    with server(kind) as port:
        foreign = exchange(port, request("POST", path, body, ("origin", "https://evil.example")))
        clock = json.loads(exchange(port, request("GET", "/-/clock", None)).body)

    assert (foreign.status, clock["turned_s"]) == (403, 0)


def test_a_name_of_the_proxy_reaches_its_simulated_upstream() -> None:
    """
    A name from `--allow-host` also works for the simulated upstream behind the proxy, because Origin headers are
    forwarded.
    """
    with running_proxy("simulated", allow_host=("proxy.test",)) as proxy, End.to(proxy.port) as client:
        lines = ["GET /v1/models HTTP/1.1", "host: proxy.test", "origin: http://proxy.test", "x-api-key: k"]
        client.send("\r\n".join([*lines, "anthropic-version: 2023-06-01", "", ""]).encode())
        assert client.message().status == 200


def test_there_is_no_server_without_a_policy() -> None:
    """
    uvicorn is configured in one place, and that place requires a policy.
    """
    package = Path(savemode_cli.__file__).parent
    called = [
        ast.unparse(node.func)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]

    assert called.count("uvicorn.Config") == 1
    assert {name for name in called if name.endswith(("uvicorn.run", "start_server", "create_server"))} == set()


hosts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=30)
own = st.sampled_from(["localhost", "127.0.0.1", "[::1]", "LocalHost"])


@given(own, hosts)
def test_only_a_port_may_follow_an_allowed_name(name: str, rest: str) -> None:
    """
    An allowed name is only accepted alone or with a port; any other text after it is rejected.
    """
    is_port = rest == "" or (
        rest[0] == ":" and len(rest) < 7 and (rest[1:].isdigit() or rest == ":") and rest.isascii()
    )
    headers = [(b"host", f"{name}{rest}".encode("latin-1"))]

    assert (AccessPolicy().rejection(headers) is None) == is_port


@pytest.mark.parametrize(("name", "status"), [("proxy.test", 200), ("PROXY.test:1", 200), ("other.test", 403)])
def test_allowed_host(wire: Wire, name: str, status: int) -> None:
    """
    `--allow-host` adds a name.
    """
    with running_proxy(wire.url, allow_host=("proxy.test",)) as proxy:
        assert status_request(proxy.port, f"host: {name}").status == status


@pytest.mark.parametrize(("name", "status"), [("10.0.0.1:1", 200), ("[fe80::1]", 200), ("evil.example", 403)])
def test_any_address_is_allowed_beyond_loopback(wire: Wire, name: str, status: int) -> None:
    """
    If other machines may connect, any IP address is accepted as the host; a foreign name is still rejected.
    """
    with running_proxy(wire.url, allow_remote=True, access_token=TOKEN) as proxy:
        assert status_request(proxy.port, f"host: {name}", f"x-savemode-token: {TOKEN}").status == status


@pytest.mark.parametrize("lines", [["host: evil.example"], ["host: localhost", "origin: null"]])
def test_a_rejected_request_is_not_forwarded_or_recorded(wire: Wire, wired: RunningProxy, lines: list[str]) -> None:
    """
    A rejected request does not reach the upstream and is not recorded.
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
    Only an address that no other machine can reach is loopback.
    """
    assert is_loopback(host) == ours


PREFLIGHT = ("access-control-request-method", "POST"), ("access-control-request-headers", "x-api-key")


def test_cors_preflight_is_rejected(wire: Wire, wired: RunningProxy) -> None:
    """
    The proxy does not permit cross-origin requests (CORS preflight), and the preflight does not reach the upstream.
    """
    got = exchange(wired.port, request("OPTIONS", "/v1/messages", None, ("origin", "https://evil.example"), *PREFLIGHT))

    assert got.status == 403
    assert not [name for name, _ in got.headers if name.startswith(b"access-control")]
    assert not wire.waiting()


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        ((), 401),
        (("",), 401),
        ((TOKEN[:-1],), 401),
        ((TOKEN + "0",), 401),
        ((TOKEN,), 200),
        (("x", TOKEN), 401),
        ((TOKEN, TOKEN), 401),
    ],
    ids=str,
)
def test_token(wire: Wire, shown: tuple[str, ...], status: int) -> None:
    """
    If a token is set, a request without it is rejected, also from this machine.
    """
    with running_proxy(wire.url, access_token=TOKEN) as proxy:
        got = status_request(proxy.port, "host: localhost", *(f"x-savemode-token: {one}" for one in shown))

    assert got.status == status
    if status == 401:
        assert json.loads(got.body)["error"]["type"] == "authentication_error"


def test_token_is_not_forwarded(upstream: Upstream) -> None:
    """
    The token is not forwarded to the upstream, whether or not the proxy requires one.
    """
    with running_proxy(upstream.url, access_token=TOKEN) as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", b"{}", ("x-savemode-token", TOKEN)))
    with running_proxy(upstream.url) as proxy:
        exchange(proxy.port, request("POST", "/v1/messages", b"{}", ("x-savemode-token", TOKEN)))

    assert [received.all("x-savemode-token") for received in upstream.received] == [[], []]


def test_the_token_is_checked_before_a_body_is_read(wire: Wire) -> None:
    """
    The answer comes before the client has sent any byte of the body.
    """
    with running_proxy(wire.url, allow_remote=True, access_token=TOKEN) as proxy, End.to(proxy.port) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: 10.0.0.1\r\ncontent-length: 1000000000\r\n\r\n")
        assert client.message().status == 401

    assert not wire.waiting()
    assert proxy.exchanges == []


@pytest.mark.parametrize("size", [100, 20_000_000])
@pytest.mark.parametrize("framing", ["content-length: {}", "transfer-encoding: chunked"])
def test_the_sender_of_a_large_body_gets_the_answer(wire: Wire, framing: str, size: int) -> None:
    """
    A client that sends its whole body before it reads gets the answer, and not a connection reset.
    """
    body = b"x" * size
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if "chunked" in framing else body
    with running_proxy(wire.url, access_token=TOKEN) as proxy, End.to(proxy.port) as client:
        head = ["POST /v1/messages HTTP/1.1", "host: localhost", framing.format(size), "", ""]
        client.send("\r\n".join(head).encode())
        client.send(whole)
        assert client.message().status == 401
        assert client.socket.recv(1) == b""


def test_a_rejection_answers_expect_100_continue(wire: Wire) -> None:
    """
    `Expect: 100-continue` is answered with the rejection itself.
    """
    with running_proxy(wire.url, access_token=TOKEN) as proxy, End.to(proxy.port) as client:
        lines = ["POST /v1/messages HTTP/1.1", "host: localhost", "content-length: 9", "expect: 100-continue", "", ""]
        client.send("\r\n".join(lines).encode())
        assert client.message().status == 401
        assert client.socket.recv(1) == b""


ALICE = "smt_alices-token-of-43-characters"
PEOPLE = AccessTokens({"alice": digest_of(ALICE)})


@pytest.mark.parametrize(
    ("shown", "loopback", "remote", "with_common"),
    [
        ([], True, False, False),
        ([ALICE], True, True, True),
        ([TOKEN], False, False, True),
        (["made-up"], False, False, False),
        ([""], False, False, False),
        ([ALICE, ALICE], False, False, False),
        ([TOKEN, ALICE], False, False, False),
    ],
)
def test_personal_tokens(shown: list[str], loopback: bool, remote: bool, with_common: bool) -> None:
    """
    With personal tokens, other machines must send a token; on loopback it is optional; a wrong token is always rejected.
    """
    policies = (
        AccessPolicy(tokens=PEOPLE),
        AccessPolicy(any_address=True, tokens=PEOPLE),
        AccessPolicy(token=TOKEN, tokens=PEOPLE),
    )
    headers = [(b"host", b"localhost"), *((b"x-savemode-token", token.encode()) for token in shown)]
    rejections = [policy.rejection(headers) for policy in policies]

    assert [one is None for one in rejections] == [loopback, remote, with_common]
    assert all(one is None or one.status == 401 for one in rejections)
