"""
Faults of our own over real sockets: the client gets an answer it can read, the person at the terminal a line, and
nobody the words of the exception, which may quote a request.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.budget import Budget
from savemode_cli.proxy import relay as relay_module
from savemode_cli.proxy.accounts import Accounts
from savemode_cli.proxy.billing import Billing
from savemode_cli.proxy.journal import Journal
from tests.proxy.wire import OK, CutShort, End, Wire, exchange, request
from tests.upstream import RunningProxy, running_proxy

CALL = json.dumps({"model": "claude-opus-5-5", "max_tokens": 9, "messages": []}).encode()
SECRET = "the words of a prompt"
POST = Accounts.post


def fails(*_: Any, **__: Any) -> Any:
    """
    What a fault does.
    """
    raise ValueError(SECRET)


def health(proxy: RunningProxy) -> dict[str, Any]:
    """
    What `/-/health` says.
    """
    read: dict[str, Any] = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)
    return read


def test_fault_is_answered_in_the_envelope(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    Before anything was sent: 500 as the API would say it, with our request id and the budgets, and nothing about
    retrying, for nobody knows whether that helps.
    """
    monkeypatch.setattr(relay_module, "facts", fails)
    with running_proxy(wire.url, budget_nusd=10**10) as proxy:
        answer = exchange(proxy.port, request("POST", "/v1/messages", CALL))
        recorded = proxy.exchange()
        announced = proxy.announced
        assert not wire.waiting()
        wire.close()

    error = json.loads(answer.body)
    assert (answer.status, error["type"], error["error"]["type"]) == (500, "error", "api_error")
    assert error["request_id"] == answer.all(b"request-id")[0].decode() == recorded.id
    assert "an error in savemode: ValueError at relay.py:" in error["error"]["message"]
    assert answer.all(b"x-should-retry") == []
    assert answer.all(b"x-posthog-budget") == [b"ok"]
    assert (recorded.outcome, recorded.status, recorded.cost_nusd) == ("broken", 500, None)
    ((event, words),) = announced
    assert event == "internal_error"
    assert recorded.id in words
    said = capfd.readouterr()
    assert not any(SECRET in text for text in (words, said.err, said.out, answer.body.decode(), recorded.error))
    assert "Traceback" not in said.err


def test_fault_in_mid_answer_cuts_it(
    wire: Wire, wired: RunningProxy, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    Once the head is out, the connection ends before the body does, and the line at the terminal is all there is.
    """
    monkeypatch.setattr(relay_module.UsageMeter, "feed", fails)
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", CALL))
        upstream = wire.accept()
        upstream.message()
        upstream.send(OK)
        with pytest.raises(CutShort):
            client.message()

    assert (wired.exchange().outcome, wired.exchange().error) == ("broken", "an error in savemode")
    assert [event for event, _ in wired.announced] == ["internal_error"]
    assert capfd.readouterr().err == ""


def fails_with_bills(accounts: Accounts, dues: Any, asks: Any) -> Any:
    """
    A fault in the books that only bills meet.
    """
    return fails() if dues else POST(accounts, dues, asks)


@pytest.mark.parametrize(
    ("where", "name", "fault", "recorded"),
    [(Billing, "bill", fails, 0), (Accounts, "post", fails_with_bills, 1), (Journal, "record", fails, 0)],
)
def test_fault_after_the_answer_is_a_line(
    wire: Wire,
    wired: RunningProxy,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    where: Any,
    name: str,
    fault: Any,
    recorded: int,
) -> None:
    """
    Where the books cannot be closed the client has its answer all the same, and the next request is served.
    """
    with monkeypatch.context() as patched:
        patched.setattr(where, name, fault)
        with End.to(wired.port) as client:
            client.send(request("POST", "/v1/messages", CALL))
            upstream = wire.accept()
            upstream.message()
            upstream.send(OK)
            assert client.message().status == 200
            client.close()
        assert health(wired)["status"] == "ok"

    assert SECRET not in str(wired.announced)
    assert [event for event, _ in wired.announced] == ["internal_error"]
    assert [one.settlement for one in wired.exchanges] == [None] * recorded
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data",
    [
        request("POST", "/v1/messages", CALL, ("x-posthog-provider", "nobody")),
        request("POST", "/v1/messages", CALL, ("x-posthog-properties", "[]")),
        request("POST", "/unknown/v1/messages", CALL),
        request("POST", "//v1/messages", CALL),
        request("OPTIONS", "*"),
    ],
    ids=["provider", "properties", "product", "spelling", "target"],
)
def test_unreadable_caller_is_told_the_budgets_for_everybody(wire: Wire, data: bytes) -> None:
    """
    Every answer says where the budgets stand; one that somebody has for himself needs to know who it is.
    """
    with running_proxy(wire.url, budget_nusd=10**10, further_budgets=(Budget("own", 1, scope="user"),)) as proxy:
        answer = exchange(proxy.port, data)
        wire.close()

    assert (answer.status, answer.all(b"x-posthog-budget")) == (400, [b"ok"])
    assert answer.all(b"x-posthog-budget-remaining-usd") == [b"10.00"]


def test_unreadable_caller_without_a_budget_for_everybody(wire: Wire) -> None:
    """
    Where only others have budgets there is nothing to say.
    """
    with running_proxy(wire.url, further_budgets=(Budget("own", 1, scope="user"),)) as proxy:
        answer = exchange(proxy.port, request("POST", "//v1/messages", CALL))
        wire.close()

    assert (answer.status, answer.all(b"x-posthog-budget")) == (400, [])


def test_health_lists_the_caps(wire: Wire) -> None:
    """
    A cap that a flag gave is in no ledger: here is where it is told.
    """
    with running_proxy(wire.url, budget_nusd=5 * 10**9) as proxy:
        (budget,) = health(proxy)["budgets"]
        wire.close()

    assert (budget["name"], budget["limit_usd"], budget["remaining_nusd"]) == ("default", "5.000000000", 5 * 10**9)


@pytest.mark.parametrize("last", ["9" * 5000, "1" * 4301, "0", "-1", "x", "", "%D9%A3"])
def test_any_number_of_exchanges_may_be_asked_for(wired: RunningProxy, last: str) -> None:
    """
    A number of thousands of digits is one that is larger than what there is.
    """
    exchange(wired.port, request("POST", "//v1/messages", CALL))
    wired.exchange()

    answer = exchange(wired.port, request("GET", f"/-/exchanges?last={last}"))

    assert answer.status == 200
    assert len(json.loads(answer.body)["exchanges"]) == 1


def test_what_is_kept_of_a_body_is_bounded(wire: Wire, wired: RunningProxy) -> None:
    """
    Thousands of markers and a model's name of 300 KB leave twenty rows and a short name, and say how many more.
    """
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    body = {"model": "m" * 300_000, "messages": [{"role": "user", "content": [block] * 5_000}]}
    with End.to(wired.port) as client:
        flag = ("x-posthog-flag-llm-gateway-cost-controls", "true")
        client.send(request("POST", "/v1/messages", json.dumps(body).encode(), flag))
        upstream = wire.accept()
        upstream.message()
        upstream.send(OK)
        client.message()
    wired.exchange()

    answer = exchange(wired.port, request("GET", "/-/exchanges"))

    (kept,) = json.loads(answer.body)["exchanges"]
    assert (len(kept["skips"]), kept["skips_left_out"], len(kept["model"])) == (20, 4_980, 256)
    assert len(answer.body) < 20_000
