"""
One fold over exchanges, which every report renders; no face computes figures of its own.

Rule of this file: adding is all there is. `add` returns a new summary and looks at one exchange only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from savemode_cli.core.admission import Allowed, Refused
from savemode_cli.core.exchange import SCHEMA_VERSION, Exchange, usage_json
from savemode_cli.core.messages import BATCHES_PATH
from savemode_cli.core.pricing import Usage
from savemode_cli.core.tiers import amounts

_ANSWERED = frozenset({"ok", "client_gone", "broken"})
"""The outcomes of calls that a model worked on: what was raised on others wrote no cache, and a retry raises it again."""


@dataclass(frozen=True, slots=True)
class Summary:
    """
    Totals over exchanges. `requests` counts the model calls that went on, `others` everything else that did, and
    `over_budget` what a budget refused. `cost_nusd` is what was charged, `bases` how many charges rest on what and
    `charged_nusd` how much. Of the calls `unpriced` were charged at the dearest known price, `uncounted` are in no
    ledger; a batch's bill comes with its results, which nobody counts. `difference_nusd` is the sum of the receipts:
    what was paid beyond a world without upgrades, negative if less; `not_compared` upgraded calls have none and are no
    part of it.
    """

    requests: int = 0
    others: int = 0
    over_budget: int = 0
    unpriced: int = 0
    uncounted: int = 0
    batches: int = 0
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
    charged_nusd: Mapping[str, int] = field(default_factory=dict)
    skips: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)

    def add(self, exchange: Exchange) -> "Summary":
        """
        The summary with one exchange more.
        """
        passed, posted = exchange.outcome != "refused", exchange.method == "POST"
        is_call = passed and exchange.is_call
        is_batch = passed and posted and exchange.path.endswith(BATCHES_PATH)
        decision = exchange.decision
        raised = exchange.upgraded if exchange.outcome in _ANSWERED else 0
        skips = dict(self.skips)
        for skip in exchange.skips:
            skips[skip.code] = skips.get(skip.code, 0) + 1
        bases, charged_nusd = dict(self.bases), dict(self.charged_nusd)
        if exchange.settlement is not None and passed:
            basis, nusd = exchange.settlement.basis, exchange.settlement.nusd
            bases[basis] = bases.get(basis, 0) + 1
            charged_nusd[basis] = charged_nusd.get(basis, 0) + nusd
        receipt = exchange.receipt
        difference = None if receipt is None else receipt.difference_nusd
        outcomes = {**self.outcomes, exchange.outcome: self.outcomes.get(exchange.outcome, 0) + 1}
        return Summary(
            requests=self.requests + is_call,
            others=self.others + (passed and not is_call),
            over_budget=self.over_budget + isinstance(decision, Refused),
            unpriced=self.unpriced + (exchange.price_state == "unpriced"),
            uncounted=self.uncounted + (is_call and isinstance(decision, Allowed) and decision.hold is None),
            batches=self.batches + is_batch,
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
            charged_nusd=charged_nusd,
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
            "over_budget": self.over_budget,
            "unpriced": self.unpriced,
            "uncounted": self.uncounted,
            "batches": self.batches,
            "upgraded_requests": self.upgraded_requests,
            "breakpoints_upgraded": self.breakpoints_upgraded,
            "breakpoints_observed": self.breakpoints_observed,
            "resent": self.resent,
            **amounts(cost=self.cost_nusd, difference=self.difference_nusd),
            "not_compared": self.not_compared,
            "verified": self.verified,
            "downgraded": self.downgraded,
            "cost_bases": {
                basis: {"calls": count, **amounts(charged=self.charged_nusd.get(basis, 0))}
                for basis, count in self.bases.items()
            },
            "usage": usage_json(self.usage),
            "skips": dict(self.skips),
            "outcomes": dict(self.outcomes),
        }
