"""
Decides whether a request may start while the ledger does not answer.

Rule of this file: what is unknown is called unknown. Only a budget that must not be crossed refuses a request for it.
"""

from collections.abc import Iterable, Sequence

from savemode_cli.core.budget.admission import (
    Allowed,
    Balance,
    Decision,
    Hold,
    Refused,
    Standing,
    accepts_override,
    decide,
)
from savemode_cli.core.budget.budget import Budget, Limit
from savemode_cli.core.budget.choices import Fail
from savemode_cli.core.budget.scales import guard
from savemode_cli.core.money.amounts import MOST_NUSD


def unaccounted(limits: Sequence[Limit], *, override: bool, fail: Fail) -> Decision:
    """
    The decision if no ledger answered: by default the request starts, with the status `unknown`.
    """
    accepted = all(limit.budget.allow_override for limit in limits if limit.refuses or limit.unidentified)
    ignored = override and not accepted
    if not (override and accepted):
        stranger = next((limit for limit in limits if limit.unidentified), None)
        if stranger is not None:
            return Refused("unidentified", Standing(stranger, Balance()), 0, accepted, ignored)
    capped = any(limit.capped for limit in limits)
    refuses = any(limit.refuses for limit in limits)
    verdict = guard(MOST_NUSD if capped else None, None, override=override and accepted, fail=fail)
    if verdict.allow or not refuses:
        return Allowed(None, verdict.status, (), ignored)
    return Refused("unknown", None, 0, accepted, ignored)


def decide_from_memory(
    hold: Hold, standings: Sequence[Standing], *, override: bool, fail: Fail, busy: bool = False
) -> Decision:
    """
    Judge a request while the ledger does not answer.

    Args:
        hold: what the request asks for. An allowed request keeps it, because it is written to the ledger later.
        standings: its limits, with the last known balances and what this process has counted since.
        override: whether the limits are lifted now.
        fail: `closed` refuses every request that has a limit. `open` lets a request start unless its limits already
            refuse it, as far as they are known. What other processes spent meanwhile is unknown, so the status is
            `unknown`.
        busy: whether another process only keeps the ledger locked, so that waiting may help.
    """
    decision = decide(hold, standings, override=override)
    ignored = decision.override_ignored
    if isinstance(decision, Refused) and decision.reason == "unidentified":
        return decision
    judged = [
        one.limit.budget for one in standings if one.limit.capped and not (override or accepts_override(one, hold))
    ]
    if fail == "closed" and any(budget.refuses for budget in judged):
        return Refused("busy" if busy else "unknown", None, 0, all(one.allow_override for one in judged), ignored)
    if isinstance(decision, Refused):
        return decision
    return Allowed(decision.hold, "unknown" if judged else decision.status, (), ignored)


def fail_for(budgets: Iterable[Budget], chosen: Fail | None) -> Fail:
    """
    What happens to a request under these budgets while the ledger does not answer.

    By default it starts, unless one of its budgets is strict: one process cannot keep a limit without knowing what
    others spend.
    """
    if chosen is not None:
        return chosen
    return "closed" if any(one.strict and one.limit_nusd > 0 for one in budgets) else "open"
