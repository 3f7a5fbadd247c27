"""
Which budgets are in force, and which limits they set for a request.

Rule of this file: it does not call the ledger. `ledger_access` reads the budgets in the ledger and hands them in.
"""

from collections.abc import Sequence
from datetime import datetime

from savemode_cli.core.budget.budget import DEFAULT_BUDGET, Budget, Limit, limit_of
from savemode_cli.core.budget.overview import in_force
from savemode_cli.core.budget.personal import PersonalLimit
from savemode_cli.core.budget.scopes import ALL, AgentTree, Process, Spender, identities
from savemode_cli.core.wire.caller import Caller, Headers
from savemode_cli.core.wire.sessions import conversation_key
from savemode_cli.proxy.call import CallInProgress

_REMEMBERED_LIMITS = 10_000

UNCAPPED = Budget(DEFAULT_BUDGET, 0)
"""Used if no budget is set: spend is counted anyway, so that a later budget includes it."""


class RequestLimits:
    """
    The budgets in force, and the limits of each request.
    """

    def __init__(self, configured: Sequence[Budget] = (), process: Process | None = None) -> None:
        """
        Args:
            configured: the configured budgets. They do not depend on the ledger, so a deleted or new ledger keeps them.
            process: what all requests of this process have in common, for budgets of a run or a project.
        """
        self._configured = tuple(configured)
        self._process = process or Process()
        self._agents = AgentTree()
        self._stored: tuple[list[tuple[Budget, int]], tuple[PersonalLimit, ...]] | None = None
        self._kept_limits: dict[tuple[str, str], tuple[datetime, Limit]] = {}
        self.budgets: Sequence[Budget] = self._configured or (UNCAPPED,)
        """The budgets in force (see `in_force`)."""
        self.origins = in_force(self._configured, ())
        """The same with the origin of each; empty if no budget is set."""

    def learn(self, stored: Sequence[Budget], personal: tuple[PersonalLimit, ...]) -> None:
        """
        Put the budgets of the ledger in force, with the configured ones.

        Args:
            stored: the budgets in the ledger.
            personal: the limits of single persons in it.
        """
        version = ([(one, one.set_at_us) for one in stored], personal)
        if version != self._stored:
            self._stored = version
            self.origins = in_force(self._configured, stored, personal)
            self.budgets = tuple(one.budget for one in self.origins) or (UNCAPPED,)

    def of_call(self, call: CallInProgress, now: datetime) -> tuple[Limit, ...]:
        """
        The limits of a request. A request without a budget is counted anyway.
        """
        model = call.facts.model or ""
        caller, headers, conversation = call.caller, call.inbound.headers, call.named_conversation
        return self._of(Spender(caller, headers, conversation, model, self._process, self._agents), now)

    def of_caller(self, caller: Caller, headers: Headers, now: datetime) -> tuple[Limit, ...]:
        """
        The limits of a caller whose request is not read, or is free.
        """
        return self._of(
            Spender(caller, headers, lambda: conversation_key(caller, None), "", self._process, self._agents), now
        )

    def shared(self, now: datetime) -> tuple[Limit, ...]:
        """
        The limits that all requests of this process share.
        """
        whose = {ALL: "", "run": self._process.run}
        return tuple(self._limit(one, whose[one.scope], now) for one in self.budgets if one.scope in whose)

    def personal(self, now: datetime) -> list[Limit]:
        """
        The limits of all persons whose requests were judged in this process.
        """
        return [limit for _, limit in self._kept_limits.values() if limit.budget.scope != ALL and now < limit.resets_at]

    def _of(self, spender: Spender, now: datetime) -> tuple[Limit, ...]:
        limits = tuple(
            self._limit(budget, who, now) for budget in self.budgets for who in identities(budget.scope, spender)
        )
        return limits or (self._limit(UNCAPPED, "", now),)

    def _limit(self, budget: Budget, who: str, now: datetime) -> Limit:
        """
        A budget as it applies to `who`. It is cached until its window ends, because computing with calendars is slow and
        gives the same result for each request. A rolling window ends later with each request.
        """
        since, kept = self._kept_limits.get((budget.name, who), (now, None))
        rolling = budget.window.span is not None
        if kept is None or rolling or kept.budget is not budget or not since <= now < kept.resets_at:
            if len(self._kept_limits) > _REMEMBERED_LIMITS:
                self._kept_limits.clear()
            kept = limit_of(budget, who, now)
            self._kept_limits[budget.name, who] = (now, kept)
        return kept
