"""
The record of an exchange, and its form for machines.
"""

import json

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.money.pricing import Cost
from savemode_cli.core.upgrade.auto import Decision
from savemode_cli.core.upgrade.hold_out import TrialMember
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.diagnostics import CacheDiagnosis
from savemode_cli.core.wire.messages import MESSAGES_PATH
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.builders import a_refusal, a_skip, a_standing, an_allowance, an_edit, an_exchange

NOT_SHOWN = {"answered_by", "held_nusd", "upgraded_left_out"}
"""Facts that are kept and used, and are not in the JSON."""
RENAMED = {
    "settlement": "cost_basis",
    "price_state": "price",
    "cost": "cost_input_nusd",
    "alarm": "guard",
    "diagnosis": "api_diagnosis",
}
"""What is not called for machines what it is called in its part."""


def test_json_holds_every_field() -> None:
    """
    The JSON has every field of the four parts.
    """
    exchange = an_exchange(
        edits=(an_edit(),),
        skips=(a_skip(),),
        decision=an_allowance(),
        usage=Usage(Tokens(input=1)),
        settlement=Settlement(4_000, "reported"),
        receipt=Receipt(cost_nusd=4_000),
        price_state="exact",
        cost=Cost(3_000, 1_000),
        alarm=Alarm("agents", 21, 20),
        auto=Decision("1h", "start", 31_000_000, "why"),
        trial=TrialMember("policy", "ab"),
        opens_turn=False,
        keep_warm=True,
        diagnosis=CacheDiagnosis("tools_changed", 7787),
    )
    shown = exchange.to_json()
    parts = (exchange.call, exchange.upgrade, exchange.bill, exchange.answer)
    fields = {RENAMED.get(name, name) for part in parts for name in part.__struct_fields__}

    assert fields - NOT_SHOWN <= set(shown)
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
    A value that does not exist is null, not zero.
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
        usage=Usage(Tokens(1, 2, 3, 4, 5), 6),
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
    If no budget was checked and nothing was charged, there is no figure, not zero.
    """
    shown = an_exchange().to_json()

    assert {
        shown[name]
        for name in ("usage", "cost_nusd", "cost_usd", "cost_basis", "price", "receipt", "budget", "budget_after")
    } == {None}
    assert an_exchange().bill.cost_nusd is None


def test_shortened() -> None:
    """
    Twenty edits, twenty skips and a readable path stay. The others are counted.
    """
    long = an_exchange(edits=(an_edit(),) * 25, skips=(a_skip(),) * 30, path="/" + "x" * 600)
    short = long.shortened()
    call, upgrade = short.call, short.upgrade

    assert (len(upgrade.edits), upgrade.edits_left_out, upgrade.upgraded) == (20, 5, 25)
    assert (len(upgrade.skips), upgrade.skips_left_out) == (20, 10)
    assert (len(call.path), call.path[-3:]) == (503, "...")
    assert short.shortened().upgrade.edits_left_out == 5
    assert an_exchange(edits=(an_edit(),)).shortened() == an_exchange(edits=(an_edit(),))
    assert (short.to_json()["edits_left_out"], short.to_json()["skips_left_out"]) == (5, 10)
