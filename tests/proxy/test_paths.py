"""
Paths over real sockets: no spelling of a path may avoid a cap.
"""

import json
from datetime import UTC, datetime

import pytest

from savemode_cli.core.budget.budget import Budget
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.wire import OK, End, Wire, exchange, request

CALL = json.dumps({"model": "claude-opus-5-5", "max_tokens": 9, "messages": []}).encode()

ODD = [
    "/v1/messages/",
    "//v1/messages",
    "/v1//messages",
    "/v1/./messages",
    "/v1/messages/.",
    "/x/../v1/messages",
    "/../v1/messages",
    "/v1/models/../messages",
    "/v1/%6dessages",
    "/v1/%256dessages",
    "/v1%2Fmessages",
    "/v1/%2e/messages",
    "/v1/x/%2E%2E/messages",
    "/v1/messages%20",
    "/v1/messages%00",
    "/v1/messages;a=b",
    "/v1;a/messages",
    "/v1/messages%3Fbeta=true",
    "/v1/messages%23",
    "/v1\\messages",
    "/V1/Messages",
    "/wizard//v1/messages",
    "/wizard/v1/messages/",
    "/wizard/../v1/messages",
    "//wizard/v1/messages",
    "/%77izard/v1/messages",
    "/some/where/v1/messages",
    "/unknown/v1/messages",
    "http://127.0.0.1//v1/messages",
    "http://127.0.0.1/v1/messages/",
    "/v1/messages/?beta=true",
    "/v1/messages/batches/",
    "/v1/messages//batches",
    "/v1/messages/./batches",
    "/v1/messages/x/../batches",
    "/v1/messages/%62atches",
    "/wizard/v1/messages/batches/",
    "/unknown/v1/messages/batches",
]


@pytest.mark.parametrize("target", ODD)
def test_odd_spelling_is_not_forwarded(wire: Wire, wired: RunningProxy, target: str) -> None:
    """
    A path that the upstream may treat as a model call must have its normal spelling; otherwise it is refused, with the
    correct spelling.
    """
    answer = exchange(wired.port, request("POST", target, CALL))

    assert answer.status == 400
    error = json.loads(answer.body)
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert "/v1/messages" in error["error"]["message"] or "known products" in error["error"]["message"]
    assert error["request_id"] == answer.all(b"request-id")[0].decode()
    assert not wire.waiting()
    assert wired.exchange().answer.outcome == "refused"


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/v1/messages", "/v1/messages"),
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/wizard/v1/messages", "/v1/messages"),
        ("http://127.0.0.1/v1/messages", "/v1/messages"),
        ("http://elsewhere.example/v1/messages", "/v1/messages"),
        ("http://127.0.0.1/wizard/v1/messages?x", "/v1/messages?x"),
    ],
)
def test_true_spelling_is_capped(wire: Wire, target: str, forwarded: str) -> None:
    """
    An absolute URL is the same call: it is reserved, counted and refused at the cap.
    """
    with running_proxy(wire.url, budget_nusd=1) as proxy, End.to(proxy.port) as client:
        client.send(request("POST", target, CALL))
        upstream = wire.accept()
        assert upstream.message().first == f"POST {forwarded} HTTP/1.1".encode()
        assert proxy.ledger.holds(datetime.now(UTC))
        upstream.send(OK)
        client.message()

        assert exchange(proxy.port, request("POST", target, CALL)).status == 429
        wire.close()


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/messages/"),
        ("GET", "//v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches/b_1/cancel"),
        ("POST", "/v1/files/"),
        ("POST", "/v1//files/a%20b;c"),
        ("POST", "/v1/messages/count_tokens/"),
        ("POST", "/v1/messages_of_mine"),
        ("POST", "/x/v1/messages/../models"),
    ],
)
def test_other_paths_stay_as_they_came(wire: Wire, wired: RunningProxy, method: str, target: str) -> None:
    """
    Every other path is forwarded byte for byte.
    """
    with End.to(wired.port) as client:
        client.send(request(method, target, CALL if method == "POST" else None))
        upstream = wire.accept()
        assert upstream.message().first == f"{method} {target} HTTP/1.1".encode()
        upstream.send(OK)
        assert client.message().status == 200


def test_path_of_the_upstream_is_part_of_it(wire: Wire) -> None:
    """
    A path is judged as the upstream sees it, including the upstream's own path.
    """
    with running_proxy(f"{wire.url}/v1") as proxy:
        assert exchange(proxy.port, request("POST", "/x/../messages", CALL)).status == 400
        assert not wire.waiting()
        wire.close()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/messages?beta=true", "has no /v1"),
        ("/wizard/messages", "has no /v1"),
        ("/v1/v1/messages", "ends in /v1"),
        ("/wizard/v1/v1/messages", "ends in /v1"),
    ],
)
def test_base_url_with_too_little_or_too_much(upstream: Upstream, target: str, said: str) -> None:
    """
    The call is served, capped and counted like any other, and one announcement says what to correct.
    """
    with running_proxy(upstream.url, budget_nusd=1) as proxy:
        assert exchange(proxy.port, request("POST", target, CALL)).status == 200
        assert exchange(proxy.port, request("POST", target, CALL)).status == 429
        announced = [text for event, text in proxy.announced if event == "base_url"]

    assert [one.target for one in upstream.received] == ["/v1/messages" + target[target.find("?") :] * ("?" in target)]
    assert len(announced) == 1
    assert said in announced[0]


def test_unknown_prefix_is_answered_with_the_spelling_to_use(wire: Wire, wired: RunningProxy) -> None:
    """
    A base URL with the path of a gateway, for clients that add /v1/messages and for those that add /messages.
    """
    for target in ("/anthropic/v1/messages", "/anthropic/messages", "/api/anthropic/messages", "/v1/messages/messages"):
        answer = exchange(wired.port, request("POST", target, CALL))
        assert answer.status == 400
        assert b"base URL" in answer.body
    assert not wire.waiting()


def test_refused_spelling_is_not_collected(wire: Wire, wired: RunningProxy) -> None:
    """
    The refusal comes before the body of such a request was sent.
    """
    with End.to(wired.port) as client:
        client.send(request("POST", "//v1/messages", None, ("content-length", "1000000")) + b"x" * 1000)

        assert client.message().status == 400


def test_spent_cap_holds_whatever_the_spelling(upstream: Upstream) -> None:
    """
    When everything is spent, no spelling of a model call or a batch reaches the upstream.
    """
    with running_proxy(upstream.url, budget_nusd=1) as proxy:
        proxy.ledger.set_budget(Budget("default", 1))
        exchange(proxy.port, request("POST", "/v1/messages", CALL))
        sent = len(upstream.received)
        for target in ["/v1/messages", "/v1/messages/batches", *ODD]:
            assert exchange(proxy.port, request("POST", target, CALL)).status in (400, 429)

        assert len(upstream.received) == sent == 1
