"""
One fold over exchanges, which every report renders; no face computes figures of its own.

Rule of this file: adding is all there is. `add` returns a new summary and looks at one exchange only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from savemode_cli.core.exchange import SCHEMA_VERSION, Exchange
from savemode_cli.core.messages import MESSAGES_PATH

_ANSWERED = frozenset({"ok", "client_gone", "broken"})
"""The outcomes of calls that a model worked on: what was raised on others wrote no cache, and a retry raises it again."""


@dataclass(frozen=True, slots=True)
class Summary:
    """
    Totals over exchanges. `requests` counts model calls, `others` everything else that passed through.
    """

    requests: int = 0
    others: int = 0
    upgraded_requests: int = 0
    breakpoints_upgraded: int = 0
    breakpoints_observed: int = 0
    resent: int = 0
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
        outcomes = {**self.outcomes, exchange.outcome: self.outcomes.get(exchange.outcome, 0) + 1}
        return Summary(
            requests=self.requests + is_call,
            others=self.others + (not is_call),
            upgraded_requests=self.upgraded_requests + (raised > 0),
            breakpoints_upgraded=self.breakpoints_upgraded + raised,
            breakpoints_observed=self.breakpoints_observed + (len(exchange.edits) if exchange.observed else 0),
            resent=self.resent + exchange.resent,
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
            "skips": dict(self.skips),
            "outcomes": dict(self.outcomes),
        }
