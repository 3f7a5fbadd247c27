"""
One fold over exchanges, which every report renders; no face computes figures of its own.

Rule of this file: adding is all there is. `add` returns a new summary and looks at one exchange only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from savemode_cli.core.exchange import SCHEMA_VERSION, Exchange, exact_usd, usage_json
from savemode_cli.core.messages import MESSAGES_PATH
from savemode_cli.core.pricing import Usage

_ANSWERED = frozenset({"ok", "client_gone", "broken"})
"""The outcomes of calls that a model worked on: what was raised on others wrote no cache, and a retry raises it again."""


@dataclass(frozen=True, slots=True)
class Summary:
    """
    Totals over exchanges. `requests` counts model calls, `others` everything else that passed through. `cost_nusd` is
    what was charged, `bases` how many charges rest on what. `difference_nusd` is the sum of the receipts: what was paid
    beyond a world without upgrades, negative if less; `not_compared` upgraded calls have none and are no part of it.
    """

    requests: int = 0
    others: int = 0
    upgraded_requests: int = 0
    breakpoints_upgraded: int = 0
    breakpoints_observed: int = 0
    resent: int = 0
    cost_nusd: int = 0
    difference_nusd: int = 0
    not_compared: int = 0
    verified: int = 0
    downgraded: int = 0
    usage: Usage = field(default_factory=Usage)
    bases: Mapping[str, int] = field(default_factory=dict)
    skips: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)

    def add(self, exchange: Exchange) -> "Summary":
        """
        The summary with one exchange more.
        """
        is_call = exchange.method == "POST" and exchange.path.endswith(MESSAGES_PATH)
        raised = exchange.upgraded if exchange.outcome in _ANSWERED else 0
        skips = dict(self.skips)
        for skip in exchange.skips:
            skips[skip.code] = skips.get(skip.code, 0) + 1
        bases = dict(self.bases)
        if exchange.settlement is not None:
            bases[exchange.settlement.basis] = bases.get(exchange.settlement.basis, 0) + 1
        receipt = exchange.receipt
        difference = None if receipt is None else receipt.difference_nusd
        outcomes = {**self.outcomes, exchange.outcome: self.outcomes.get(exchange.outcome, 0) + 1}
        return Summary(
            requests=self.requests + is_call,
            others=self.others + (not is_call),
            upgraded_requests=self.upgraded_requests + (raised > 0),
            breakpoints_upgraded=self.breakpoints_upgraded + raised,
            breakpoints_observed=self.breakpoints_observed + (len(exchange.edits) if exchange.observed else 0),
            resent=self.resent + exchange.resent,
            cost_nusd=self.cost_nusd + (exchange.cost_nusd or 0),
            difference_nusd=self.difference_nusd + (difference or 0),
            not_compared=self.not_compared + (raised > 0 and difference is None),
            verified=self.verified + (receipt is not None and receipt.verified is True),
            downgraded=self.downgraded + (receipt is not None and receipt.verified is False),
            usage=self.usage if exchange.usage is None else self.usage + exchange.usage,
            bases=bases,
            skips=skips,
            outcomes=outcomes,
        )

    def to_json(self) -> dict[str, Any]:
        """
        The summary for machines.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "requests": self.requests,
            "others": self.others,
            "upgraded_requests": self.upgraded_requests,
            "breakpoints_upgraded": self.breakpoints_upgraded,
            "breakpoints_observed": self.breakpoints_observed,
            "resent": self.resent,
            "cost_nusd": self.cost_nusd,
            "cost_usd": exact_usd(self.cost_nusd),
            "difference_nusd": self.difference_nusd,
            "difference_usd": exact_usd(self.difference_nusd),
            "not_compared": self.not_compared,
            "verified": self.verified,
            "downgraded": self.downgraded,
            "cost_bases": dict(self.bases),
            "usage": usage_json(self.usage),
            "skips": dict(self.skips),
            "outcomes": dict(self.outcomes),
        }
