"""
What a request cost, for machines.
"""

import msgspec
import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.bill import Bill, usage_json, usage_of_json
from savemode_cli.core.wire.usage import Tokens, Usage


def test_what_is_not_known_is_null() -> None:
    """
    Unknown values are null and not zero.
    """
    assert set(Bill().to_json().values()) == {None}
    assert Bill().cost_nusd is None


def test_a_charge_in_both_units() -> None:
    """
    A charge of zero is an amount.
    """
    assert Bill(settlement=Settlement(0, "none")).to_json()["cost_usd"] == "0.000000000"
    assert Bill(settlement=Settlement(1_000_000_001, "held")).to_json()["cost_usd"] == "1.000000001"
    assert Bill(settlement=Settlement(7, "held")).cost_nusd == 7


def test_counters_read_back() -> None:
    """
    `savemode simulate-budget` reads what the proxy shows.
    """
    usage = Usage(Tokens(1, 2, 3, 4, 5), 6)

    assert usage_of_json(usage_json(usage)) == usage
    assert usage_of_json({}) == Usage()
    with pytest.raises(msgspec.ValidationError):
        usage_of_json({"input_tokens": "1"})
