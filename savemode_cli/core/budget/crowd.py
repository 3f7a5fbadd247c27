"""
Many simultaneous requests against one budget, under each admission rule.

Rule of this file: it simulates in integers. The real ledger decides.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from savemode_cli.core.budget.admission import Hold, Reason, Refused
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.ledger import Settle, reserve
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.scales import guard
from savemode_cli.core.budget.simulation import RequestTally, period_of
from savemode_cli.core.budget.trace import Request

AdmissionRule = Literal["no_hold", "default", "strict"]
ADMISSION_RULES: dict[AdmissionRule, str] = {
    "no_hold": "starts while spent < cap; a cost counts once it is known",
    "default": "starts while spent + held < cap; holds its cost; one may cross",
    "strict": "starts while spent + held + its cost <= cap; none crosses",
}


@dataclass(slots=True)
class CrowdRun:
    """
    One window under one rule: the requests that ran, and those that were refused for good.
    """

    limit: Limit
    ends_at: datetime
    most_nusd: int = 0
    """The most that counted against the cap at any moment, in nano-USD."""
    ran: RequestTally = field(default_factory=RequestTally)
    refused: RequestTally = field(default_factory=RequestTally)

    @property
    def over_nusd(self) -> int:
        """
        By how much the limit was crossed, in nano-USD.
        """
        return max(0, self.most_nusd - self.limit.nusd)


class Crowd:
    """
    A trace that a number of clients run at once under one rule. As many requests are judged before the first of them
    has its bill. A request that is refused only because of the holds of others is judged again in the next round.
    """

    def __init__(self, budget: Budget, size: int, rule: AdmissionRule) -> None:
        """
        Create a simulation.

        Args:
            budget: the budget.
            size: the number of clients, 1 or more.
            rule: the admission rule.
        """
        self.windows: list[CrowdRun] = []
        self._budget = replace(budget, strict=rule == "strict")
        self._size = size
        self._holds = rule != "no_hold"
        self._ledger = MemoryLedger()
        self._waiting: deque[Request] = deque()
        self._number = 0
        self._clock = datetime.min.replace(tzinfo=UTC)

    def feed(self, request: Request) -> None:
        """
        Add one request. Requests are added in order of time.
        """
        if not self.windows or request.at >= self.windows[-1].ends_at:
            self.finish()
            since = self.windows[-1].ends_at if self.windows else request.at
            _, ends_at = period_of(self._budget, request.at, since)
            self.windows.append(CrowdRun(limit_of(self._budget, "", request.at), ends_at))
            if self._budget.window.calendar is not None:
                self._ledger = MemoryLedger()
        self._clock = max(self._clock, request.at)
        self._waiting.append(request)
        if len(self._waiting) >= self._size:
            self._round()

    def finish(self) -> None:
        """
        Run the requests that still wait.
        """
        while self._waiting:
            self._round()

    def _round(self) -> None:
        run = self.windows[-1]
        batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
        started: list[tuple[str, int]] = []
        again: list[Request] = []
        spent_nusd = self._ledger.balance(run.limit.key, self._clock).spent_nusd
        for request in batch:
            self._number += 1
            reason = self._refusal(run, request, str(self._number), spent_nusd)
            if reason is None:
                run.ran.add(request.cost_nusd)
                started.append((str(self._number), request.cost_nusd))
            elif reason == "held":
                again.append(request)
            else:
                run.refused.add(request.cost_nusd)
        for hold_id, nusd in started:
            self._settle(run, hold_id, nusd)
        run.most_nusd = max(run.most_nusd, self._ledger.balance(run.limit.key, self._clock).used_nusd)
        self._waiting.extendleft(reversed(again))

    def _refusal(self, run: CrowdRun, request: Request, hold_id: str, spent_nusd: int) -> Reason | None:
        if not self._holds:
            return None if guard(run.limit.nusd, spent_nusd).allow else "spent"
        decision = reserve(self._ledger, self._hold(run, hold_id, request.cost_nusd), [run.limit], self._clock)
        return decision.reason if isinstance(decision, Refused) else None

    def _settle(self, run: CrowdRun, hold_id: str, nusd: int) -> None:
        # Without holds the ledger has not heard of the request before.
        hold = None if self._holds else self._hold(run, hold_id, nusd)
        self._ledger.post((Settle(hold_id, nusd, "reported", self._clock, hold=hold),), ())

    def _hold(self, run: CrowdRun, hold_id: str, nusd: int) -> Hold:
        return Hold(hold_id, (run.limit.key,), nusd, self._clock + timedelta(days=1))
