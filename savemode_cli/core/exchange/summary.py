"""
One sum over exchanges, which every report shows. Views compute no figures of their own.

Rule of this file: a summary only adds, one exchange at a time. `add` returns a new summary, and `count` changes it.
"""

from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from savemode_cli.core.diagnosis.causes import Cause
from savemode_cli.core.exchange.bill import Bill, usage_json
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


class Summary(Struct):
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
    bases: dict[str, int] = field(default_factory=dict)
    """How many charges there are on each basis."""
    charged_nusd: dict[str, int] = field(default_factory=dict)
    """How much was charged on each basis, in nano-USD."""
    missed_nusd: dict[Cause, int] = field(default_factory=dict)
    """How much more the missed tokens cost than reading them from the cache, by cause, in nano-USD."""
    missed_tokens: dict[Cause, int] = field(default_factory=dict)
    """How many tokens were missed, by cause."""
    skips: dict[str, int] = field(default_factory=dict)
    """How many skips there were, by code."""
    other_edits: dict[str, int] = field(default_factory=dict)
    """How many edits on the wire were not upgrades of a TTL, by rule."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """How many exchanges there were, by outcome."""

    def add(self, exchange: Exchange) -> "Summary":
        """
        The summary with one more exchange.
        """
        more = self.copy()
        more.count(exchange)
        return more

    def copy(self) -> "Summary":
        """
        A summary that does not change when this one counts more.
        """
        names = ("bases", "charged_nusd", "missed_nusd", "missed_tokens", "skips", "other_edits", "outcomes")
        return replace(self, **{name: dict(getattr(self, name)) for name in names})

    def count(self, exchange: Exchange) -> None:
        """
        Add one exchange to this summary, for who adds up many.
        """
        call, upgrade, bill, answer = exchange.call, exchange.upgrade, exchange.bill, exchange.answer
        if answer.outcome != "refused":
            self._count_sent(exchange)
        self.unpriced += bill.price_state == "unpriced"
        self.resent += upgrade.resent
        self.cost_nusd += bill.cost_nusd or 0
        if answer.outcome in _ANSWERED:
            self.uncounted_requests += call.is_uncounted
            self._count_upgraded(exchange)
        if upgrade.observed:
            self.breakpoints_observed += upgrade.proposed
        self._count_judged(bill)
        if bill.receipt is not None:
            self.difference_nusd += bill.receipt.difference_nusd or 0
            self.verified += bill.receipt.verified is True
            self.downgraded += bill.receipt.verified is False
        if bill.usage is not None:
            self.usage += bill.usage
        for miss in () if bill.verdict is None else bill.verdict.misses:
            _add(self.missed_nusd, miss.cause, miss.cost_nusd)
            _add(self.missed_tokens, miss.cause, miss.tokens)
        for skip in upgrade.skips:
            _add(self.skips, skip.code, 1)
        for rule, number in upgrade.other_edits.items():
            _add(self.other_edits, rule, number)
        _add(self.outcomes, answer.outcome, 1)

    def _count_judged(self, bill: Bill) -> None:
        """
        What a budget and the guard have said of a request.
        """
        if bill.budget is not None and bill.budget.reason not in _NOT_MONEY:
            self.over_budget += 1
        if bill.alarm is not None:
            self.guard_refused += bill.alarm.refused
            self.guard_warned += not bill.alarm.refused

    def _count_sent(self, exchange: Exchange) -> None:
        """
        What counts of a request only if it was sent.
        """
        call, bill = exchange.call, exchange.bill
        if call.is_model_call:
            self.requests += 1
            self.uncounted += bill.budget is not None and bill.budget.unchecked
        else:
            self.others += 1
            self.batches += call.starts_batch
        if bill.settlement is not None:
            _add(self.bases, bill.settlement.basis, 1)
            _add(self.charged_nusd, bill.settlement.basis, bill.settlement.nusd)

    def _count_upgraded(self, exchange: Exchange) -> None:
        """
        The breakpoints that were upgraded, of a call that a model worked on.
        """
        upgraded, receipt = exchange.upgrade.upgraded, exchange.bill.receipt
        if upgraded:
            self.upgraded_requests += 1
            self.breakpoints_upgraded += upgraded
            self.not_compared += receipt is None or receipt.difference_nusd is None

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


def _add(counts: dict[Name, int], name: Name, number: int) -> None:
    """
    Count something by its name. Names keep the order in which they appeared first.
    """
    counts[name] = counts.get(name, 0) + number
