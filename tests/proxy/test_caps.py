"""
To whom a cap applies, over real sockets: keys, persons, overrides.
"""

import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.personal import PersonalLimit
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.wire.access_tokens import AccessTokens, digest_of
from tests.support.calling import CALL, send
from tests.support.streams import answers
from tests.support.upstream import Upstream, error, running_proxy

SPELLINGS = [
    {"x_api_key": "sk-ant-api03-one"},
    {"Authorization": "Bearer sk-ant-api03-one"},
    {"Authorization": "bearer sk-ant-api03-one"},
    {"Authorization": "Bearer  sk-ant-api03-one"},
    {"x_api_key": "sk-ant-api03-one", "Authorization": "Bearer sk-ant-api03-one"},
]


@pytest.mark.parametrize("first", SPELLINGS, ids=str)
def test_one_key_is_one_budget_in_every_spelling(upstream: Upstream, first: dict[str, str]) -> None:
    """
    Every spelling of a key uses the same budget.
    """
    budgets = (Budget("keys", 20_000, scope="key"),)
    with running_proxy(upstream.url, further_budgets=budgets) as proxy:
        assert send(proxy, **first).status == 200

        assert [send(proxy, **again).status for again in SPELLINGS] == [429] * len(SPELLINGS)
        assert send(proxy, x_api_key="sk-ant-api03-two").status == 200


def test_made_up_key_beside_the_real_one_is_not_a_new_budget(upstream: Upstream) -> None:
    """
    The upstream decides which of two keys it bills, so both are charged, and both budgets must have room.
    """
    budgets = (Budget("keys", 20_000, scope="key"),)
    with running_proxy(upstream.url, further_budgets=budgets) as proxy:
        assert send(proxy, Authorization="Bearer real").status == 200

        assert send(proxy, Authorization="Bearer real", x_api_key="made-up").status == 429
        assert send(proxy, Authorization="Bearer other", x_api_key="new").status == 200
        assert send(proxy, x_api_key="new").status == 429


ALICE, BOB = "smt_alices-token-of-43-characters", "smt_bobs-token-of-43-characters"
TOKENS = AccessTokens({"alice": digest_of(ALICE), "bob": digest_of(BOB)})


@pytest.mark.parametrize("scope", ["user", "token"])
def test_token_is_the_identity(upstream: Upstream, scope: str) -> None:
    """
    A request uses the budget of the person whose token it shows, whatever its other headers say. All requests without a
    token share one budget. The token is not forwarded.
    """
    budgets = (Budget("people", 20_000, scope=scope),)
    with running_proxy(upstream.url, further_budgets=budgets, tokens=TOKENS) as proxy:
        assert send(proxy, x_savemode_token=ALICE).status == 200
        assert send(proxy, x_savemode_token=ALICE, x_posthog_distinct_id="bob").status == 429
        assert send(proxy, x_savemode_token=BOB, x_posthog_distinct_id="alice").status == 200
        assert send(proxy, x_posthog_distinct_id="carol").status == 200
        assert send(proxy, x_posthog_distinct_id="dora").status == 429

    assert all(ALICE not in str(one.headers) for one in upstream.received)


def test_token_of_no_known_person(upstream: Upstream) -> None:
    """
    It is rejected, also on loopback.
    """
    with running_proxy(upstream.url, tokens=TOKENS) as proxy:
        assert send(proxy, x_savemode_token="smt_made-up").status == 401
        assert send(proxy).status == 200


def test_without_tokens_the_distinct_id_identifies_the_person(upstream: Upstream) -> None:
    """
    If there are no personal tokens, the distinct ID identifies the person.
    """
    budgets = (Budget("people", 20_000, scope="user"),)
    with running_proxy(upstream.url, further_budgets=budgets) as proxy:
        assert send(proxy, x_posthog_distinct_id="ann").status == 200
        assert send(proxy, x_posthog_distinct_id="ann").status == 429
        assert send(proxy, x_posthog_distinct_id="bob").status == 200


def test_conversations_without_an_id(upstream: Upstream) -> None:
    """
    If no header names the conversation, its beginning identifies it.
    """

    def conversation(begin: str, *more: str) -> dict[str, Any]:
        said = [{"role": role, "content": text} for text in more for role in ("assistant", "user")]
        return {**CALL, "messages": [{"role": "user", "content": begin}, *said]}

    with running_proxy(upstream.url, further_budgets=(Budget("each", 1, scope="session"),)) as proxy:
        calls = [conversation("one"), conversation("two"), conversation("one", "more"), conversation("two", "more")]

        assert [send(proxy, call).status for call in calls] == [200, 200, 429, 429]


def test_strangers_are_refused(upstream: Upstream) -> None:
    """
    A request that names no person is refused; a free request is forwarded without budget headers.
    """
    budgets = (Budget("people", 10**9, scope="user", unknown="refuse"),)
    with running_proxy(upstream.url, further_budgets=budgets) as proxy:
        refused = send(proxy)
        free = send(proxy, path="/v1/models", method="GET")
        assert (refused.status, refused.budget) == (403, {})
        assert json.loads(refused.body)["error"]["type"] == "permission_error"
        assert (free.status, free.budget) == (200, {})
        assert send(proxy, x_posthog_distinct_id="ann").status == 200

    assert [one.target for one in upstream.received] == ["/v1/models", "/v1/messages"]


def test_override_that_a_budget_does_not_accept(upstream: Upstream) -> None:
    """
    The override is ignored: the answer, the record and one announcement show that. `allow` still lifts the cap.
    """
    budgets = (Budget("people", 20_000, scope="user", allow_override=False),)
    override = {"x_posthog_budget_override": "true", "x_posthog_distinct_id": "ann"}
    with running_proxy(upstream.url, further_budgets=budgets) as proxy:
        first = send(proxy, **override)
        assert (first.status, first.budget["override"], first.budget[""]) == (200, "ignored", "ok")
        second = send(proxy, **override)
        assert (second.status, second.budget["override"]) == (429, "ignored")
        assert "x-posthog-budget-override is not accepted" in second.body.decode()
        assert [event for event, _ in proxy.announced] == ["override_ignored"]
        assert not any(one.override for one in proxy.ledger.charges())

        proxy.ledger.allow(datetime.now(UTC) + timedelta(hours=1), "people", "ann")
        assert send(proxy, **override).status == 200
        assert send(proxy, x_posthog_distinct_id="bob").status == 200
        assert [one.override for one in proxy.ledger.charges()] == [False, True, False]


def test_limit_of_one_person(upstream: Upstream) -> None:
    """
    The ledger raises the limit of one person while the proxy runs; the others keep theirs.
    """
    budgets = (Budget("people", 20_000, scope="user"),)
    with running_proxy(upstream.url, further_budgets=budgets) as proxy:
        for who in ("ann", "bob"):
            assert [send(proxy, x_posthog_distinct_id=who).status for _ in range(2)] == [200, 429]
        proxy.ledger.set_limit(PersonalLimit("people", "ann", 10**9))

        raised = send(proxy, x_posthog_distinct_id="ann")
        assert (raised.status, raised.budget["remaining-usd"]) == (200, "0.99")
        assert send(proxy, x_posthog_distinct_id="bob").status == 429


UNCOUNTED = ["/v1/chat/completions", "/v1/complete", "/wizard/v1/responses", "/model/x/invoke"]


@pytest.mark.parametrize("path", UNCOUNTED)
def test_what_costs_and_is_not_counted_is_refused_past_the_cap(upstream: Upstream, path: str) -> None:
    """
    Below the cap it is allowed and counted as a request of unknown cost; above it, it is refused with the reason.
    """
    with running_proxy(upstream.url, budget_nusd=20_000) as proxy:
        assert send(proxy, path=path).status == 200
        assert send(proxy).status == 200
        refused = send(proxy, path=path)
        assert send(proxy, path=path, x_posthog_budget_override="true").status == 200
        summary = functools.reduce(Summary.add, proxy.exchanges, Summary())

    assert (refused.status, refused["x-should-retry"]) == (429, "false")
    assert f"What POST {path} costs is not counted" in json.loads(refused.body)["error"]["message"]
    assert len(upstream.received) == 3
    assert (summary.uncounted_requests, summary.over_budget, summary.requests, summary.others) == (2, 1, 1, 2)


@pytest.mark.parametrize("path", [*UNCOUNTED, "/v1/messages/batches"])
def test_strict_cap_and_what_is_not_counted(upstream: Upstream, path: str) -> None:
    """
    A strict cap allows no request of unknown cost, unless the user permits it.
    """
    with running_proxy(upstream.url, budget_nusd=10**9, strict=True) as proxy:
        refused = send(proxy, path=path)
        assert (refused.status, refused.budget[""], refused.budget["remaining-usd"]) == (429, "exceeded", "1.00")
        assert "is strict" in json.loads(refused.body)["error"]["message"]
        assert send(proxy).status == 200
    with running_proxy(upstream.url, budget_nusd=10**9, strict=True, allow_uncounted=True) as proxy:
        assert send(proxy, path=path).status == 200


@pytest.mark.parametrize("path", [*UNCOUNTED, "/v1/messages/batches"])
def test_allow_uncounted(upstream: Upstream, path: str) -> None:
    """
    Such a request is always allowed, and its answer has the state of the budget.
    """
    with running_proxy(upstream.url, budget_nusd=20_000, allow_uncounted=True) as proxy:
        assert [send(proxy).status for _ in range(2)] == [200, 429]
        passed = send(proxy, path=path)

    assert (passed.status, passed.budget[""]) == (200, "exceeded")


def test_free_requests_pass_at_the_cap(upstream: Upstream) -> None:
    """
    Uploads and Claude Code's telemetry are free, and failed requests do not count as requests of unknown cost.
    """
    with running_proxy(upstream.url, budget_nusd=20_000) as proxy:
        send(proxy)
        for path in ("/v1/files", "/v1/skills", "/api/event_logging/batch"):
            assert send(proxy, path=path).status == 200
        upstream.script = answers(error("not_found_error", "no such path", "404 Not Found"))
        proxy.ledger.set_budget(Budget("default", 10**9))
        assert send(proxy, path="/v1/complete").status == 404
        summary = functools.reduce(Summary.add, proxy.exchanges, Summary())

    assert (summary.uncounted_requests, summary.over_budget) == (0, 0)
