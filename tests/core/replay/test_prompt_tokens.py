"""
Tokens of prompts are added and priced by how they are billed.
"""

from datetime import UTC, datetime

from savemode_cli.core.money.pricing import PriceTable, nusd_of
from savemode_cli.core.replay.prompt_tokens import PromptTokens, cost_ausd
from savemode_cli.core.wire.usage import Usage
from tests.builders import a_price


def test_counts_are_added() -> None:
    """
    Each kind by itself.
    """
    tokens = PromptTokens(1, 20, 300, 4000)
    tokens.add(PromptTokens(4, 30, 200, 1000))

    assert tokens == PromptTokens(5, 50, 500, 5000)


def test_each_kind_has_its_price() -> None:
    """
    4, 5, 8 and 0.20 dollars for a million.
    """
    rates = PriceTable([a_price()]).input_rates(Usage(), "claude-opus-5-5", datetime(2026, 11, 24, tzinfo=UTC))

    assert nusd_of(cost_ausd(rates, PromptTokens(1, 10, 100, 1000))) == 4000 + 50_000 + 800_000 + 200_000
