"""
Bugs in savemode over real sockets: the client gets a readable answer, the user gets one line, and the message of the
exception, which may quote a request, is shown nowhere.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.proxy import upgrading
from savemode_cli.proxy.ledger_access import LedgerAccess
from savemode_cli.proxy.pricing_memory import PricingMemory
from savemode_cli.proxy.progress import ExchangeInProgress
from tests.support.upstream import RunningProxy, running_proxy
from tests.support.wire import OK, CutShort, End, Wire, exchange, request

CALL = json.dumps({"model": "claude-opus-5-5", "max_tokens": 9, "messages": []}).encode()
SECRET = "the words of a prompt"
POST = LedgerAccess.post


def fails(*_: Any, **__: Any) -> Any:
    """
    Raise, as a bug would.
    """
    raise ValueError(SECRET)


def health(proxy: RunningProxy) -> dict[str, Any]:
    """
    The answer of `/-/health`.
    """
    read: dict[str, Any] = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)
    return read


def test_fault_is_answered_in_the_envelope(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    Before anything was sent: 500 in the API's error format, with the request ID and the budgets, and without advice about
    retrying.
    """
    monkeypatch.setattr(upgrading, "facts", fails)
    with running_proxy(wire.url, budget_nusd=10**10) as proxy:
        answer = exchange(proxy.port, request("POST", "/v1/messages", CALL))
        recorded = proxy.exchange()
        announced = proxy.announced
        assert not wire.waiting()
        wire.close()

    error = json.loads(answer.body)
    assert (answer.status, error["type"], error["error"]["type"]) == (500, "error", "api_error")
    assert error["request_id"] == answer.all(b"request-id")[0].decode() == recorded.id
    assert "an error in savemode: ValueError at upgrading.py:" in error["error"]["message"]
    assert answer.all(b"x-should-retry") == []
    assert answer.all(b"x-posthog-budget") == [b"ok"]
    assert (recorded.answer.outcome, recorded.answer.status, recorded.bill.cost_nusd) == ("broken", 500, None)
    ((event, words),) = announced
    assert event == "internal_error"
    assert recorded.id in words
    said = capfd.readouterr()
    assert not any(SECRET in text for text in (words, said.err, said.out, answer.body.decode(), recorded.answer.error))
    assert "Traceback" not in said.err


def test_fault_in_mid_answer_cuts_it(
    wire: Wire, wired: RunningProxy, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    After the head was sent, the connection ends before the body does, and one line is printed.
    """
    monkeypatch.setattr(UsageMeter, "feed", fails)
    with End.to(wired.port) as client:
        client.send(request("POST", "/v1/messages", CALL))
        upstream = wire.accept()
        upstream.message()
        upstream.send(OK)
        with pytest.raises(CutShort):
            client.message()

    assert (wired.exchange().answer.outcome, wired.exchange().answer.error) == ("broken", "an error in savemode")
    assert [event for event, _ in wired.announced] == ["internal_error"]
    assert capfd.readouterr().err == ""


def fails_with_invoices(access: LedgerAccess, invoices: Any, quotes: Any) -> Any:
    """
    Raise only for invoices.
    """
    return fails() if invoices else POST(access, invoices, quotes)


@pytest.mark.parametrize(
    ("where", "name", "fault", "recorded"),
    [
        (PricingMemory, "invoice", fails, 0),
        (LedgerAccess, "post", fails_with_invoices, 1),
        (ExchangeInProgress, "observed", fails, 0),
    ],
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
    If the bill cannot be written, the client still has its answer, and the next request is served.
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
    assert [one.bill.settlement for one in wired.exchanges] == [None] * recorded
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
def test_unreadable_caller_gets_the_shared_budgets(wire: Wire, data: bytes) -> None:
    """
    Every answer has the state of the shared budgets; a personal budget needs a known person.
    """
    with running_proxy(wire.url, budget_nusd=10**10, further_budgets=(Budget("own", 1, scope="user"),)) as proxy:
        answer = exchange(proxy.port, data)
        wire.close()

    assert (answer.status, answer.all(b"x-posthog-budget")) == (400, [b"ok"])
    assert answer.all(b"x-posthog-budget-remaining-usd") == [b"10.00"]


def test_unreadable_caller_without_a_shared_budget(wire: Wire) -> None:
    """
    If there are only personal budgets, there are no budget headers.
    """
    with running_proxy(wire.url, further_budgets=(Budget("own", 1, scope="user"),)) as proxy:
        answer = exchange(proxy.port, request("POST", "//v1/messages", CALL))
        wire.close()

    assert (answer.status, answer.all(b"x-posthog-budget")) == (400, [])


def test_health_lists_the_caps(wire: Wire) -> None:
    """
    A cap from an option is in no ledger, so the health page lists it.
    """
    with running_proxy(wire.url, budget_nusd=5 * 10**9) as proxy:
        (budget,) = health(proxy)["budgets"]
        wire.close()

    assert (budget["name"], budget["limit_usd"], budget["remaining_nusd"]) == ("default", "5.000000000", 5 * 10**9)


@pytest.mark.parametrize("last", ["9" * 5000, "1" * 4301, "1", "0001"])
def test_any_number_of_exchanges_may_be_asked_for(wired: RunningProxy, last: str) -> None:
    """
    A number with thousands of digits means all exchanges.
    """
    exchange(wired.port, request("POST", "//v1/messages", CALL))
    wired.exchange()

    answer = exchange(wired.port, request("GET", f"/-/exchanges?last={last}"))

    assert answer.status == 200
    assert len(json.loads(answer.body)["exchanges"]) == 1


@pytest.mark.parametrize("last", ["0", "-1", "x", "", "1.5", "1_0", "%D9%A3", "nan"])
def test_what_is_not_a_number_of_exchanges_is_an_error(wired: RunningProxy, last: str) -> None:
    """
    The error says what to send.
    """
    answer = exchange(wired.port, request("GET", f"/-/exchanges?last={last}"))

    assert answer.status == 400
    assert "?last=20" in json.loads(answer.body)["error"]["message"]


def test_what_is_kept_of_a_body_is_bounded(wire: Wire, wired: RunningProxy) -> None:
    """
    With dozens of breakpoints and a model name of 300 KB, twenty rows and a short name are kept, with the number of
    omitted ones.
    """
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    body = {"model": "m" * 300_000, "messages": [{"role": "user", "content": [block] * 60}]}
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
    assert (len(kept["skips"]), kept["skips_left_out"], len(kept["model"])) == (20, 40, 256)
    assert len(answer.body) < 20_000
