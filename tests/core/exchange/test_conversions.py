"""
Captures of older schemas, made new. A store of the first schema is read in `tests/captures/test_older_schemas.py`.
"""

import msgspec
import pytest

from savemode_cli.core.errors import BadInput
from savemode_cli.core.exchange.capture import SCHEMA, decode
from savemode_cli.core.exchange.conversions import CONVERTERS
from savemode_cli.core.wire.usage import Extra, Tokens, Usage

OLD = {
    "schema": 1,
    "id": "req_sm_1",
    "started_at": "2026-11-24T12:00:00Z",
    "ended_at": "2026-11-24T12:00:09Z",
    "duration_ms": 9000.5,
    "method": "POST",
    "path": "/v1/messages",
    "product": "wizard",
    "outcome": "ok",
    "gate": {"on": True, "why": "because"},
    "request_bytes": 3,
    "response_bytes": 4,
}


def test_every_schema_has_a_conversion() -> None:
    """
    From the first to the one that is written now.
    """
    assert sorted(CONVERTERS) == list(range(1, SCHEMA))


def test_what_was_left_out_stays_out() -> None:
    """
    An old capture has no field that is None.
    """
    exchange = decode(msgspec.json.encode(OLD)).exchange

    assert (exchange.call.product, exchange.answer.duration_ms, exchange.upgrade.gate.on) == ("wizard", 9000.5, True)
    assert (exchange.bill.usage, exchange.bill.budget, exchange.upgrade.edits) == (None, None, ())


def test_counters_become_a_vector() -> None:
    """
    Those of what was used beside the answer, too.
    """
    beside = {"kind": "compaction", "model": None, "usage": {"input_tokens": 7, "service_tier": "batch"}}
    usage = {"cache_write_1h_tokens": 3, "output_tokens": 5, "web_searches": 6, "extra": [beside]}

    assert decode(msgspec.json.encode(OLD | {"usage": usage})).exchange.bill.usage == Usage(
        Tokens(write_1h=3, output=5),
        6,
        extra=(Extra("compaction", None, Usage(Tokens(input=7), service_tier="batch")),),
    )


def test_budgets_become_values() -> None:
    """
    They read as they did.
    """
    budget = {
        "allowed": True,
        "status": "warn",
        "override": "ignored",
        "remaining_usd": "8.49",
        "state": "engage",
        "recommended_mode": "max_save",
        "resets_at": "2026-12-01T00:00:00Z",
    }
    bill = decode(msgspec.json.encode(OLD | {"budget": budget, "budget_after": {"allowed": False}})).exchange.bill

    assert bill.budget is not None
    assert bill.budget_after is not None
    assert list(bill.budget.to_json().items()) == list(budget.items())
    assert bill.budget_after.to_json() == {"allowed": False}


@pytest.mark.parametrize(
    "damage",
    [
        {"usage": 3},
        {"usage": {"extra": [{}]}},
        {"budget": "none"},
        {"budget": {"remaining_usd": 3}},
        {"edits": 1},
        {"started_at": None},
    ],
)
def test_damage_is_one_error(damage: dict[str, object]) -> None:
    """
    Wherever it is.
    """
    with pytest.raises(BadInput, match="cannot be read"):
        decode(msgspec.json.encode(OLD | damage))
