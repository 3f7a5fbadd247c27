"""
The sum over exchanges from which every receipt is made.
"""

import json
import random
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.builders import a_refusal, a_skip, a_verdict, an_allowance, an_edit, an_exchange
from tests.support.values import replace

TWO = (an_edit(), an_edit())


def a_receipt(cost_nusd: int, counterfactual_nusd: int, *, verified: bool) -> Receipt:
    """
    A receipt that could be compared.
    """
    return Receipt(verified=verified, cost_nusd=cost_nusd, counterfactual_nusd=counterfactual_nusd)


def total(*exchanges: Exchange) -> Summary:
    """
    The summary of these.
    """
    summary = Summary()
    for one in exchanges:
        summary = summary.add(one)
    return summary


def test_nothing() -> None:
    """
    Without an exchange all figures are zero.
    """
    assert total() == Summary()
    assert total().to_json()["requests"] == 0


@pytest.mark.parametrize(
    ("differences", "is_call"),
    [
        ({}, True),
        ({"path": "/twig/v1/messages"}, True),
        ({"model": None}, True),
        ({"outcome": "upstream_error", "status": 529}, True),
        ({"path": "/v1/messages/count_tokens", "model": None, "skips": (a_skip(code="count-tokens"),)}, False),
        ({"path": "/v1/messages/batches", "model": None, "skips": (a_skip(code="batches"),)}, False),
        ({"path": "/v1/models", "method": "GET", "model": None}, False),
        ({"method": "GET", "model": None}, False),
        ({"outcome": "unreachable", "status": 502}, True),
    ],
)
def test_what_counts_as_a_model_call(differences: dict[str, Any], is_call: bool) -> None:
    """
    A model call is a POST to messages; counting tokens, batches and lists cost no model call.
    """
    summary = total(an_exchange(**differences))

    assert (summary.requests, summary.others) == (int(is_call), int(not is_call))


def test_upgrades() -> None:
    """
    Breakpoints and the requests that had any are counted apart; what was observed or taken back is not an upgrade.
    """
    summary = total(
        an_exchange(edits=TWO),
        an_exchange(edits=TWO[:1]),
        an_exchange(),
        an_exchange(edits=TWO, observed=True),
        an_exchange(edits=TWO, resent=True),
    )

    assert (summary.requests, summary.upgraded_requests, summary.breakpoints_upgraded) == (5, 2, 3)
    assert (summary.breakpoints_observed, summary.resent) == (2, 1)


@pytest.mark.parametrize(
    ("outcome", "raised"), [("ok", 1), ("client_gone", 1), ("upstream_error", 0), ("unreachable", 0)]
)
def test_upgrades_of_calls_that_failed_do_not_count(outcome: str, raised: int) -> None:
    """
    A call that no model worked on wrote no cache, and its retry is upgraded again.
    """
    total = Summary().add(an_exchange(edits=(an_edit(),), outcome=outcome))

    assert (total.breakpoints_upgraded, total.upgraded_requests) == (raised, raised)


def test_skips_and_outcomes() -> None:
    """
    Each code and each outcome has its count.
    """
    summary = total(
        an_exchange(skips=(a_skip(), a_skip(), a_skip(code="after-5m"))),
        an_exchange(skips=(a_skip(),), outcome="upstream_error"),
    )

    assert summary.skips == {"client-ttl": 3, "after-5m": 1}
    assert summary.outcomes == {"ok": 1, "upstream_error": 1}


def test_money() -> None:
    """
    Charges add up whatever they rest on, which is counted; differences only where there is one, with their signs.

    Charged: 7 + 5 + 3 + 0. Differences: 7 - 9 and 5 - 4.
    """
    summary = total(
        an_exchange(edits=TWO, settlement=Settlement(7, "reported"), receipt=a_receipt(7, 9, verified=True)),
        an_exchange(edits=TWO, settlement=Settlement(5, "estimated"), receipt=a_receipt(5, 4, verified=False)),
        an_exchange(edits=TWO, settlement=Settlement(3, "held"), receipt=Receipt("1h")),
        an_exchange(settlement=Settlement(0, "none"), receipt=Receipt()),
        an_exchange(path="/v1/models", method="GET"),
    )

    assert (summary.cost_nusd, summary.difference_nusd, summary.not_compared) == (15, -1, 1)
    assert (summary.verified, summary.downgraded) == (1, 1)
    assert summary.bases == {"reported": 1, "estimated": 1, "held": 1, "none": 1}


def test_refused_is_no_call() -> None:
    """
    A request that was not sent is not a model call or another request, and costs nothing. Requests that a budget
    refused are counted.
    """
    summary = total(
        an_exchange(outcome="refused", status=429, decision=a_refusal(), settlement=Settlement(0, "none")),
        an_exchange(outcome="refused", status=429, path="/v1/messages/batches", decision=a_refusal()),
        an_exchange(outcome="refused", status=400),
    )

    assert (summary.requests, summary.others, summary.batches, summary.over_budget) == (0, 0, 0, 2)
    assert (summary.bases, summary.outcomes) == ({}, {"refused": 3})


def test_what_the_cost_does_not_tell() -> None:
    """
    Calls at a price that is not theirs, calls that no ledger answered for, batches; and how much of the cost rests on what.
    """
    summary = total(
        an_exchange(price_state="unpriced", settlement=Settlement(5, "reported"), decision=an_allowance(held=True)),
        an_exchange(settlement=Settlement(3, "estimated"), decision=replace(an_allowance(held=True), status="unknown")),
        an_exchange(settlement=Settlement(4, "estimated")),
        an_exchange(path="/v1/messages/batches", decision=an_allowance()),
    )

    assert (summary.requests, summary.unpriced, summary.uncounted, summary.batches) == (3, 1, 1, 1)
    ends = [summary.ended(lost) for lost in (0, 1, 2)]
    assert [(one.uncounted, one.entered_later) for one in ends] == [(0, 1), (1, 0), (2, 0)]
    assert (ends[0].to_json()["entered_later"], "entered_later" in ends[1].to_json()) == (1, False)
    assert summary.charged_nusd == {"reported": 5, "estimated": 7}


def test_usage() -> None:
    """
    Each counter is added. An exchange without usage adds nothing.
    """
    summary = total(
        an_exchange(usage=Usage(Tokens(1, 2, 3, 4, 5), 6)), an_exchange(), an_exchange(usage=Usage(Tokens(output=1)))
    )

    assert summary.usage == Usage(Tokens(1, 2, 3, 4, 6), 6)


def test_adding_changes_nothing_that_was() -> None:
    """
    A summary is a value: a summary that was returned earlier does not change.
    """
    before = total(an_exchange(skips=(a_skip(),)))
    shown = before.to_json()

    before.add(an_exchange(skips=(a_skip(),), outcome="broken"))

    assert before.to_json() == shown


def test_order_does_not_matter() -> None:
    """
    Exchanges end in any order, and the totals are the same.
    """
    some = [
        an_exchange(edits=TWO),
        an_exchange(skips=(a_skip(),)),
        an_exchange(outcome="client_gone"),
        an_exchange(path="/v1/models", method="GET"),
        an_exchange(edits=TWO, observed=True),
        an_exchange(
            usage=Usage(Tokens(1, 2)), settlement=Settlement(7, "reported"), receipt=a_receipt(7, 9, verified=True)
        ),
        an_exchange(settlement=Settlement(3, "held"), receipt=Receipt(verified=False)),
        an_exchange(verdict=a_verdict("expired")),
    ]
    shuffled = random.Random(1).sample(some, len(some))

    assert total(*shuffled).to_json() == total(*some).to_json()


def test_misses_of_the_cache() -> None:
    """
    Tokens and dollars by cause; nothing is in the JSON without them.
    """
    some = [an_exchange(verdict=a_verdict("expired", "system_changed")), an_exchange(verdict=a_verdict("expired"))]
    summary = total(*some, an_exchange(verdict=a_verdict()), an_exchange())

    assert summary.missed_tokens == {"system_changed": 4000, "expired": 4000}
    assert summary.missed_nusd == {"system_changed": 20_000_000, "expired": 20_000_000}
    assert summary.to_json()["missed"]["expired"] == {
        "missed_tokens": 4000,
        "cost_nusd": 20_000_000,
        "cost_usd": "0.020000000",
    }
    assert "missed" not in total(an_exchange()).to_json()


def test_json() -> None:
    """
    For machines: every figure, and JSON.
    """
    shown = total(
        an_exchange(
            edits=TWO,
            skips=(a_skip(),),
            usage=Usage(Tokens(1, 2, 3, 4, 5), 6),
            settlement=Settlement(1_000_000_007, "reported"),
            receipt=Receipt(cost_nusd=1_000_000_007, counterfactual_nusd=1_000_000_009),
        )
    ).to_json()

    assert json.loads(json.dumps(shown)) == {
        "schema_version": 1,
        "requests": 1,
        "others": 0,
        "over_budget": 0,
        "unpriced": 0,
        "uncounted": 0,
        "batches": 0,
        "uncounted_requests": 0,
        "upgraded_requests": 1,
        "breakpoints_upgraded": 2,
        "breakpoints_observed": 0,
        "resent": 0,
        "cost_nusd": 1_000_000_007,
        "cost_usd": "1.000000007",
        "difference_nusd": -2,
        "difference_usd": "-0.000000002",
        "not_compared": 0,
        "verified": 0,
        "downgraded": 0,
        "cost_bases": {"reported": {"calls": 1, "charged_nusd": 1_000_000_007, "charged_usd": "1.000000007"}},
        "usage": {
            "input_tokens": 1,
            "cache_write_5m_tokens": 2,
            "cache_write_1h_tokens": 3,
            "cache_read_tokens": 4,
            "output_tokens": 5,
            "web_searches": 6,
        },
        "skips": {"client-ttl": 1},
        "outcomes": {"ok": 1},
    }
