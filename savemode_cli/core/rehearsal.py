"""
A budget rehearsed: what one spend would be told, and how a recorded trace of costs would have run against a cap.

Rule of this file: it has no rules of its own. Every request goes through `decide`, in a ledger that lives in memory.

Longer than most: reading a trace, running it and the figures of the run share what a trace may leave out.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from heapq import heappop, heappush, heappushpop
from typing import Any, Literal

from savemode_cli.core.admission import (
    Allowed,
    Balance,
    Decision,
    Hold,
    Reason,
    Refused,
    Standing,
    decide,
    unaccounted,
)
from savemode_cli.core.budget import Budget, Limit, limit_of
from savemode_cli.core.ledger import MemoryLedger
from savemode_cli.core.tiers import (
    GUARD_WARN_AT,
    MOST_NUSD,
    Advice,
    Fail,
    Resolved,
    Status,
    guard,
    resolve_mode,
)

Scale = Literal["guard", "client"]


@dataclass(frozen=True, slots=True)
class Boundary:
    """
    The least spend at which a tier begins.
    """

    scale: Scale
    name: str
    share: Decimal
    from_nusd: int


def boundaries(budget: Budget) -> tuple[Boundary, ...]:
    """
    The tiers of both scales above `ok`, in the order a growing spend meets them; none where nothing is capped.
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
    The least spend that reaches a share of the limit: see `tiers.reaches`.
    """
    numerator, denominator = share.as_integer_ratio()
    return -(-limit_nusd * numerator // denominator)


def telling_spends(budget: Budget) -> tuple[int, ...]:
    """
    The spends at which something changes, and those a nano-dollar before: nothing, each boundary, a quarter beyond.
    """
    starts = {tier.from_nusd for tier in boundaries(budget)}
    return tuple(sorted({0, *starts, *(start - 1 for start in starts), max(budget.limit_nusd, 0) * 5 // 4}))


@dataclass(frozen=True, slots=True)
class Trial:
    """
    What a request would be told at one spend; `standing` None: the spend is unknown.
    """

    limit: Limit
    standing: Standing | None
    decision: Decision

    @property
    def allowed(self) -> bool:
        """
        Whether it may start.
        """
        return isinstance(self.decision, Allowed)

    @property
    def status(self) -> Status | None:
        """
        On the guard's scale; None: no budget, no header.
        """
        return self.decision.status

    @property
    def remaining_nusd(self) -> int | None:
        """
        What the header would say is left; None: no such header.
        """
        if self.standing is None or not self.limit.capped or self.status == "override":
            return None
        return max(0, self.limit.nusd - self.standing.balance.used_nusd)

    @property
    def advice(self) -> Advice | None:
        """
        On the client's scale; None where nobody knows the spend.
        """
        return None if self.standing is None else self.standing.advice

    def resolved(self, model: str, effort: str | None) -> Resolved | None:
        """
        What the mode advised would run.
        """
        return None if self.advice is None else resolve_mode(self.advice.recommended_mode, model, effort)


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
    What a request that may cost `ask_nusd` would be told, so much being spent and held. `spend_nusd` None: unknown.
    """
    limit = limit_of(budget, "", now)
    if spend_nusd is None:
        return Trial(limit, None, unaccounted([limit], override=override, fail=fail))
    standing = Standing(limit, Balance(settled_nusd=spend_nusd, held_nusd=held_nusd))
    hold = Hold("rehearsed", (limit.key,), ask_nusd, limit.resets_at)
    return Trial(limit, standing, decide(hold, [standing], override=override))


@dataclass(frozen=True, slots=True)
class Request:
    """
    One request of a trace: when it started, what it cost, how long it ran.
    """

    at: datetime
    cost_nusd: int
    duration: timedelta = timedelta()


_UP = Context(prec=100, rounding=ROUND_CEILING)
_LONGEST_NUMBER = 60
_NONE = Decimal("NaN")
_YEARS = range(1970, 2200)
_LONGEST_S = 31 * 86_400


def read_request(line: str) -> Request:
    """
    Read `{"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12", "duration_s": 3}`; other keys are left alone.

    The cost is rounded up to the nano-dollar, as a bill is.

    Raises:
        ValueError: it is no such object; the message says what was found, for people.
    """
    try:
        read = json.loads(line, parse_float=Decimal, parse_int=Decimal)
    except RecursionError:
        raise ValueError("nested too deeply to be read") from None
    except (ValueError, InvalidOperation) as error:
        raise ValueError(f"not JSON: {getattr(error, 'msg', 'a number without end').lower()}") from None
    if not isinstance(read, dict):
        raise ValueError("not a JSON object")
    return Request(
        _moment(read.get("at")), _cost_nusd(read.get("cost_usd")), _duration(read.get("duration_s", Decimal()))
    )


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("at is missing" if value is None else "at is no text")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("at is no time like 2026-11-23T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("at has no time zone, like the Z in 2026-11-23T12:00:00Z")
    if moment.year not in _YEARS:
        raise ValueError(f"at is not between {_YEARS[0]} and {_YEARS[-1]}")
    return moment.astimezone(UTC)


def _cost_nusd(value: Any) -> int:
    if value is None:
        raise ValueError("cost_usd is missing")
    nusd = _number(value, "cost_usd").scaleb(9, _UP).to_integral_value(ROUND_CEILING, _UP)
    if not 0 <= nusd <= MOST_NUSD:
        raise ValueError("cost_usd is negative or too large")
    return int(nusd)


def _duration(value: Any) -> timedelta:
    seconds = _number(value, "duration_s")
    if not 0 <= seconds <= _LONGEST_S:
        raise ValueError("duration_s is negative or longer than a month")
    return timedelta(seconds=float(seconds))


def _number(value: Any, name: str) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, str | Decimal) and len(str(value)) <= _LONGEST_NUMBER else _NONE
    except InvalidOperation:
        number = _NONE
    if not number.is_finite() or abs(number.adjusted()) > _LONGEST_NUMBER:
        raise ValueError(f"{name} is no number")
    return number


def nearly_sorted(requests: Iterable[Request], reach: int = 1024) -> Iterator[Request]:
    """
    The requests by time, as far as one that comes too late is no more than `reach` places behind: a log is written when
    a request ends, and names its start.
    """
    waiting: list[tuple[datetime, int, Request]] = []
    for number, request in enumerate(requests):
        entry = (request.at, number, request)
        if len(waiting) < reach:
            heappush(waiting, entry)
        else:
            yield heappushpop(waiting, entry)[2]
    while waiting:
        yield heappop(waiting)[2]


@dataclass(slots=True)
class Tally:
    """
    How many, and for how much.
    """

    count: int = 0
    nusd: int = 0

    def add(self, nusd: int) -> None:
        """
        One more.
        """
        self.count += 1
        self.nusd += nusd


COLUMNS = 60
"""How finely a curve is kept: a window in so many steps."""


@dataclass(slots=True)
class WindowRun:
    """
    One window of a rehearsal as it went, so far. `offered` is the whole trace, `ran` what was let through.

    The curves have a value for each step of the window, at its end, up to the last request; before the first it is 0.
    """

    limit: Limit
    starts_at: datetime
    offered: Tally = field(default_factory=Tally)
    ran: Tally = field(default_factory=Tally)
    refused: dict[Reason, Tally] = field(default_factory=dict)
    first_refused_at: datetime | None = None
    began: dict[tuple[Scale, str], datetime] = field(default_factory=dict)
    curve_nusd: list[int] = field(default_factory=list)
    offered_curve_nusd: list[int] = field(default_factory=list)

    @property
    def refused_in_all(self) -> Tally:
        """
        For whatever reason.
        """
        every = self.refused.values()
        return Tally(sum(one.count for one in every), sum(one.nusd for one in every))

    @property
    def over_nusd(self) -> int:
        """
        By how much the cap was crossed.
        """
        return max(0, self.ran.nusd - self.limit.nusd)


class Rehearsal:
    """
    A trace run against one budget: each request holds what it will cost, and is settled when its duration is over.

    Requests are fed in order of time; one that comes too late is taken as if it came now, and counted in `late`.
    """

    def __init__(self, budget: Budget, *, override: bool = False) -> None:
        """
        `budget` is one that caps something, and that all share.
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
        Let one request ask to start.
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
        decision = self._ledger.reserve(hold, [run.limit], now)
        run.offered.add(request.cost_nusd)
        if isinstance(decision, Refused):
            run.refused.setdefault(decision.reason, Tally()).add(request.cost_nusd)
            run.first_refused_at = run.first_refused_at or now
        else:
            run.ran.add(request.cost_nusd)
            for tier in self._tiers:
                if run.ran.nusd >= tier.from_nusd:
                    run.began.setdefault((tier.scale, tier.name), now)
            heappush(self._under_way, (now + request.duration, self._number, hold, self._ledger))
            self._settle_until(now)
        _draw(run, now)
        return decision

    def _settle_until(self, now: datetime) -> None:
        while self._under_way and self._under_way[0][0] <= now:
            ended_at, _, hold, ledger = heappop(self._under_way)
            ledger.settle(hold.id, hold.ask_nusd, "reported", ended_at)

    def _window(self, now: datetime) -> WindowRun:
        if not self.windows or now >= self.windows[-1].limit.resets_at:
            # A ledger for each window: no key is in two of them, and a trace of years needs no more memory than one.
            self._ledger = MemoryLedger()
            self.windows.append(WindowRun(limit_of(self.budget, "", now), self.budget.starts_at(now)))
        return self.windows[-1]


def _draw(run: WindowRun, now: datetime) -> None:
    column = min(COLUMNS - 1, (now - run.starts_at) * COLUMNS // (run.limit.resets_at - run.starts_at))
    for curve, nusd in ((run.curve_nusd, run.ran.nusd), (run.offered_curve_nusd, run.offered.nusd)):
        curve.extend([curve[-1] if curve else 0] * (column - len(curve)))
        if len(curve) == column:
            curve.append(nusd)
        curve[column] = nusd


Rule = Literal["no_hold", "default", "strict"]
RULES: dict[Rule, str] = {
    "no_hold": "starts while spent < cap; a cost counts once it is known",
    "default": "starts while spent + held < cap; holds its cost; one may cross",
    "strict": "starts while spent + held + its cost <= cap; none crosses",
}


@dataclass(slots=True)
class CrowdRun:
    """
    One window under one rule: what ran, and what was refused for good.
    """

    limit: Limit
    ran: Tally = field(default_factory=Tally)
    refused: Tally = field(default_factory=Tally)

    @property
    def over_nusd(self) -> int:
        """
        By how much the cap was crossed.
        """
        return max(0, self.ran.nusd - self.limit.nusd)


class Crowd:
    """
    A trace run by `size` clients at once under one rule: so many requests are judged before the first of them has its
    bill. One that is refused only for what others hold is asked again in the next round.
    """

    def __init__(self, budget: Budget, size: int, rule: Rule) -> None:
        """
        `size` is 1 or more.
        """
        self.windows: list[CrowdRun] = []
        self._budget = replace(budget, strict=rule == "strict")
        self._size = size
        self._holds = rule != "no_hold"
        self._ledger = MemoryLedger()
        self._waiting: deque[Request] = deque()
        self._number = 0

    def feed(self, request: Request) -> None:
        """
        One more request, in order of time.
        """
        if not self.windows or request.at >= self.windows[-1].limit.resets_at:
            self.finish()
            self._ledger = MemoryLedger()
            self.windows.append(CrowdRun(limit_of(self._budget, "", request.at)))
        self._waiting.append(request)
        if len(self._waiting) >= self._size:
            self._round()

    def finish(self) -> None:
        """
        Run what still waits.
        """
        while self._waiting:
            self._round()

    def _round(self) -> None:
        run = self.windows[-1]
        batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
        started: list[tuple[str, int]] = []
        again: list[Request] = []
        spent_nusd = run.ran.nusd
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
            self._ledger.settle(hold_id, nusd, "reported", run.limit.resets_at)
        self._waiting.extendleft(reversed(again))

    def _refusal(self, run: CrowdRun, request: Request, hold_id: str, spent_nusd: int) -> Reason | None:
        if not self._holds:
            return None if guard(run.limit.nusd, spent_nusd).allow else "spent"
        hold = Hold(hold_id, (run.limit.key,), request.cost_nusd, run.limit.resets_at)
        decision = self._ledger.reserve(hold, [run.limit], run.limit.resets_at - timedelta(seconds=1))
        return decision.reason if isinstance(decision, Refused) else None
