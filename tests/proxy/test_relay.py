"""
What happens to a request between the client and the upstream: what is forwarded, what is edited, what is remembered, what
goes wrong.

Both sides are real sockets, so each test checks the bytes that were sent.
"""

import gzip
import json
import re
import socket
import zlib
from datetime import UTC, datetime, timedelta

import brotli
import pytest
import zstandard

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.wire.answer import Outcome
from savemode_cli.core.wire.messages import EXTENDED_TTL_BETA
from savemode_cli.proxy.relay import request_id
from tests.support.upgradable import HOUR, OPEN, ask, marked
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.wire import CHUNKED, LAST_CHUNK, OK, CutShort, End, Wire, Wired, chunk, exchange, request


def through(wire: Wire, proxy: RunningProxy, data: bytes) -> Wired:
    """
    The request as it reached the upstream, which answers 200.
    """
    with End.to(proxy.port) as client:
        client.send(data)
        upstream = wire.accept()
        arrived = upstream.message()
        upstream.send(OK)
        client.head()
    return arrived


def back(wire: Wire, proxy: RunningProxy, answered: bytes, method: str = "POST") -> Wired:
    """
    The answer as it reached the client.
    """
    with End.to(proxy.port) as client:
        client.send(request(method, "/v1/messages", b"{}" if method == "POST" else None))
        upstream = wire.accept()
        upstream.message()
        upstream.send(answered)
        upstream.close()
        return client.message(bodiless=method == "HEAD")


# What the client sends.


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"])
def test_method_passes(wire: Wire, wired: RunningProxy, method: str) -> None:
    """
    Any method reaches the upstream.
    """
    assert through(wire, wired, request(method, "/v1/x")).first == f"{method} /v1/x HTTP/1.1".encode()


@pytest.mark.parametrize(
    "target",
    [
        "/v1/messages?beta=true",
        "/",
        "//v1//models",
        "/v1/../x/./y/..",
        "/a;p=1/b|c",
        "/a%2Fb%2f%20c%zz%",
        "/v1/m%65ssages",
        "/x?q=a+b%20c&&=|{}\"'&q=a?b/../",
        "/user:pass@host:1/",
    ],
)
def test_path_and_query_pass(wire: Wire, wired: RunningProxy, target: str) -> None:
    """
    Byte for byte, however oddly spelled.
    """
    assert through(wire, wired, request("GET", target)).first == f"GET {target} HTTP/1.1".encode()


def test_path_of_the_upstream_comes_first(wire: Wire) -> None:
    """
    An upstream below a path is asked below that path.
    """
    with running_proxy(f"{wire.url}/base") as proxy:
        assert through(wire, proxy, request("GET", "/v1/x?y")).first == b"GET /base/v1/x?y HTTP/1.1"


@pytest.mark.parametrize("target", ["*", "*@{elsewhere}/v1/messages", "*:80"])
def test_target_without_a_path_is_refused(wire: Wire, wired: RunningProxy, target: str) -> None:
    """
    What does not begin with a slash could name another host behind the upstream's; nothing is sent anywhere.
    """
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0)
        place = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        got = exchange(wired.port, request("OPTIONS", target.format(elsewhere=place)))

        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert not wire.waiting()
    assert (got.status, json.loads(got.body)["error"]["type"]) == (400, "invalid_request_error")


def test_headers_pass_in_order(wire: Wire, wired: RunningProxy) -> None:
    """
    Known, unknown, repeated, empty and UTF-8 headers keep their order and values, and none is added.
    """
    headers = [
        ("x-api-key", "sk-ant-api-1"),
        ("anthropic-beta", "a-1,b-2"),
        ("x-app", "cli"),
        ("anthropic-beta", "c-3"),
        ("authorization", "Bearer sk-ant-oat-1"),
        ("x-empty", ""),
        ("x-tab", "a\tb"),
        ("x-utf8", "caf\u00c3\u00a9"),  # the bytes C3 A9
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-stainless-retry-count", "1"),
        ("range", "bytes=0-1"),
    ]
    arrived = through(wire, wired, request("GET", "/v1/models", None, *headers))

    assert arrived.headers[1:] == [(name.encode(), value.encode("latin-1")) for name, value in headers]
    assert arrived.headers[0] == (b"Host", f"127.0.0.1:{wire.port}".encode())


def test_latin1_value_passes(wire: Wire, wired: RunningProxy) -> None:
    """
    A byte that is not UTF-8 arrives as that byte.
    """
    assert through(wire, wired, request("GET", "/x", None, ("x-name", "caf\u00e9"))).all(b"x-name") == [b"caf\xe9"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
def test_no_header_is_added(wire: Wire, wired: RunningProxy, path: str) -> None:
    """
    A request without headers stays without them: no accept, accept-encoding, content-type or user-agent is added.
    """
    assert through(wire, wired, request("POST", path, b"{}")).names == [b"host", b"content-length"]


def test_hop_by_hop_headers_stay(wire: Wire, wired: RunningProxy) -> None:
    """
    Headers about the client's connection, by name or listed in `Connection`, are not forwarded.
    """
    headers = [
        ("connection", "keep-alive, X-Listed"),
        ("x-listed", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("upgrade", "h3"),
        ("x-kept", "1"),
    ]

    assert through(wire, wired, request("GET", "/x", None, *headers)).names == [b"host", b"x-kept"]


def test_repeated_connection_header_is_read_whole(wire: Wire, wired: RunningProxy) -> None:
    """
    A second `Connection` lists headers as the first does (RFC 9110, 5.3: the same as one joined by commas).
    """
    headers = [("connection", "keep-alive"), ("connection", "x-listed"), ("x-listed", "1"), ("x-kept", "1")]

    assert through(wire, wired, request("GET", "/x", None, *headers)).names == [b"host", b"x-kept"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
@pytest.mark.parametrize("body", [b"", b"{", bytes(range(256)) * 300, gzip.compress(marked(), mtime=0)], ids=len)
def test_body_passes(wire: Wire, wired: RunningProxy, path: str, body: bytes) -> None:
    """
    Byte for byte, JSON or not, with its length.
    """
    arrived = through(wire, wired, request("POST", path, body))

    assert arrived.body == body
    assert arrived.all(b"content-length") == [str(len(body)).encode()]


def test_encoded_body_is_not_judged(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    A compressed request is forwarded unchanged, with any gate, and the record says why.
    """
    body = gzip.compress(marked())
    ask(proxy, body, *OPEN, ("content-encoding", "gzip"))

    assert upstream.received[0].body == body
    assert [skip.code for skip in proxy.exchange().upgrade.skips] == ["encoded"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
def test_chunked_upload_passes(upstream: Upstream, proxy: RunningProxy, path: str) -> None:
    """
    The bytes of a chunked body arrive, however they were cut.
    """
    body = marked()
    pieces = b"".join(chunk(body[at : at + 7]) for at in range(0, len(body), 7))
    exchange(proxy.port, request("POST", path, None, ("transfer-encoding", "chunked")) + pieces + LAST_CHUNK)

    assert upstream.received[0].body == body


# What the upstream answers.


@pytest.mark.parametrize(
    "line", ["200 OK", "201 Created", "307 Temporary Redirect", "401 No", "418 I'm a teapot", "529 ", "599"]
)
def test_status_passes(wire: Wire, wired: RunningProxy, line: str) -> None:
    """
    Any status, with or without a reason.
    """
    assert back(wire, wired, f"HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n".encode()).status == int(line[:3])


def test_answer_headers_pass_in_order(wire: Wire, wired: RunningProxy) -> None:
    """
    All of them, including repeated ones, and none is added: no `date`, no `server`.
    """
    headers = [
        (b"request-id", b"req_up"),
        (b"set-cookie", b"a=1; Path=/"),
        (b"retry-after", b"17"),
        (b"x-should-retry", b"false"),
        (b"anthropic-ratelimit-tokens-remaining", b"12"),
        (b"set-cookie", b"b=2"),
        (b"anthropic-organization-id", b"org"),
        (b"x-unknown", b"caf\xe9"),
        (b"content-type", b"application/json"),
        (b"content-length", b"2"),
    ]
    head = b"".join(b"%b: %b\r\n" % header for header in headers)

    assert back(wire, wired, b"HTTP/1.1 429 Slow\r\n" + head + b"\r\n{}").headers == headers


def test_date_and_server_are_the_upstreams(wire: Wire, wired: RunningProxy) -> None:
    """
    If the upstream sends them, the client gets them once.
    """
    got = back(wire, wired, b"HTTP/1.1 200 OK\r\ndate: then\r\nserver: cloudflare\r\ncontent-length: 0\r\n\r\n")

    assert (got.all(b"date"), got.all(b"server")) == ([b"then"], [b"cloudflare"])


def test_hop_by_hop_headers_of_the_answer_stay(wire: Wire, wired: RunningProxy) -> None:
    """
    What is about our connection with the upstream is not about the client's with us.
    """
    head = (
        b"connection: close, x-listed\r\nkeep-alive: timeout=5\r\nx-listed: 1\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n"
    )

    assert back(wire, wired, b"HTTP/1.1 200 OK\r\n" + head).names == [b"x-kept", b"content-length"]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b'{"type":"message"}', mtime=0)),
        ("deflate", zlib.compress(b'{"type":"message"}')),
        ("br", brotli.compress(b'{"type":"message"}')),
        ("zstd", zstandard.compress(b'{"type":"message"}')),
        ("unheard-of", b"\x00\xff"),
    ],
)
def test_compressed_answer_passes(wire: Wire, wired: RunningProxy, coding: str, body: bytes) -> None:
    """
    The compressed bytes, with their coding and their length.
    """
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    got = back(wire, wired, head + body)

    assert (got.body, got.all(b"content-encoding"), got.all(b"content-length")) == (
        body,
        [coding.encode()],
        [str(len(body)).encode()],
    )


def test_answer_to_head_has_a_length_and_no_body(wire: Wire, wired: RunningProxy) -> None:
    """
    The length is that of a GET's body; none follows, and the connection can be used on.
    """
    with End.to(wired.port) as client:
        client.send(request("HEAD", "/v1/models"))
        upstream = wire.accept()
        upstream.message()
        upstream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n")
        first = client.message(bodiless=True)
        client.send(request("GET", "/v1/models"))
        upstream.message()
        upstream.send(OK)

        assert first.all(b"content-length") == [b"1234"]
        assert client.message().body == b"{}"


@pytest.mark.parametrize(
    "head",
    [
        b"204 No Content\r\n",
        b"204 No Content\r\ncontent-length: 5\r\n",
        b"304 Not Modified\r\netag: x\r\n",
        b"304 Not Modified\r\ncontent-length: 99\r\n",
    ],
)
def test_answer_without_a_body(wire: Wire, wired: RunningProxy, head: bytes) -> None:
    """
    204 and 304 have none, whatever length they name (RFC 9110, 6.4.1), and the connection can be used on.
    """
    with End.to(wired.port) as client:
        client.send(request("GET", "/v1/models"))
        upstream = wire.accept()
        upstream.message()
        upstream.send(b"HTTP/1.1 " + head + b"\r\n")
        first = client.message()
        client.send(request("GET", "/v1/models"))
        upstream.message()
        upstream.send(OK)

        assert first.status == int(head[:3])
        assert first.all(b"transfer-encoding") == []
        assert client.message().body == b"{}"


def test_chunked_answer_passes(wire: Wire, wired: RunningProxy) -> None:
    """
    The bytes of a chunked answer, and its clean end.
    """
    assert back(wire, wired, CHUNKED + chunk(b"ab") + chunk(b"c") + LAST_CHUNK).body == b"abc"


def test_close_delimited_answer_passes(wire: Wire, wired: RunningProxy) -> None:
    """
    An answer that only the connection's end delimits arrives whole.
    """
    assert back(wire, wired, b"HTTP/1.1 200 OK\r\n\r\nabc").body == b"abc"


@pytest.mark.parametrize("status", [b"400", b"413", b"429", b"500", b"529"])
def test_error_body_passes(wire: Wire, wired: RunningProxy, status: bytes) -> None:
    """
    Clients match the wording of errors, so an error body is unchanged, JSON or not.
    """
    body = b'{ "type":"error", "error":{"message":"caf\\u00e9 cache_control ttl"} }\xff<html>'
    got = back(wire, wired, b"HTTP/1.1 %b x\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))

    assert got.body == body
    assert wired.exchange().answer.outcome == "upstream_error"


# The upgrade.


def test_open_gate_splices(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Each bare breakpoint gets its TTL; every other byte stays.
    """
    ask(proxy, marked(), *OPEN)

    assert upstream.received[0].body == marked(HOUR)
    assert upstream.received[0].all("content-length") == [str(len(marked(HOUR)))]
    assert proxy.exchange().upgrade.upgraded == 2


@pytest.mark.parametrize("flag", ["false", "1", "yes", None])
def test_closed_gate_passes(upstream: Upstream, proxy: RunningProxy, flag: str | None) -> None:
    """
    Without the flag with exactly the value `true`, the body and the beta header are unchanged.
    """
    ask(proxy, marked(), *([] if flag is None else [(OPEN[0][0], flag)]))

    assert upstream.received[0].body == marked()
    assert upstream.received[0].all("anthropic-beta") == []
    assert (proxy.exchange().upgrade.gate.on, proxy.exchange().upgrade.edits) == (False, ())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [EXTENDED_TTL_BETA]),
        (["a-1"], [f"a-1,{EXTENDED_TTL_BETA}"]),
        (["a-1, b-2", "c-3"], ["a-1, b-2", f"c-3,{EXTENDED_TTL_BETA}"]),
        ([f"a-1, {EXTENDED_TTL_BETA}"], [f"a-1, {EXTENDED_TTL_BETA}"]),
        ([EXTENDED_TTL_BETA, "a-1"], [EXTENDED_TTL_BETA, "a-1"]),
    ],
)
def test_beta_is_named_once(upstream: Upstream, proxy: RunningProxy, before: list[str], after: list[str]) -> None:
    """
    An upgraded body has the beta, appended to the last such header unless the client named it.
    """
    ask(proxy, marked(), *OPEN, *(("anthropic-beta", value) for value in before), ("x-after", "1"))

    assert upstream.received[0].all("anthropic-beta") == after


@pytest.mark.parametrize("before", [[], ["a-1"]])
def test_no_beta_header(upstream: Upstream, before: list[str]) -> None:
    """
    `--no-beta-header` leaves the header alone and still upgrades.
    """
    with running_proxy(upstream.url, ttl_policy="always", beta_header=False) as proxy:
        ask(proxy, marked(), *OPEN, *(("anthropic-beta", value) for value in before))

    assert upstream.received[0].all("anthropic-beta") == before
    assert upstream.received[0].body == marked(HOUR)


def test_nothing_to_upgrade_adds_no_beta(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    If the body is unchanged, its headers are too.
    """
    ask(proxy, marked(HOUR), *OPEN)

    assert upstream.received[0].body == marked(HOUR)
    assert upstream.received[0].all("anthropic-beta") == []


@pytest.mark.parametrize("headers", [OPEN, ()], ids=["open", "closed"])
def test_observe(upstream: Upstream, headers: tuple[tuple[str, str], ...]) -> None:
    """
    Observing sends the original and its headers, and records what would be edited, gate open or not.
    """
    with running_proxy(upstream.url, ttl_policy="always", observe=True) as proxy:
        ask(proxy, marked(), *headers)
        done = proxy.exchange()

    assert upstream.received[0].body == marked()
    assert upstream.received[0].all("anthropic-beta") == []
    assert (len(done.upgrade.edits), done.upgrade.observed, done.upgrade.upgraded) == (2, True, 0)


@pytest.mark.parametrize(("debug", "second"), [(True, marked(HOUR)), (False, marked())], ids=["debug", "no-debug"])
def test_environment_is_read_at_each_request(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, debug: bool, second: bytes
) -> None:
    """
    `COST_CONTROLS_ENABLED` counts from the next request on, in debug only.
    """
    with running_proxy(upstream.url, ttl_policy="always", debug=debug) as proxy:
        ask(proxy, marked(), ("x-claude-code-session-id", "one"))
        monkeypatch.setenv("COST_CONTROLS_ENABLED", " True ")
        ask(proxy, marked(), ("x-claude-code-session-id", "two"))

    assert [received.body for received in upstream.received] == [marked(), second]


@pytest.mark.parametrize(
    ("path", "product", "body"),
    [
        ("/v1/messages", "llm_gateway", marked()),
        ("/posthog_code/v1/messages", "posthog_code", marked(HOUR)),
        ("/array/v1/messages", "posthog_code", marked(HOUR)),
        ("/slack_app/v1/messages", "slack_app", marked(HOUR)),
        ("/wizard/v1/messages", "wizard", marked()),
    ],
)
def test_product_path(upstream: Upstream, path: str, product: str, body: bytes) -> None:
    """
    The product in the path counts and is not forwarded; another name of it is the same product.
    """
    with running_proxy(upstream.url) as proxy:
        ask(proxy, marked(), *OPEN, target=f"{path}?beta=true")
        assert proxy.exchange().call.product == product

    assert (upstream.received[0].target, upstream.received[0].body) == ("/v1/messages?beta=true", body)


def test_ids_sort_by_time() -> None:
    """
    A later request has a greater id, though it may only be a millisecond later; two of one moment differ.
    """
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    moments = [noon + timedelta(milliseconds=number) for number in (0, 0, 1, 2, 10**9, 10**12)]
    ids = [request_id(moment) for moment in moments]

    assert sorted(ids[1:]) == ids[1:]
    assert ids[0] != ids[1]
    assert {re.fullmatch(r"req_sm_[0-9a-f]{20}", one) is not None for one in ids} == {True}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/nosuch/v1/messages", []),
        ("/v1/messages", [("x-posthog-provider", "openai")]),
        ("/v1/messages", [("x-posthog-use-bedrock-fallback", "perhaps")]),
        ("/v1/messages", [("x-posthog-properties", "[]")]),
    ],
)
def test_bad_value_is_refused(
    upstream: Upstream, proxy: RunningProxy, path: str, headers: list[tuple[str, str]]
) -> None:
    """
    An invalid value of one of savemode's headers is answered with 400 in the API's error format; nothing is forwarded.
    """
    got = ask(proxy, marked(), *headers, target=path)
    envelope = json.loads(got.body)

    assert (got.status, envelope["type"], envelope["error"]["type"]) == (400, "error", "invalid_request_error")
    assert got.all(b"request-id") == [envelope["request_id"].encode()]
    assert upstream.received == []
    assert (proxy.exchange().answer.outcome, proxy.exchange().id) == ("refused", envelope["request_id"])


def test_unknown_product_names_the_known(proxy: RunningProxy) -> None:
    """
    The refusal says which products there are.
    """
    message = json.loads(ask(proxy, b"{}", target="/nosuch/v1/messages").body)["error"]["message"]

    assert "nosuch" in message
    assert "posthog_code" in message


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/messages/count_tokens", "count-tokens"),
        ("/v1/messages/batches", "batches"),
        ("/posthog_code/v1/messages/count_tokens", "count-tokens"),
    ],
)
def test_other_bodies_are_left_alone(upstream: Upstream, proxy: RunningProxy, path: str, code: str) -> None:
    """
    count_tokens and batches pass untouched and say why.
    """
    ask(proxy, marked(), *OPEN, target=path)

    assert upstream.received[0].body == marked()
    assert upstream.received[0].all("anthropic-beta") == []
    assert [skip.code for skip in proxy.exchange().upgrade.skips] == [code]


OURS = [*OPEN, ("X-PostHog-Property-Mode", "max"), ("x-posthog-provider", "Anthropic")]


@pytest.mark.parametrize("forward", [False, True])
def test_posthog_headers(upstream: Upstream, forward: bool) -> None:
    """
    They are not forwarded, unless the upstream is configured as a gateway.
    """
    with running_proxy(upstream.url, forward_posthog_headers=forward) as proxy:
        ask(proxy, marked(), *OURS, ("x-posthogish", "1"))
    kept = [name for name, _ in upstream.received[0].headers if name.startswith("x-posthog-")]

    assert kept == ([name.lower() for name, _ in OURS] if forward else [])
    assert upstream.received[0].all("x-posthogish") == ["1"]


# What goes wrong.

SECRET_TARGET = "/v1/messages?key=sk-ant-api-secret"
SECRET_HEADER = ("x-api-key", "sk-ant-api-secret")


def check_envelope(
    got: Wired, proxy: RunningProxy, status: int, api_type: str, outcome: Outcome = "unreachable"
) -> None:
    """
    An answer of the proxy: the API's error format, the ID in body, header and record, and no secret.
    """
    envelope = json.loads(got.body)
    done = proxy.exchange()

    assert (got.status, envelope["error"]["type"], done.answer.outcome) == (status, api_type, outcome)
    assert got.all(b"request-id") == [envelope["request_id"].encode()] == [done.id.encode()]
    assert b"secret" not in got.body
    assert "secret" not in done.answer.error
    assert done.answer.status == status


def test_refused_connection_is_502(wire: Wire, wired: RunningProxy) -> None:
    """
    The port is closed.
    """
    wire.close()

    check_envelope(ask(wired, marked(), SECRET_HEADER, target=SECRET_TARGET), wired, 502, "api_error")


@pytest.mark.parametrize(
    "answered",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 600 Beyond\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_no_answer_is_502(wire: Wire, wired: RunningProxy, answered: bytes) -> None:
    """
    The upstream closes without an answer, with something else than HTTP, or in the middle of the head.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", SECRET_TARGET, marked(), SECRET_HEADER))
        upstream = wire.accept()
        upstream.message()
        upstream.send(answered)
        upstream.close()
        got = client.message()

    check_envelope(got, wired, 502, "api_error")
    assert not wire.waiting()


def test_silence_is_504(wire: Wire) -> None:
    """
    The upstream accepts the connection and sends nothing.
    """
    with running_proxy(wire.url, read_timeout_s=0.2) as proxy, End.to(proxy.port) as client:
        client.send(request("POST", SECRET_TARGET, marked(), SECRET_HEADER))
        upstream = wire.accept()
        upstream.message()

        check_envelope(client.message(), proxy, 504, "timeout_error")
        assert upstream.rest() == b""


def test_refusal_that_breaks_off_is_502(wire: Wire, wired: RunningProxy) -> None:
    """
    A 400 that ends before it can be judged is not an answer, and is free like any error of the upstream.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", marked(), *OPEN))
        upstream = wire.accept()
        upstream.message()
        upstream.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\n{")
        upstream.close()

        check_envelope(client.message(), wired, 502, "api_error", "upstream_error")
    assert wired.exchange().bill.settlement == Settlement(0, "none")


@pytest.mark.parametrize(
    "answered",
    [
        CHUNKED + chunk(b"data: 1\n\n"),
        CHUNKED + chunk(b"data: 1\n\n") + b"5\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ndata: 1\n\n",
    ],
    ids=["chunked", "in-chunk", "length"],
)
def test_broken_answer_is_cut_short(wire: Wire, wired: RunningProxy, answered: bytes) -> None:
    """
    The client can see that the answer is incomplete: it gets what came, without a normal end.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", b'{"stream":true}'))
        upstream = wire.accept()
        upstream.message()
        head, _, body = answered.partition(b"\r\n\r\n")
        upstream.send(head + b"\r\n\r\n")
        client.head()
        upstream.send(body)
        upstream.close()
        rest = client.rest()

    assert b"data: 1\n\n" in rest
    assert not rest.endswith(LAST_CHUNK)
    assert (wired.exchange().answer.outcome, wired.exchange().answer.status) == ("broken", 200)
    assert wired.exchange().answer.error


def test_garbage_in_mid_answer_is_cut_short(wire: Wire, wired: RunningProxy) -> None:
    """
    The same if the next bytes are not a chunk.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", b'{"stream":true}'))
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED)
        client.head()
        upstream.send(b"no chunk\r\n")
        client.socket.settimeout(1)
        with pytest.raises(CutShort):
            client.message()


def test_silence_in_mid_answer_is_cut_short(wire: Wire) -> None:
    """
    The same if the upstream stops sending.
    """
    with running_proxy(wire.url, read_timeout_s=0.2) as proxy, End.to(proxy.port) as client:
        client.send(request("POST", "/v1/messages", b'{"stream":true}'))
        upstream = wire.accept()
        upstream.message()
        upstream.send(CHUNKED + chunk(b"data: 1\n\n"))
        with pytest.raises(CutShort):
            client.message()

        assert proxy.exchange().answer.outcome == "broken"
