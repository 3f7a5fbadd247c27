"""
One sum over exchanges, which every report shows. Views compute no figures of their own.

Rule of this file: a summary only adds. `add` returns a new summary and reads one exchange.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from savemode_cli.core.diagnosis.causes import Cause
from savemode_cli.core.exchange.bill import usage_json
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION, Exchange
from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.wire.usage import Usage

Name = TypeVar("Name", bound=str)

_ANSWERED = frozenset({"ok", "client_gone", "broken"})
"""
The outcomes of calls that a model worked on. An upgrade of any other call wrote no cache, and its retry is upgraded
again.
"""

_NOT_MONEY = (None, "unidentified", "guard")
"""The reasons of refusals, and of requests that are not refused, in which no budget is in the way."""


class Summary(Struct, frozen=True):
    """
    Totals over exchanges. Amounts are nano-USD.
    """

    requests: int = 0
    """Model calls that were sent to the upstream."""
    others: int = 0
    """Other requests that were sent to the upstream."""
    over_budget: int = 0
    """Requests that a budget refused."""
    guard_refused: int = 0
    """Requests that the guard refused."""
    guard_warned: int = 0
    """Requests that the guard warned of."""
    unpriced: int = 0
    """Model calls that were charged at the highest known price, because their model has no price."""
    uncounted: int = 0
    """Model calls that were allowed while the ledger was unavailable, apart from those of `entered_later`."""
    entered_later: int = 0
    """Of those, the ones that are in the ledger in the end. Known only when the proxy has ended."""
    batches: int = 0
    """Batches that were started. Their bill comes with their results, and no figure includes it."""
    uncounted_requests: int = 0
    """Requests to other paths that may have cost money. No figure includes this."""
    upgraded_requests: int = 0
    breakpoints_upgraded: int = 0
    breakpoints_observed: int = 0
    """Breakpoints that would have been upgraded, while savemode only observed."""
    resent: int = 0
    """Calls whose edited body the upstream refused."""
    cost_nusd: int = 0
    """What was charged, in nano-USD."""
    difference_nusd: int = 0
    """The sum of the receipts: what was paid in addition to the cost without upgrades; negative if less was paid."""
    not_compared: int = 0
    """Upgraded calls whose receipt has no counterfactual. `difference_nusd` does not include them."""
    verified: int = 0
    """Upgraded calls that were billed 1-hour writes."""
    downgraded: int = 0
    """Upgraded calls that were billed 5-minute writes only."""
    usage: Usage = field(default_factory=Usage)
    bases: Mapping[str, int] = field(default_factory=dict)
    """How many charges there are on each basis."""
    charged_nusd: Mapping[str, int] = field(default_factory=dict)
    """How much was charged on each basis, in nano-USD."""
    missed_nusd: Mapping[Cause, int] = field(default_factory=dict)
    """How much more the missed tokens cost than reading them from the cache, by cause, in nano-USD."""
    missed_tokens: Mapping[Cause, int] = field(default_factory=dict)
    """How many tokens were missed, by cause."""
    skips: Mapping[str, int] = field(default_factory=dict)
    """How many skips there were, by code."""
    other_edits: Mapping[str, int] = field(default_factory=dict)
    """How many edits on the wire were not upgrades of a TTL, by rule."""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """How many exchanges there were, by outcome."""

    def add(self, exchange: Exchange) -> "Summary":
        """
        The summary with one more exchange.
        """
        call, upgrade, bill, answer = exchange.call, exchange.upgrade, exchange.bill, exchange.answer
        passed = answer.outcome != "refused"
        is_call = passed and call.is_model_call
        answered = answer.outcome in _ANSWERED
        upgraded = upgrade.upgraded if answered else 0
        settlement = bill.settlement if passed else None
        receipt, budget = bill.receipt, bill.budget
        difference = None if receipt is None else receipt.difference_nusd
        misses = () if bill.verdict is None else bill.verdict.misses
        return Summary(
            requests=self.requests + is_call,
            others=self.others + (passed and not is_call),
            over_budget=self.over_budget + (budget is not None and budget.reason not in _NOT_MONEY),
            guard_refused=self.guard_refused + (bill.alarm is not None and bill.alarm.refused),
            guard_warned=self.guard_warned + (bill.alarm is not None and not bill.alarm.refused),
            unpriced=self.unpriced + (bill.price_state == "unpriced"),
            uncounted=self.uncounted + (is_call and budget is not None and budget.unchecked),
            batches=self.batches + (passed and call.starts_batch),
            uncounted_requests=self.uncounted_requests + (answered and call.is_uncounted),
            upgraded_requests=self.upgraded_requests + (upgraded > 0),
            breakpoints_upgraded=self.breakpoints_upgraded + upgraded,
            breakpoints_observed=self.breakpoints_observed + (upgrade.proposed if upgrade.observed else 0),
            resent=self.resent + upgrade.resent,
            cost_nusd=self.cost_nusd + (bill.cost_nusd or 0),
            difference_nusd=self.difference_nusd + (difference or 0),
            not_compared=self.not_compared + (upgraded > 0 and difference is None),
            verified=self.verified + (receipt is not None and receipt.verified is True),
            downgraded=self.downgraded + (receipt is not None and receipt.verified is False),
            usage=self.usage if bill.usage is None else self.usage + bill.usage,
            bases=self.bases if settlement is None else _plus(self.bases, {settlement.basis: 1}),
            charged_nusd=self.charged_nusd
            if settlement is None
            else _plus(self.charged_nusd, {settlement.basis: settlement.nusd}),
            missed_nusd=_plus(self.missed_nusd, *[{miss.cause: miss.cost_nusd} for miss in misses]),
            missed_tokens=_plus(self.missed_tokens, *[{miss.cause: miss.tokens} for miss in misses]),
            skips=_plus(self.skips, *[{skip.code: 1} for skip in upgrade.skips]),
            other_edits=_plus(self.other_edits, upgrade.other_edits),
            outcomes=_plus(self.outcomes, {answer.outcome: 1}),
        )

    def ended(self, lost: int) -> "Summary":
        """
        The summary of a proxy that has ended.

        Args:
            lost: how many calls are not in the ledger, and never will be.
        """
        return replace(self, uncounted=lost, entered_later=max(0, self.uncounted - lost))

    def to_json(self) -> dict[str, Any]:
        """
        The summary for machines.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "requests": self.requests,
            "others": self.others,
            "over_budget": self.over_budget,
            **({"guard": {"refused": self.guard_refused, "warned": self.guard_warned}} if self._guarded else {}),
            "unpriced": self.unpriced,
            "uncounted": self.uncounted,
            **({"entered_later": self.entered_later} if self.entered_later else {}),
            "batches": self.batches,
            "uncounted_requests": self.uncounted_requests,
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
            **({"missed": self._missed_json()} if self.missed_nusd else {}),
            "skips": dict(self.skips),
            **({"other_edits": dict(self.other_edits)} if self.other_edits else {}),
            "outcomes": dict(self.outcomes),
        }

    @property
    def _guarded(self) -> int:
        return self.guard_refused + self.guard_warned

    def _missed_json(self) -> dict[str, Any]:
        costs = self.missed_nusd.items()
        return {cause: {"missed_tokens": self.missed_tokens[cause], **amounts(cost=nusd)} for cause, nusd in costs}


def _plus(counts: Mapping[Name, int], *more: Mapping[Name, int]) -> Mapping[Name, int]:
    """
    Add counts to others. Names keep the order in which they appeared first.
    """
    if not any(more):
        return counts
    total = dict(counts)
    for added in more:
        for name, number in added.items():
            total[name] = total.get(name, 0) + number
    return total
