"""
The guard over real sockets: what a client is told, how to go on, and what is recorded.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.exchange.summary import Summary
from savemode_cli.telemetry.event import Origin, ai_generation
from savemode_cli.views.logfmt import logfmt
from savemode_cli.views.receipt import receipt
from savemode_cli.views.request import trouble
from tests.builders import OPEN, an_observed
from tests.core.wire.test_repeats import LS, turns
from tests.support.calling import CALL, send
from tests.support.streams import tool_use
from tests.support.upstream import Upstream, running_proxy

SESSION = {"x_claude_code_session_id": "s1"}


def loop(times: int) -> dict[str, Any]:
    """
    A call whose history has one tool call so often in a row.
    """
    return {**CALL, "messages": turns(*[LS] * times)}


def test_loop_causes_one_warning(upstream: Upstream) -> None:
    """
    By default the request starts. The answer, the record and one announcement have the warning, and again when the loop is
    twice as long.
    """
    with running_proxy(upstream.url) as proxy:
        answers = [send(proxy, loop(times), **SESSION) for times in (9, 10, 11, 19, 20)]
        exchanges = proxy.exchanges
        announced = proxy.announced

    assert [answer.status for answer in answers] == [200] * 5
    assert [answer["x-savemode-guard"] for answer in answers] == [
        None,
        "identical_calls",
        None,
        None,
        "identical_calls",
    ]
    assert [one.bill.alarm is not None for one in exchanges] == [False, True, False, False, True]
    assert announced[0] == (
        "guard",
        "a conversation may have run away: it called Bash 10 times in a row with the same input (limit: 10)",
    )
    assert len(announced) == 2
    summary = Summary()
    for one in exchanges:
        summary = summary.add(one)
    assert "2 warnings of the guard: the run may have run away" in receipt(summary, OPEN)


def test_loop_is_refused_until_it_is_allowed(upstream: Upstream) -> None:
    """
    The refusal names the sign and the ways to continue, and each of these ways works.
    """
    with running_proxy(upstream.url, guard_action="refuse") as proxy:
        assert send(proxy, loop(9), **SESSION).status == 200
        refused = send(proxy, loop(10), **SESSION)
        assert refused.status == 429
        assert (refused["x-should-retry"], refused["x-savemode-guard"], refused.budget) == (
            "false",
            "identical_calls",
            {},
        )
        assert json.loads(refused.body)["error"]["message"] == (
            "out of budget: the guard stops this conversation, because it called Bash 10 times in a row with the same "
            "input (limit: 10). To go on now: send the header x-posthog-budget-override: true."
        )
        assert send(proxy, loop(10), **SESSION).status == 429
        assert send(proxy, loop(10), **SESSION, x_posthog_budget_override="true").status == 200
        assert send(proxy, loop(12), **SESSION).status == 200
        assert send(proxy, loop(20), **SESSION).status == 429
        proxy.ledger.allow(datetime.now(UTC) + timedelta(hours=1), "guard")
        assert send(proxy, loop(20), **SESSION).status == 200
        proxy.ledger.allow(None, "guard")
        assert send(proxy, loop(21), **SESSION).status == 200
        assert send(proxy, loop(10), x_claude_code_session_id="s2").status == 429
        proxy.ledger.allow(datetime.now(UTC) + timedelta(hours=1))
        assert send(proxy, loop(10), x_claude_code_session_id="s2").status == 200

    assert len(upstream.received) == 6


def test_alternating_calls_are_refused(upstream: Upstream) -> None:
    """
    A loop of two calls is a loop too; the sentence names both.
    """
    read = tool_use("Read", {"file_path": "a"})

    def alternating(rounds: int) -> dict[str, Any]:
        return {**CALL, "messages": turns(*[read, LS] * rounds)}

    with running_proxy(upstream.url, guard_action="refuse") as proxy:
        assert send(proxy, alternating(9), **SESSION).status == 200
        refused = send(proxy, alternating(10), **SESSION)

    assert (refused.status, refused["x-savemode-guard"]) == (429, "identical_calls")
    assert (
        "because it called Read and Bash in turn 10 times, each time with the same inputs (limit: 10)"
        in (json.loads(refused.body)["error"]["message"])
    )


def test_other_clients_get_the_status_that_stops_them(upstream: Upstream) -> None:
    """
    The same one as for a budget.
    """
    with running_proxy(upstream.url, guard_action="refuse", refusal="auto") as proxy:
        other = send(proxy, loop(10), **SESSION, user_agent="some-client/1.0")
        known = send(proxy, loop(10), **SESSION, user_agent="claude-cli/2.1.332 (external, cli)")

    assert (other.status, json.loads(other.body)["error"]["type"]) == (402, "billing_error")
    assert (known.status, json.loads(known.body)["error"]["type"]) == (429, "budget_exceeded")


def test_way_to_go_on_names_the_ledger(upstream: Upstream, tmp_path: Any) -> None:
    """
    A command that works wherever it is typed.
    """
    url = f"sqlite:///{tmp_path}/l.db"
    with running_proxy(upstream.url, guard_action="refuse", ledger=url) as proxy:
        message = json.loads(send(proxy, loop(10), **SESSION).body)["error"]["message"]

    assert f"let it go on with `savemode budget allow guard --for 1h --ledger {url}`" in message


def test_record_of_a_refusal(upstream: Upstream) -> None:
    """
    The request line, the pairs, the event, the receipt and the JSON say that it was the guard, and no budget.
    """
    with running_proxy(upstream.url, guard_action="refuse") as proxy:
        send(proxy, loop(10), **SESSION)
        exchange = proxy.exchange()

    lines = "\n".join(trouble(exchange))
    assert "it called Bash 10 times in a row" in lines
    assert "budget" not in lines
    assert "guard=identical_calls:refused" in logfmt(exchange)
    assert exchange.to_json()["guard"] == {
        "sign": "identical_calls",
        "refused": True,
        "seen": 10,
        "limit": 10,
        "tool": "Bash",
    }
    event = ai_generation(an_observed(alarm=exchange.bill.alarm), Origin(""))
    assert event is not None
    assert (event["properties"]["guard_sign"], event["properties"]["guard_action"]) == ("identical_calls", "refuse")
    assert "Bash" not in str(event)
    summary = Summary().add(exchange)
    assert (summary.over_budget, summary.guard_refused) == (0, 1)
    shown = receipt(summary, OPEN)
    assert "1 request refused by the guard and not sent" in shown
    assert "1 request refused\n" not in shown


def test_sub_agents_and_dollars(upstream: Upstream) -> None:
    """
    The other two signs, of one conversation with all its sub-agents.
    """
    options: dict[str, Any] = {"guard_action": "refuse", "guard_agents": 2, "guard_nusd_per_minute": 15_000}
    with running_proxy(upstream.url, **options) as proxy:
        statuses = [send(proxy, **SESSION, x_claude_code_agent_id=agent).status for agent in ("a", "b", "c", "a")]
        proxy.exchange()
        refused = send(proxy, **SESSION)
        other = send(proxy, x_claude_code_session_id="s2")

    assert statuses == [200, 200, 429, 200]
    assert (refused.status, refused["x-savemode-guard"]) == (429, "usd_per_minute")
    assert other.status == 200


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/messages/batches"])
def test_only_model_calls_are_judged(upstream: Upstream, path: str) -> None:
    """
    Counting tokens is free, and a batch is not a conversation.
    """
    with running_proxy(upstream.url, guard_action="refuse") as proxy:
        assert send(proxy, loop(10), path=path, **SESSION).status == 200
