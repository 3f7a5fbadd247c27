"""
Which requests a spent budget refuses, and with which answer. `test_money` checks the refusal word by word.
"""

import json
from typing import Any

import pytest

from tests.conftest import FLAG
from tests.support.calling import CALL, send
from tests.support.upstream import RunningProxy, Upstream, running_proxy

STREAMED = {**CALL, "stream": True}
MARKED: dict[str, Any] = {
    **CALL,
    "system": [{"type": "text", "text": "Be careful.", "cache_control": {"type": "ephemeral"}}],
}


@pytest.mark.parametrize(
    ("options", "user_agent", "status"),
    [
        ({"refusal": "auto"}, "claude-cli/2.1.332 (external, cli)", 429),
        ({"refusal": "auto"}, "Anthropic/JS 1.14.0", 429),
        ({"refusal": "auto"}, "litellm/1.110.2", 403),
        ({"refusal": "auto"}, "ai/7.0.173 ai-sdk-provider-utils/5.0.81", 402),
        ({"refusal": "auto"}, None, 402),
        ({"refusal": "402"}, "claude-cli/2.1.332 (external, cli)", 402),
        ({"refusal": "auto", "compat": "upstream"}, "litellm/1.110.2", 429),
    ],
)
def test_refusal_that_each_client_obeys(
    upstream: Upstream, options: dict[str, Any], user_agent: str | None, status: int
) -> None:
    """
    The status that ends the client, by the table of clients; the message and the headers are the same.
    """
    named = {} if user_agent is None else {"user_agent": user_agent}
    with running_proxy(upstream.url, budget_nusd=1, **options) as proxy:
        assert send(proxy, **named).status == 200
        proxy.exchange(0)
        answer = send(proxy, **named)

    error = json.loads(answer.body)["error"]
    assert (answer.status, answer["x-should-retry"]) == (status, "false")
    assert error["type"] == {429: "budget_exceeded", 402: "billing_error", 403: "permission_error"}[status]
    assert error["message"].startswith("out of budget: spend limit reached")


def test_refusal_of_a_stream_is_plain_json(spent: RunningProxy) -> None:
    """
    A stream is refused before it starts.
    """
    answer = send(spent, STREAMED)

    assert (answer.status, answer["content-type"]) == (429, "application/json")
    assert json.loads(answer.body)["error"]["type"] == "budget_exceeded"


def test_refused_edits_are_not_claimed(spent: RunningProxy) -> None:
    """
    A refused request was not upgraded, and has no difference.
    """
    send(spent, MARKED, **FLAG)

    one = spent.exchange(2)
    assert (one.upgrade.upgraded, one.upgrade.edits) == (0, ())
    assert one.bill.receipt is not None
    assert one.bill.receipt.cost_nusd is None


@pytest.mark.parametrize("flags", [{}, FLAG, {"x-posthog-flag-llm-gateway-cost-controls": "false"}])
def test_guard_does_not_depend_on_the_gate(spent: RunningProxy, flags: dict[str, str]) -> None:
    """
    No header switches a cap off.
    """
    assert send(spent, **flags).status == 429


def test_every_product_is_under_the_cap(spent: RunningProxy) -> None:
    """
    Another path to the same API does not avoid the cap.
    """
    assert send(spent, path="/wizard/v1/messages").status == 429
    assert send(spent, path="/v1/messages?beta=true").status == 429
