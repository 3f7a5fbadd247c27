"""
Simulates a budget: the answer to a request at one spend, and how a recorded trace of costs would have run.

Rule of this file: it has no rules of its own. Every request goes through `decide`, in a ledger in memory.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import heappop, heappush
from typing import Literal

from savemode_cli.core.budget.admission import Allowed, Balance, Decision, Hold, Reason, Refused, Standing, decide
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.choices import Fail
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.scales import GUARD_WARN_AT, Advice, Resolved, Status, resolve_mode
from savemode_cli.core.budget.trace import Request
from savemode_cli.core.budget.without_ledger import unaccounted

Scale = Literal["guard", "client"]


@dataclass(frozen=True, slots=True)
class Boundary:
    """
    The lowest spend at which a status begins.
    """

    scale: Scale
    name: str
    share: Decimal
    from_nusd: int


def boundaries(budget: Budget) -> tuple[Boundary, ...]:
    """
    All boundaries of both scales above `ok`, in the order in which a growing spend reaches them; none without a limit.
    """
    if budget.limit_nusd <= 0:
        return ()
    one = Decimal(1)
    tiers: list[tuple[Scale, str, Decimal]] = [
        ("client", "warn", budget.warn_at),
        ("guard", "warn", GUARD_WARN_AT),
        ("client", "engage", budget.engage_at),
        ("guard", "exceeded", one),
        ("client", "blocked", one),
    ]
    found = [Boundary(scale, name, share, _first_at(budget.limit_nusd, share)) for scale, name, share in tiers]
    return tuple(sorted(found, key=lambda tier: tier.from_nusd))


def _first_at(limit_nusd: int, share: Decimal) -> int:
    """
    The lowest spend that reaches a share of the limit: see `scales.reaches`.
    """
    numerator, denominator = share.as_integer_ratio()
    return -(-limit_nusd * numerator // denominator)


def telling_spends(budget: Budget) -> tuple[int, ...]:
    """
    The spends at which something changes, and one nano-dollar before each: zero, each boundary, and a quarter above the
    limit.
    """
    starts = {tier.from_nusd for tier in boundaries(budget)}
    return tuple(sorted({0, *starts, *(start - 1 for start in starts), max(budget.limit_nusd, 0) * 5 // 4}))


@dataclass(frozen=True, slots=True)
class Trial:
    """
    What a request would be told at one spend.
    """

    limit: Limit
    standing: Standing | None
    """None if the spend is unknown."""
    decision: Decision

    @property
    def allowed(self) -> bool:
        """
        Whether the request may start.
        """
        return isinstance(self.decision, Allowed)

    @property
    def status(self) -> Status | None:
        """
        The status on the guard's scale; None if there is no budget, and so no header.
        """
        return self.decision.status

    @property
    def remaining_nusd(self) -> int | None:
        """
        What the header would say is left, in nano-USD; None if there is no such header.
        """
        if self.standing is None or not self.limit.capped or self.status == "override":
            return None
        return max(0, self.limit.nusd - self.standing.balance.used_nusd)

    @property
    def advice(self) -> Advice | None:
        """
        The advice on the client's scale; None if the spend is unknown.
        """
        return None if self.standing is None else self.standing.advice

    def resolved(self, model: str, effort: str | None, cheaper: str | None = None) -> Resolved | None:
        """
        What the advised mode would run; None without advice.

        Args:
            model: the model that the client requests.
            effort: the effort that the client requests.
            cheaper: what `max_save` runs instead; None for the model itself.
        """
        if self.advice is None:
            return None
        return resolve_mode(self.advice.recommended_mode, model, effort, cheaper=cheaper)


def trial(
    budget: Budget,
    spend_nusd: int | None,
    now: datetime,
    *,
    held_nusd: int = 0,
    ask_nusd: int = 0,
    override: bool = False,
    fail: Fail = "open",
) -> Trial:
    """
    What a request would be told at one spend.

    Args:
        budget: the budget.
        spend_nusd: what is spent; None if unknown.
        now: the time of the request.
        held_nusd: what other requests hold.
        ask_nusd: what the request may cost.
        override: whether it comes with the override header.
        fail: what happens if the spend is unknown.
    """
    limit = limit_of(budget, "", now)
    if spend_nusd is None:
        return Trial(limit, None, unaccounted([limit], override=override, fail=fail))
    standing = Standing(limit, Balance(settled_nusd=spend_nusd, held_nusd=held_nusd))
    hold = Hold("simulated", (limit.key,), ask_nusd, limit.resets_at)
    return Trial(limit, standing, decide(hold, [standing], override=override))


@dataclass(slots=True)
class RequestTally:
    """
    A number of requests, and their cost.
    """

    count: int = 0
    nusd: int = 0

    def add(self, nusd: int) -> None:
        """
        Add one request.
        """
        self.count += 1
        self.nusd += nusd


COLUMNS = 60
"""The number of steps of a curve: each is this fraction of the window."""


@dataclass(slots=True)
class WindowRun:
    """
    One window of a simulation, up to the last request.

    A rolling window has no edges, and the window `none` does not end. Their runs are reported in periods, see
    `period_of`; what was spent in one period counts in the next.

    The curves have a value for the end of each step of the window, up to the last request. Before the first request it
    is 0.
    """

    limit: Limit
    starts_at: datetime
    ends_at: datetime
    offered: RequestTally = field(default_factory=RequestTally)
    """All requests of the trace."""
    ran: RequestTally = field(default_factory=RequestTally)
    """The requests that were allowed."""
    refused: dict[Reason, RequestTally] = field(default_factory=dict)
    first_refused_at: datetime | None = None
    began: dict[tuple[Scale, str], datetime] = field(default_factory=dict)
    most_nusd: int = 0
    """The most that counted against the cap at any moment, in nano-USD."""
    curve_nusd: list[int] = field(default_factory=list)
    offered_curve_nusd: list[int] = field(default_factory=list)

    @property
    def refused_in_all(self) -> RequestTally:
        """
        All refused requests, whatever the reason.
        """
        every = self.refused.values()
        return RequestTally(sum(one.count for one in every), sum(one.nusd for one in every))

    @property
    def over_nusd(self) -> int:
        """
        By how much the limit was crossed, in nano-USD.
        """
        return max(0, self.most_nusd - self.limit.nusd)


class TraceSimulation:
    """
    A trace run against one budget. Each request holds what it will cost, and is settled when its duration is over.

    Requests are added in order of time. A request that comes too late is treated as if it came now, and is counted in
    `late`.
    """

    def __init__(self, budget: Budget, *, override: bool = False) -> None:
        """
        Create a simulation.

        Args:
            budget: a budget with a limit that everybody shares.
            override: whether requests come with the override header.
        """
        self.budget = budget
        self.windows: list[WindowRun] = []
        self.late = 0
        self._override = override
        self._tiers = boundaries(budget)
        self._clock = datetime.min.replace(tzinfo=UTC)
        self._ledger = MemoryLedger()
        self._under_way: list[tuple[datetime, int, Hold, MemoryLedger]] = []
        self._number = 0

    def feed(self, request: Request) -> Decision:
        """
        Let one request try to start.
        """
        if request.at < self._clock:
            self.late += 1
        self._clock = now = max(request.at, self._clock)
        self._settle_until(now)
        run = self._window(now)
        self._number += 1
        # It must not run out before it is settled, for then it would count as spent and no more as held.
        expires_at = now + request.duration + timedelta(days=1)
        hold = Hold(str(self._number), (run.limit.key,), request.cost_nusd, expires_at, override=self._override)
        decision = reserve(self._ledger, hold, [run.limit], now)
        run.offered.add(request.cost_nusd)
        if isinstance(decision, Refused):
            run.refused.setdefault(decision.reason, RequestTally()).add(request.cost_nusd)
            run.first_refused_at = run.first_refused_at or now
        else:
            run.ran.add(request.cost_nusd)
            used_nusd = self._ledger.balance(run.limit.key, now).used_nusd
            run.most_nusd = max(run.most_nusd, used_nusd)
            for tier in self._tiers:
                if used_nusd >= tier.from_nusd:
                    run.began.setdefault((tier.scale, tier.name), now)
            heappush(self._under_way, (now + request.duration, self._number, hold, self._ledger))
            self._settle_until(now)
        _draw(run, now)
        return decision

    def _settle_until(self, now: datetime) -> None:
        while self._under_way and self._under_way[0][0] <= now:
            ended_at, _, hold, ledger = heappop(self._under_way)
            settle(ledger, hold.id, hold.ask_nusd, "reported", ended_at)

    def _window(self, now: datetime) -> WindowRun:
        if not self.windows or now >= self.windows[-1].ends_at:
            starts_at, ends_at = period_of(self.budget, now, self.windows[-1].ends_at if self.windows else now)
            self.windows.append(WindowRun(limit_of(self.budget, "", now), starts_at, ends_at))
            if self.budget.window.calendar is not None:
                # A ledger for each window: no key is in two of them, and a trace of years needs no more memory than one.
                self._ledger = MemoryLedger()
        return self.windows[-1]


_MONTH = timedelta(days=30)


def period_of(budget: Budget, now: datetime, since: datetime) -> tuple[datetime, datetime]:
    """
    The window that contains a time. For a rolling window it is a period as long as the window; for a window that does
    not end, 30 days.

    Args:
        budget: the budget whose windows are reported.
        now: a time in the window.
        since: when a period may begin: at the first request, or at the end of the last period.

    Returns:
        When it begins and when it ends.
    """
    if budget.window.calendar is not None:
        return budget.starts_at(now), budget.resets_at(now)
    length = budget.window.span or _MONTH
    starts_at = since + (now - since) // length * length
    return starts_at, starts_at + length


def _draw(run: WindowRun, now: datetime) -> None:
    column = min(COLUMNS - 1, (now - run.starts_at) * COLUMNS // (run.ends_at - run.starts_at))
    for curve, nusd in ((run.curve_nusd, run.ran.nusd), (run.offered_curve_nusd, run.offered.nusd)):
        curve.extend([curve[-1] if curve else 0] * (column - len(curve)))
        if len(curve) == column:
            curve.append(nusd)
        curve[column] = nusd
