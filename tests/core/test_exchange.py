"""
The record of an exchange, and its form for machines.
"""

import dataclasses
import json

import pytest

from savemode_cli.core.charge import Settlement
from savemode_cli.core.exchange import Exchange, edit_json, shortened, skip_json
from savemode_cli.core.messages import MESSAGES_PATH
from savemode_cli.core.pricing import Cost, Usage
from savemode_cli.core.receipt import Receipt
from tests.builders import a_refusal, a_skip, a_standing, an_allowance, an_edit, an_exchange

RENAMED = {
    "told": "budget",
    "decision_after": "budget_after",
    "decision": "budget",
    "settlement": "cost_basis",
    "price_state": "price",
    "cost": "cost_input_nusd",
}
"""What is not called for machines what it is called in the record."""


@pytest.mark.parametrize(
    ("observed", "resent", "expected"), [(False, False, 2), (True, False, 0), (False, True, 0), (True, True, 0)]
)
def test_upgraded_counts_what_went_out(observed: bool, resent: bool, expected: int) -> None:
    """
    What was only observed, or taken back, was not raised.
    """
    assert an_exchange(edits=(an_edit(), an_edit()), observed=observed, resent=resent).upgraded == expected


def test_json_holds_every_field() -> None:
    """
    Nothing of the record is missing for machines, and it is JSON.
    """
    shown = an_exchange(
        edits=(an_edit(),),
        skips=(a_skip(),),
        decision=an_allowance(),
        usage=Usage(input_tokens=1),
        settlement=Settlement(4_000, "reported"),
        receipt=Receipt(cost_nusd=4_000),
        price_state="exact",
        cost=Cost(3_000, 1_000),
    ).to_json()

    assert {RENAMED.get(one.name, one.name) for one in dataclasses.fields(Exchange)} <= set(shown)
    assert None not in [shown[name] for name in ("budget", "usage", "cost_basis", "receipt", "price")]
    assert json.loads(json.dumps(shown)) == shown


def test_json_has_units_and_round_numbers() -> None:
    """
    Microseconds are enough; the time says its zone.
    """
    shown = an_exchange(first_token_ms=15.67891).to_json()

    assert shown["first_token_ms"] == 15.679
    assert (shown["schema_version"], shown["event"], shown["path"]) == (1, "request.done", MESSAGES_PATH)
    assert (shown["duration_ms"], shown["first_byte_ms"]) == (1234.568, 12.346)
    assert shown["started_at"] == "2026-11-24T12:00:00.123+00:00"


def test_json_of_a_call_without_an_answer() -> None:
    """
    What did not happen is null, not zero.
    """
    shown = an_exchange(first_byte_ms=None, status=None, outcome="client_gone", upstream_request_id=None).to_json()

    assert (shown["first_byte_ms"], shown["status"], shown["upstream_request_id"]) == (None, None, None)


def test_json_of_money() -> None:
    """
    The charge in both units with what it rests on, the counters apart, the budget as the headers say it.

    $10 less $1.504 used is $8.496, which the headers round down to 8.49; 15 % is `ok` on both scales.
    """
    shown = an_exchange(
        decision=an_allowance(a_standing(used_nusd=1_504_000_000)),
        decision_after=an_allowance(a_standing(used_nusd=9_000_000_000)),
        usage=Usage(1, 2, 3, 4, 5, 6),
        settlement=Settlement(1_000_000_001, "estimated"),
        price_state="unpriced",
        cost=Cost(1_000_000_000, 1),
    ).to_json()

    assert (shown["cost_nusd"], shown["cost_usd"]) == (1_000_000_001, "1.000000001")
    assert (shown["cost_input_nusd"], shown["cost_output_nusd"]) == (1_000_000_000, 1)
    assert (shown["cost_basis"], shown["price"]) == ("estimated", "unpriced")
    assert shown["usage"] == {
        "input_tokens": 1,
        "cache_write_5m_tokens": 2,
        "cache_write_1h_tokens": 3,
        "cache_read_tokens": 4,
        "output_tokens": 5,
        "web_searches": 6,
    }
    assert shown["budget"] == {
        "allowed": True,
        "status": "ok",
        "remaining_usd": "8.49",
        "state": "ok",
        "recommended_mode": "off",
        "resets_at": "2026-12-01T00:00:00Z",
    }
    assert (shown["budget_after"]["status"], shown["budget_after"]["remaining_usd"]) == ("warn", "1.00")


def test_json_of_a_refusal() -> None:
    """
    What was refused says so, and was charged nothing, which is an amount.
    """
    shown = an_exchange(decision=a_refusal(), settlement=Settlement(0, "none"), outcome="refused", status=429).to_json()

    assert (shown["cost_nusd"], shown["cost_usd"], shown["cost_basis"]) == (0, "0.000000000", "none")
    assert shown["budget"]["allowed"] is False
    assert (shown["budget"]["status"], shown["budget"]["remaining_usd"]) == ("exceeded", "0.00")
    assert (shown["budget"]["state"], shown["budget"]["recommended_mode"]) == ("blocked", "max_save")


def test_money_that_nobody_asked_about_is_null() -> None:
    """
    Where no budget was asked and nothing was to be charged, there is no figure, not zero.
    """
    shown = an_exchange().to_json()

    assert {
        shown[name]
        for name in ("usage", "cost_nusd", "cost_usd", "cost_basis", "price", "receipt", "budget", "budget_after")
    } == {None}
    assert an_exchange().cost_nusd is None


def test_edit_json() -> None:
    """
    Paths have dots, what stood nowhere is null, lengths and offsets are bytes.
    """
    assert edit_json(an_edit(inserted=b',"ttl":"\xc3\xa9"')) == {
        "rule": "cache-ttl",
        "path": "system.0.cache_control.ttl",
        "before": None,
        "after": "1h",
        "was": '{"type":"ephemeral"}',
        "becomes": '{"type":"ephemeral","ttl":"1h"}',
        "at_bytes": 40,
        "removed_bytes": 0,
        "inserted_bytes": 11,
        "why": "because",
    }
    assert edit_json(an_edit(before="5m", after=3600))["before"] == "5m"


def test_skip_json() -> None:
    """
    A skip of the whole request says so in its path.
    """
    assert skip_json(a_skip(path=(), code="oauth", why="because")) == {
        "rule": "cache-ttl",
        "path": "(request)",
        "code": "oauth",
        "why": "because",
    }


def test_shortened() -> None:
    """
    Twenty edits, twenty skips and a path one can read stay; the rest is counted, and nothing is claimed twice.
    """
    long = an_exchange(edits=(an_edit(),) * 25, skips=(a_skip(),) * 30, path="/" + "x" * 600)
    short = shortened(long)

    assert (len(short.edits), short.edits_left_out, short.upgraded) == (20, 5, 25)
    assert (len(short.skips), short.skips_left_out) == (20, 10)
    assert (len(short.path), short.path[-3:]) == (503, "...")
    assert shortened(short).edits_left_out == 5
    assert shortened(an_exchange(edits=(an_edit(),))) == an_exchange(edits=(an_edit(),))
    assert (short.to_json()["edits_left_out"], short.to_json()["skips_left_out"]) == (5, 10)
