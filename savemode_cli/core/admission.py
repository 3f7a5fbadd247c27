"""
May a request start, and what is it told?

Rule of this file: all judgement about a cap is here; a ledger only adds up and stores. A refusal is a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal, assert_never

from savemode_cli.core.budget import ALL, Limit, aware
from savemode_cli.core.messages import error_body
from savemode_cli.core.tiers import MOST_NUSD, Advice, Fail, Status, Verdict, advise, dollars, guard, usd


@dataclass(frozen=True, slots=True)
class Hold:
    """
    Money set aside for a request before it is sent: `ask_nusd` under every key, or under none.

    Unless it is settled by `expires_at` it counts as spent. `model` and `override` are kept for the record.
    """

    id: str
    keys: tuple[str, ...]
    ask_nusd: int
    expires_at: datetime
    model: str = ""
    override: bool = False

    def __post_init__(self) -> None:
        """
        Raises ValueError for a hold that no ledger could keep: a bug in the caller.
        """
        if not self.keys or len(set(self.keys)) != len(self.keys):
            raise ValueError(f"hold {self.id}: needs keys, each once; has {self.keys}")
        check_nusd(self.ask_nusd)
        aware(self.expires_at)


@dataclass(frozen=True, slots=True)
class Balance:
    """
    What a ledger has under one key. Holds that ran out are `unsettled`, and count as spent at the amount held.
    """

    settled_nusd: int = 0
    unsettled_nusd: int = 0
    held_nusd: int = 0

    @property
    def spent_nusd(self) -> int:
        """
        What is gone: settled, or held by a request that never came back.
        """
        return self.settled_nusd + self.unsettled_nusd

    @property
    def used_nusd(self) -> int:
        """
        What nobody else can have: spent, or held by requests under way.
        """
        return self.spent_nusd + self.held_nusd


Reason = Literal["spent", "held", "ask", "unknown"]
"""Spent: the cap is reached. Held: others hold the rest. Ask: strict, and this one is too big. Unknown: no ledger."""


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where one limit stood when a request was judged, that request not included.
    """

    limit: Limit
    balance: Balance

    @property
    def verdict(self) -> Verdict:
        """
        On the guard's scale; what others hold counts as spent.
        """
        return guard(self.limit.nusd, self.balance.used_nusd)

    @property
    def advice(self) -> Advice:
        """
        On the client's scale, about the same spend.
        """
        budget = self.limit.budget
        return advise(budget.limit_nusd, self.balance.used_nusd, budget.warn_at, budget.engage_at)

    @property
    def left_nusd(self) -> int:
        """
        What is left under the limit, never less than nothing.
        """
        return max(0, self.limit.nusd - self.balance.used_nusd)

    def reason(self, ask_nusd: int) -> Reason | None:
        """
        Why a request that asks for so much may not start; None if it may.

        Default: `spent + held < limit`, so the request that crosses the line starts. Strict:
        `spent + held + ask <= limit`. The reason is `held` only where waiting helps: nothing but the holds of others
        stands in the way.
        """
        left = self.limit.nusd - self.balance.used_nusd
        if not self.limit.capped or (left > 0 and (not self.limit.budget.strict or ask_nusd <= left)):
            return None
        left_once_settled = left + self.balance.held_nusd
        if left_once_settled <= 0:
            return "spent"
        return "ask" if self.limit.budget.strict and ask_nusd > left_once_settled else "held"


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    The request may start. `hold` None: no ledger answered, nothing is held, there is nothing to settle.

    `standings` are those of the limits that cap something, the tightest first; it is the one reported.
    """

    hold: Hold | None
    status: Status | None
    standings: tuple[Standing, ...] = ()

    @property
    def standing(self) -> Standing | None:
        """
        The tightest; None without a budget, or where no ledger answered.
        """
        return self.standings[0] if self.standings else None

    def headers(self) -> list[tuple[bytes, bytes]]:
        """
        The budget headers of the answer; none without a budget.
        """
        return _headers(self.status, self.standing)

    def after(self, balances: Sequence[Balance]) -> "Allowed":
        """
        Where the same limits stand later, `balances` being theirs in the order of `standings`.

        An override stays one, or a line would say `exceeded` of a request that somebody let through on purpose.
        """
        moved = [Standing(one.limit, balance) for one, balance in zip(self.standings, balances, strict=True)]
        standings = _tightest_first(moved)
        status = standings[0].verdict.status if standings and self.status != "override" else self.status
        return Allowed(self.hold, status, standings)


@dataclass(frozen=True, slots=True)
class Refused:
    """
    The request may not start. `standing` is the limit in the way, None where no ledger answered.
    """

    reason: Reason
    standing: Standing | None
    ask_nusd: int

    @property
    def permanent(self) -> bool:
        """
        Whether waiting for other requests to finish is of no use.
        """
        return self.reason != "held"

    @property
    def status(self) -> Status:
        """
        On the guard's scale.
        """
        return "unknown" if self.reason == "unknown" else "exceeded"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """
        The budget headers of the refusal.
        """
        return _headers(self.status, self.standing)


Decision = Allowed | Refused


def decide(hold: Hold, standings: Sequence[Standing], *, override: bool) -> Decision:
    """
    Judge a request by every limit it is under; all must pass.

    An override lets it start, labelled, and it is charged all the same. Of several limits in the way one is named:
    a permanent one before one that waiting cures, then the one that resets last, for that is how long it takes.
    """
    capped = _tightest_first(standings)
    if override or hold.override:
        return Allowed(replace(hold, override=True), "override", capped)
    refusals = [Refused(reason, one, hold.ask_nusd) for one in capped if (reason := one.reason(hold.ask_nusd))]
    if refusals:
        return max(refusals, key=_how_long)
    return Allowed(hold, capped[0].verdict.status if capped else None, capped)


def unaccounted(limits: Sequence[Limit], *, override: bool, fail: Fail) -> Decision:
    """
    The decision where no ledger answered: fail open by default, with status `unknown`.
    """
    capped = any(limit.capped for limit in limits)
    verdict = guard(MOST_NUSD if capped else None, None, override=override, fail=fail)
    return Allowed(None, verdict.status) if verdict.allow else Refused("unknown", None, 0)


def check_limits(hold: Hold, limits: Sequence[Limit]) -> None:
    """
    Every limit must be one the hold is counted under, or it would be judged and never charged.

    Raises:
        ValueError: it is not. That is a bug in the caller.
    """
    strays = {limit.key for limit in limits} - set(hold.keys)
    if strays:
        raise ValueError(f"hold {hold.id} is not counted under {sorted(strays)}")


def check_nusd(nusd: int) -> int:
    """
    The amount itself.

    Raises:
        ValueError: it is negative or beyond `MOST_NUSD`. That is a bug in the caller.
    """
    if not 0 <= nusd <= MOST_NUSD:
        raise ValueError(f"{nusd} nano-USD is no amount to hold or charge")
    return nusd


REFUSED_STATUS = 429
BUDGET_EXCEEDED = "budget_exceeded"
RETRY_AFTER_S = 5
"""For a refusal that waiting cures; about half the mean generation time of an agent's step (11.5 s, TraceLab)."""

_OVERRIDE = "send the header x-posthog-budget-override: true."
_RAISE = (
    "To go on now: raise it with `savemode budget set`, lift it for a while with `savemode budget allow --for 1h`, "
    f"or {_OVERRIDE}"
)


def refusal(decision: Refused, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """
    The answer to a refused request: status, headers, body.

    The official SDKs obey `x-should-retry` before they look at the status. A permanent refusal has no `retry-after`:
    clients that do not know the other header would sleep until the end of the month.
    """
    if decision.permanent:
        retry = [(b"x-should-retry", b"false")]
    else:
        retry = [(b"x-should-retry", b"true"), (b"retry-after", b"%d" % RETRY_AFTER_S)]
    headers = [(b"content-type", b"application/json"), (b"request-id", request_id.encode()), *retry]
    body = error_body(BUDGET_EXCEEDED, refusal_message(decision), request_id)
    return REFUSED_STATUS, headers + decision.headers(), body


def refusal_message(decision: Refused) -> str:
    """
    What a person reads: which cap, how much of it is gone, when it resets, how to raise it.
    """
    if decision.standing is None:
        return (
            "the budget ledger cannot be read or written, and savemode was told to refuse then (--fail closed); "
            f"`savemode budget show` says more. To go on now: {_OVERRIDE}"
        )
    limit, balance = decision.standing.limit, decision.standing.balance
    budget = limit.budget
    name = f'budget "{budget.name}"' + (f" ({budget.scope} {limit.who or 'not given'})" if budget.scope != ALL else "")
    when = f"({budget.window.words()}; resets {budget.local(limit.resets_at)})"
    cap, spent, held = dollars(limit.nusd), dollars(balance.spent_nusd), dollars(balance.held_nusd)
    match decision.reason:
        case "held":
            text = (
                f"spend limit reached for the moment {when}: of {cap} in {name}, {spent} is spent and {held} is held "
                "by requests still running. Retrying in a few seconds may be enough."
            )
        case "ask":
            text = (
                f"this request could cross the spend limit {when}: it may cost up to {dollars(decision.ask_nusd)}, "
                f"and of {cap} in {name}, which is strict, {spent} is spent."
            )
        case "spent" | "unknown":
            text = f"spend limit reached {when}: {spent} of {cap} is spent in {name}."
        case _:  # pragma: no cover - for the type checker
            assert_never(decision.reason)
    return f"{text} {_RAISE}"


def _headers(status: Status | None, standing: Standing | None) -> list[tuple[bytes, bytes]]:
    told = [] if status is None else [(b"x-posthog-budget", status.encode())]
    if standing is None:
        return told
    if status != "override":
        told.append((b"x-posthog-budget-remaining-usd", usd(standing.left_nusd).encode()))
    advice = standing.advice
    told.append((b"x-posthog-budget-state", advice.state.encode()))
    told.append((b"x-posthog-budget-recommended-mode", advice.recommended_mode.encode()))
    told.append((b"x-posthog-budget-resets-at", _header_time(standing.limit.resets_at)))
    return told


@lru_cache(128)
def _header_time(moment: datetime) -> bytes:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}".encode()


def _tightest_first(standings: Sequence[Standing]) -> tuple[Standing, ...]:
    capped = [one for one in standings if one.limit.capped]
    return tuple(capped if len(capped) < 2 else sorted(capped, key=_tightness))


def _how_long(refused: Refused) -> tuple[bool, datetime]:
    assert refused.standing is not None  # noqa: S101 - made by `decide`, from a standing
    return refused.permanent, refused.standing.limit.resets_at


def _tightness(standing: Standing) -> tuple[int, int]:
    """
    Sorts by the share of the limit that is used, then by what is left.
    """
    used = standing.balance.used_nusd
    return -(used * _SHARES // standing.limit.nusd), standing.limit.nusd - used


_SHARES = 10**18  # finer than one nano-dollar of the largest limit
