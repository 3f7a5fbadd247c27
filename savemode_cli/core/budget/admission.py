"""
Decides whether a request may start, and what its caller is told.

Rule of this file: every decision about a limit is made here. A ledger only adds and stores. A refusal is a value.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.budget.budget import Budget, Limit, aware
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.budget.report import BudgetReport
from savemode_cli.core.budget.rolling import frees_at
from savemode_cli.core.budget.scales import Advice, Status, Verdict, advise, guard
from savemode_cli.core.budget.window import NEVER
from savemode_cli.core.money.amounts import MOST_NUSD


class Hold(Struct, frozen=True, gc=False):
    """
    An amount that is reserved for a request before it is sent. It counts under each of its keys.

    If it is not settled by `expires_at`, it counts as spent.
    """

    id: str
    keys: tuple[str, ...]
    ask_nusd: int
    """The amount, in nano-USD."""
    expires_at: datetime
    model: str = ""
    """For the record."""
    override: bool = False
    """Whether the request came with the override header."""

    def __post_init__(self) -> None:
        """
        Check the values.

        Raises:
            ValueError: no ledger could store it. This is a bug in the caller.
        """
        if not self.keys or len(set(self.keys)) != len(self.keys):
            raise ValueError(f"hold {self.id}: needs keys, each once; has {self.keys}")
        check_nusd(self.ask_nusd)
        aware(self.expires_at)


class Balance(Struct, frozen=True, gc=False):
    """
    The sums of a ledger under one key, in nano-USD. Holds that expired are `unsettled`, and count as spent at the
    amount that was held.
    """

    settled_nusd: int = 0
    unsettled_nusd: int = 0
    held_nusd: int = 0

    @property
    def spent_nusd(self) -> int:
        """
        What was spent: settled, or held by a request that never returned.
        """
        return self.settled_nusd + self.unsettled_nusd

    @property
    def used_nusd(self) -> int:
        """
        What no other request can use: what was spent, and what running requests hold.
        """
        return self.settled_nusd + self.unsettled_nusd + self.held_nusd


Reason = Literal["spent", "held", "ask", "unknown", "busy", "unidentified", "uncounted", "guard"]
"""
Why a request may not start. `spent`: the limit is reached. `held`: other requests hold the rest. `ask`: the budget is
strict, and this request may cost too much. `unknown`: no ledger answers. `busy`: no ledger answers at the moment,
because another process keeps it locked. `unidentified`: the request does not say whose budget it uses. `uncounted`: the
budget is strict, and the cost of this request is unknown. `guard`: it shows a sign of a run that has run away.
"""


class Standing(Struct, frozen=True, gc=False):
    """
    One limit and its balance when a request was judged. The balance does not include that request.
    """

    limit: Limit
    balance: Balance
    lifted: bool = False
    """Whether this limit is lifted for some time for every request."""
    frees_at: datetime | None = None
    """
    When enough has left a rolling window for the request to start; None if that is unknown, or if the window is not
    rolling.
    """

    @property
    def resets_at(self) -> datetime:
        """
        When the spend no longer counts for this request; `NEVER` if it always counts.
        """
        return self.frees_at or self.limit.resets_at

    @property
    def verdict(self) -> Verdict:
        """
        The decision on the guard's scale. What other requests hold counts as spent.
        """
        return guard(self.limit.nusd, self.balance.used_nusd)

    @property
    def advice(self) -> Advice:
        """
        The advice on the client's scale, for the same spend.
        """
        budget = self.limit.budget
        return advise(self.limit.nusd, self.balance.used_nusd, budget.warn_at, budget.engage_at)

    @property
    def left_nusd(self) -> int:
        """
        How much is left under the limit, in nano-USD; at least 0.
        """
        return max(0, self.limit.nusd - self.balance.used_nusd)

    def reason(self, ask_nusd: int) -> Reason | None:
        """
        Why a request that may cost this much may not start; None if it may start.

        Default rule: it may start if `spent + held < limit`, so the request that crosses the limit starts. Strict rule:
        it may start if `spent + held + ask <= limit`. The reason is `held` only if waiting helps, because nothing but
        the holds of others prevents it.
        """
        limit, balance = self.limit, self.balance
        if limit.unidentified:
            return "unidentified"
        left = limit.nusd - balance.used_nusd
        if (left > 0 and (ask_nusd <= left or not limit.budget.strict)) or not limit.refuses:
            return None
        left_once_settled = left + balance.held_nusd
        if left_once_settled <= 0:
            return "spent"
        return "ask" if limit.budget.strict and ask_nusd > left_once_settled else "held"


class Allowed(Struct, frozen=True, gc=False):
    """
    The request may start.
    """

    hold: Hold | None
    """What is held for it; None if nothing is held, so that there is nothing to settle."""
    status: Status | None
    standings: tuple[Standing, ...] = ()
    """Of the limits that limit anything. The one with the fewest dollars left is first, and the headers report it."""
    override_ignored: bool = False
    """Whether the request came with the override header, and a budget does not accept it."""

    @property
    def standing(self) -> Standing | None:
        """
        The standing with the fewest dollars left; None without a budget, or if no ledger answered.
        """
        return self.standings[0] if self.standings else None

    def report(self) -> BudgetReport:
        """
        What the caller is told.
        """
        return _report(self.status, self.standing, None, override_ignored=self.override_ignored)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """
        The budget headers of the answer; none without a budget.
        """
        return self.report().headers()

    def after(self, balances: Sequence[Balance]) -> "Allowed":
        """
        The standings of the same limits later.

        An override stays one. Otherwise a request that somebody allowed on purpose would be shown as `exceeded`.

        Args:
            balances: the new balances, in the order of `standings`.
        """
        moved = [Standing(one.limit, balance) for one, balance in zip(self.standings, balances, strict=True)]
        standings = _tightest_first(moved)
        status = standings[0].verdict.status if standings and self.status != "override" else self.status
        return replace(self, status=status, standings=standings)


class Refused(Struct, frozen=True, gc=False):
    """
    The request may not start.
    """

    reason: Reason
    standing: Standing | None
    """The limit that refuses it; None if no ledger answered."""
    ask_nusd: int
    override_helps: bool = True
    """Whether the request may start with the override header."""
    override_ignored: bool = False
    """Whether it came with the override header, and a budget does not accept it."""
    alarm: Alarm | None = None
    """The sign for which the guard refuses it; None for every other reason."""

    @property
    def permanent(self) -> bool:
        """
        Whether waiting does not help. It helps if other requests finish, or if a locked ledger answers again.
        """
        return self.reason not in ("held", "busy")

    @property
    def status(self) -> Status | None:
        """
        The status on the guard's scale; None if the refusal is not about money.
        """
        if self.reason in ("unidentified", "guard"):
            return None
        return "unknown" if self.reason in ("unknown", "busy") else "exceeded"

    def report(self) -> BudgetReport:
        """
        What the caller is told.
        """
        return _report(self.status, self.standing, self.reason, override_ignored=self.override_ignored)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """
        The budget headers of the refusal, and that of the guard.
        """
        return [*self.report().headers(), *([] if self.alarm is None else self.alarm.headers())]


Decision = Allowed | Refused


def decide(hold: Hold, standings: Sequence[Standing], *, override: bool) -> Decision:
    """
    Judge a request by every limit that applies to it. All limits must allow it.

    A limit that is lifted is not checked: `override` lifts all limits, and the override header of the request lifts
    those that accept it. The request then starts with that status, and is charged too. If several limits refuse it, one
    is named: first a limit for which the request does not say who sends it, then a permanent refusal before a temporary
    one, then the limit that resets last, because that is how long waiting takes.

    Args:
        hold: what the request asks for; `hold.override` says that it came with the override header.
        standings: the standings of every limit that applies, including budgets without a limit.
        override: whether all limits are lifted for some time.
    """
    judged = [one for one in standings if not (override or one.lifted or accepts_override(one, hold))]
    ignored = hold.override and any(one.limit.refuses and not one.limit.budget.allow_override for one in judged)
    refusals = [Refused(reason, one, hold.ask_nusd) for one in judged if (reason := one.reason(hold.ask_nusd))]
    if refusals:
        helps = all(_budget(one).allow_override for one in refusals)
        return replace(max(refusals, key=_precedence), override_helps=helps, override_ignored=ignored)
    lifted = len(judged) < len(standings) or (hold.override and not ignored) or override
    capped = _tightest_first(judged)
    hold = hold if hold.override == lifted else replace(hold, override=lifted)
    if lifted and not capped:
        return Allowed(hold, "override", _tightest_first(standings), ignored)
    return Allowed(hold, capped[0].verdict.status if capped else None, capped, ignored)


def with_free_time(decision: Decision, leaving: Iterable[tuple[datetime, int]]) -> Decision:
    """
    Add to a refusal by a rolling window the time at which enough has left the window for the request to start.

    Args:
        decision: the decision of a ledger.
        leaving: when each charge in the refusing window leaves it, the first to leave first.
    """
    standing = rolling_in_the_way(decision)
    if standing is None:
        return decision
    assert isinstance(decision, Refused)  # noqa: S101 - by `rolling_in_the_way`
    too_much = standing.balance.used_nusd - standing.limit.nusd
    if standing.limit.budget.strict:
        too_much += decision.ask_nusd - 1
    return replace(decision, standing=replace(standing, frees_at=frees_at(leaving, too_much)))


def rolling_in_the_way(decision: Decision) -> Standing | None:
    """
    The rolling window that refuses a request permanently; None for every other decision.
    """
    if isinstance(decision, Allowed) or decision.standing is None or decision.reason not in ("spent", "ask"):
        return None
    return None if decision.standing.limit.budget.window.span is None else decision.standing


def decide_uncounted(decision: Decision) -> Decision:
    """
    The decision for a request whose cost is not counted, from the decision for a request that costs nothing. A strict
    budget refuses it.
    """
    if isinstance(decision, Refused) or decision.status == "override":
        return decision
    strict = [one for one in decision.standings if one.limit.budget.strict]
    if not strict:
        return decision
    helps = all(one.limit.budget.allow_override for one in strict)
    return Refused("uncounted", strict[0], 0, helps, decision.override_ignored)


def refused_by_guard(alarm: Alarm) -> Refused:
    """
    The refusal of a request that shows a sign of a run that has run away.
    """
    return Refused("guard", None, 0, alarm=alarm)


def accepts_override(standing: Standing, hold: Hold) -> bool:
    """
    Whether a request comes with the override header and the budget accepts it.
    """
    return hold.override and standing.limit.budget.allow_override


def _budget(refused: Refused) -> Budget:
    assert refused.standing is not None  # noqa: S101 - made by `decide`, from a standing
    return refused.standing.limit.budget


def check_limits(hold: Hold, limits: Sequence[Limit]) -> None:
    """
    Check that the hold is counted under every limit. Otherwise the limit would be judged and never charged.

    Raises:
        ValueError: it is not. This is a bug in the caller.
    """
    strays = {limit.key for limit in limits} - set(hold.keys)
    if strays:
        raise ValueError(f"hold {hold.id} is not counted under {sorted(strays)}")


def check_nusd(nusd: int) -> int:
    """
    Check an amount and return it.

    Raises:
        ValueError: it is negative or above `MOST_NUSD`. This is a bug in the caller.
    """
    if not 0 <= nusd <= MOST_NUSD:
        raise ValueError(f"{nusd} nano-USD is no amount to hold or charge")
    return nusd


def _report(
    status: Status | None, standing: Standing | None, reason: Reason | None, *, override_ignored: bool
) -> BudgetReport:
    if standing is None:
        return BudgetReport(reason is None, status, reason, override_ignored)
    budget = standing.limit.budget
    if status is None:
        # It is refused for what it does not say, and nothing of the budget is told.
        return BudgetReport(reason is None, None, reason, override_ignored, name=budget.name, scope=budget.scope)
    advice = standing.advice
    return BudgetReport(
        reason is None,
        status,
        reason,
        override_ignored,
        standing.left_nusd,
        advice.state,
        advice.recommended_mode,
        None if standing.limit.resets_at == NEVER else standing.resets_at,
        budget.name,
        budget.scope,
        standing.limit.who,
    )


def _tightest_first(standings: Sequence[Standing]) -> tuple[Standing, ...]:
    capped = [one for one in standings if one.limit.capped]
    return tuple(capped if len(capped) < 2 else sorted(capped, key=_tightness))


def _precedence(refused: Refused) -> tuple[bool, bool, datetime]:
    assert refused.standing is not None  # noqa: S101 - made by `decide`, from a standing
    return refused.reason == "unidentified", refused.permanent, refused.standing.resets_at


def _tightness(standing: Standing) -> tuple[int, int]:
    """
    Sorts by the dollars left, because the next request costs dollars. Of equal ones, the one with the larger used share
    is first, which is the larger budget.
    """
    return standing.limit.nusd - standing.balance.used_nusd, -standing.limit.nusd
