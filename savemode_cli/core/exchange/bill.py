"""
What a request cost, and where its budgets stand: the third part of an exchange.

Rule of this file: amounts are nano-USD. An unknown value is None, never 0.
"""

from typing import Any

import msgspec
from msgspec import Struct

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.budget.report import BudgetReport
from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.money.amounts import exact_usd
from savemode_cli.core.money.pricing import Cost, State
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.usage import Tokens, Usage


class Bill(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    What a request cost, and where its budgets stand.
    """

    budget: BudgetReport | None = None
    """Where the budgets stood when the request was judged; None if no budget was checked."""
    budget_after: BudgetReport | None = None
    """Where the budgets stand including its cost; None if no budget was checked."""
    held_nusd: int = 0
    """How much was held for it while it ran."""
    usage: Usage | None = None
    """The usage that the API reported; None if it reported none."""
    settlement: Settlement | None = None
    """What was charged, and on which basis; None for a request that is not charged."""
    receipt: Receipt | None = None
    """Its cost, and what it would have cost without the upgrade; None for a request that is not charged."""
    price_state: State | None = None
    """How its price was found; None without usage."""
    cost: Cost | None = None
    """
    What the usage costs, split into input and output. This is less than the charge if the hold was charged. None
    without usage.
    """
    verdict: Verdict | None = None
    """
    What it could have read from the cache and did not read; None if that is unknown, and for a request that is not a
    model call.
    """
    alarm: Alarm | None = None
    """The sign of a run that has run away, for which the request was refused or warned about; None without one."""

    @property
    def cost_nusd(self) -> int | None:
        """
        What was charged, in nano-USD; None for a request that is not charged.
        """
        return None if self.settlement is None else self.settlement.nusd

    def to_json(self) -> dict[str, Any]:
        """
        The fields for machines: units in the keys.
        """
        settlement, cost = self.settlement, self.cost
        return {
            "usage": None if self.usage is None else usage_json(self.usage),
            "cost_nusd": None if settlement is None else settlement.nusd,
            "cost_usd": None if settlement is None else exact_usd(settlement.nusd),
            "cost_input_nusd": None if cost is None else cost.input_nusd,
            "cost_output_nusd": None if cost is None else cost.output_nusd,
            "cost_basis": None if settlement is None else settlement.basis,
            "cost_note": None if settlement is None else settlement.note,
            "price": self.price_state,
            "receipt": None if self.receipt is None else self.receipt.to_json(),
            "budget": None if self.budget is None else self.budget.to_json(),
            "budget_after": None if self.budget_after is None else self.budget_after.to_json(),
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            **({} if self.alarm is None else {"guard": self.alarm.to_json()}),
        }


class UsageJson(Struct):
    """
    A usage in flat JSON.
    """

    input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    web_searches: int = 0


def usage_json(usage: Usage) -> dict[str, Any]:
    """
    The counters for machines. They do not overlap, as the API reports them.
    """
    tokens = usage.tokens
    return {
        "input_tokens": tokens.input,
        "cache_write_5m_tokens": tokens.write_5m,
        "cache_write_1h_tokens": tokens.write_1h,
        "cache_read_tokens": tokens.read,
        "output_tokens": tokens.output,
        "web_searches": usage.web_searches,
    }


def usage_of_json(counters: object) -> Usage:
    """
    Read the usage that `usage_json` wrote.

    Raises:
        msgspec.ValidationError: the fields are not counters.
    """
    read = msgspec.convert(counters, UsageJson)
    tokens = Tokens(
        read.input_tokens,
        read.cache_write_5m_tokens,
        read.cache_write_1h_tokens,
        read.cache_read_tokens,
        read.output_tokens,
    )
    return Usage(tokens, read.web_searches)
