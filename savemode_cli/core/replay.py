"""
Recorded sessions under other cache TTLs: what each policy would have cost, and how sure that is.

Rule of this file: `recorded` is the bill, to the nano-dollar; every other policy is that bill plus what `session_cache`
can infer, on the input side only. Sessions are the unit: they are replayed one by one, in any order, and then summed.

Policies

    recorded   what was billed
    5m         every breakpoint lives 5 minutes
    1h         every breakpoint lives 1 hour
    product    the original's rule: what was written for 5 minutes is raised to 1 hour if the product is idle-prone and the
               model's id is not a cloud's. A record names no breakpoints, so all of a request's are taken as bare.
    optimum    for each session the cheapest of the first three, chosen with hindsight: a ceiling, not a policy

A pause that only the longer TTL survives saves a rewrite, unless the client had changed the prefix meanwhile. How often
it had is counted on the pauses that the recorded cache did survive; so is the discount on what is saved.

Longer than most: a policy, its sums and how sure they are rest on the same sessions, and are read together.

Longer than most: each policy and the words that it is told in stand beside what they rest on.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Literal

from savemode_cli.core.grade import Grade, Kinds, Tally, grade
from savemode_cli.core.pricing import InputRates, Price, PriceTable, nusd_of
from savemode_cli.core.recorded import Recorded, Session, Wanted
from savemode_cli.core.session_cache import GAPS, Seen, Split, Ttl, seen, split
from savemode_cli.core.transform import is_cloud_model

PolicyName = Literal["recorded", "5m", "1h", "product", "optimum"]
POLICIES: tuple[PolicyName, ...] = ("recorded", "5m", "1h", "product")

SECONDS_PER_SLOT = 3600

PAUSE_EDGES_S = (60, 120, 240, 300, 600, 1200, 2400, 3600, 7200, 28_800)
"""The classes of the histogram of pauses; 5 minutes and 1 hour are among them."""

LEAST_SESSIONS = 5
"""Fewer say nothing about the next one."""

WORTH = Fraction(1, 100)
"""A smaller part of the bill is not worth a change."""

_CHANGED_PRIOR = 1, 10
"""Of ten pauses one changes the prefix, before any is counted: in the public sets 30 of 220 did."""


@dataclass(slots=True)
class Money:
    """
    One policy's dollars, in atto-dollars. `rescuable_ausd` is what it would save if no pause changed a prefix.
    """

    ausd: int = 0
    rescuable_ausd: int = 0

    def add(self, other: "Money") -> None:
        """
        Take another's amounts in.
        """
        self.ausd += other.ausd
        self.rescuable_ausd += other.rescuable_ausd

    def expected_nusd(self, changed: Fraction) -> int:
        """
        What it is expected to cost, where that share of pauses changes the prefix.
        """
        kept = changed.denominator - changed.numerator
        return nusd_of(self.ausd - self.rescuable_ausd * kept // changed.denominator)


@dataclass(slots=True)
class Cell:
    """
    The requests of one class of pauses in one hour, and what they cost under each policy.
    """

    requests: int = 0
    money: dict[PolicyName, Money] = field(default_factory=lambda: {name: Money() for name in POLICIES})

    def add(self, other: "Cell") -> None:
        """
        Take another's requests in.
        """
        self.requests += other.requests
        for name, money in other.money.items():
            self.money[name].add(money)


Used = tuple[int, int, int]
"""Tokens written for 5 minutes, for 1 hour, and read."""


@dataclass(frozen=True, slots=True)
class Worlds:
    """
    One request under each policy; `rescuable` are 1-hour writes that might have been reads.
    """

    recorded: Used
    five: Used
    hour: Used
    product: Used
    hour_rescuable_tokens: int = 0
    product_rescuable_tokens: int = 0

    def by_policy(self) -> tuple[tuple[PolicyName, Used, int], ...]:
        """
        The policies by name.
        """
        return (
            ("recorded", self.recorded, 0),
            ("5m", self.five, 0),
            ("1h", self.hour, self.hour_rescuable_tokens),
            ("product", self.product, self.product_rescuable_tokens),
        )


@dataclass(slots=True)
class SessionReplay:
    """
    One session under all policies. `cells` are keyed by the class of the pause and the hour since the epoch.

    `kinds` are tokens as if no rescuable one were read; those are in `rescuable_tokens`, written under that TTL.
    `pauses` counts requests by the length of the pause before them: up to each of `PAUSE_EDGES_S`, then beyond the last.
    """

    id: str
    first_at: datetime
    last_at: datetime
    requests: int = 0
    copies: int = 0
    tally: Tally = field(default_factory=Tally)
    cells: dict[tuple[str, int], Cell] = field(default_factory=dict)
    pauses: list[int] = field(default_factory=lambda: [0] * (len(PAUSE_EDGES_S) + 1))
    kinds: dict[PolicyName, Kinds] = field(default_factory=lambda: {name: Kinds() for name in POLICIES})
    rescuable_tokens: dict[PolicyName, int] = field(default_factory=lambda: dict.fromkeys(POLICIES, 0))
    models: dict[str, int] = field(default_factory=dict)
    unpriced: dict[str, int] = field(default_factory=dict)

    def book(self, request: Recorded, idle: timedelta | None, gap: str, rates: InputRates, worlds: "Worlds") -> None:
        """
        Add what one request used in each world, and its dollars where its model has a price.
        """
        self.requests += 1
        self.last_at = max(self.last_at, request.ended_at)
        self.models[request.model] = self.models.get(request.model, 0) + 1
        priced = rates.state != "unpriced"
        if not priced:
            self.unpriced[request.model] = self.unpriced.get(request.model, 0) + 1
        slot = (gap, int(request.started_at.timestamp()) // SECONDS_PER_SLOT)
        cell = self.cells.get(slot)
        if cell is None:
            cell = self.cells[slot] = Cell()
        cell.requests += 1
        if idle is not None:
            self.pauses[bisect_left(PAUSE_EDGES_S, idle.total_seconds())] += 1
        plain = request.usage.input_tokens
        for name, (write_5m, write_1h, read), rescuable in worlds.by_policy():
            self.kinds[name].add(Kinds(plain, write_5m, write_1h, read))
            self.rescuable_tokens[name] += rescuable
            if priced:
                money = cell.money[name]
                money.ausd += rates.cost_ausd(plain, write_5m, write_1h, read)
                money.rescuable_ausd += rescuable * (rates.cache_write_1h_ausd - rates.cache_read_ausd)

    @property
    def total(self) -> dict[PolicyName, Money]:
        """
        What it costs under each policy.
        """
        sums = Cell()
        for cell in self.cells.values():
            sums.add(cell)
        return sums.money


RatesOf = Callable[[Recorded], InputRates]


def rates_by(prices: PriceTable) -> RatesOf:
    """
    The rates of a request; looked up once for each model, day, length and label.
    """
    rows: dict[tuple[str, date], Price] = {}
    known: dict[tuple[object, ...], InputRates] = {}

    def rates(request: Recorded) -> InputRates:
        usage = request.usage
        day = request.started_at.astimezone(UTC).date()
        row = rows.get((request.model, day))
        if row is None:
            row = rows[request.model, day] = prices.find(request.model, request.started_at).price
        long = row.long is not None and usage.prompt_tokens > row.long.above_tokens
        key = (request.model, day, long, usage.speed, usage.service_tier, usage.inference_geo)
        found = known.get(key)
        if found is None:
            found = known[key] = prices.input_rates(usage, request.model, request.started_at)
        return found

    return rates


def replay_session(session: Session, rates_of: RatesOf, wanted: Wanted, *, idle_prone: bool) -> SessionReplay | None:
    """
    One session under all policies; None if none of its requests is wanted.
    """
    done: SessionReplay | None = None
    copies = 0
    for one in seen(session.requests):
        request = one.request
        if not wanted.takes(request):
            copies += request.copy
            continue
        if done is None:
            done = SessionReplay(session.id, request.started_at, request.ended_at)
        _add(done, one, rates_of(request), idle_prone=idle_prone)
    if done is not None:
        done.copies = copies
    return done


def _add(done: SessionReplay, one: Seen, rates: InputRates, *, idle_prone: bool) -> None:
    request, usage = one.request, one.request.usage
    done.tally.add(one, rates if rates.state != "unpriced" else None)
    recorded = usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.cache_read_tokens
    raised = idle_prone and not is_cloud_model(request.model)
    under_hour = split(one, "1h")
    hour, rescuable = _billed(under_hour, "1h"), under_hour.rescuable_tokens
    worlds = Worlds(
        recorded,
        _billed(split(one, "5m"), "5m"),
        hour,
        hour if raised else recorded,
        rescuable,
        rescuable if raised else 0,
    )
    done.book(request, one.idle, one.gap, rates, worlds)


def _billed(found: Split, ttl: Ttl) -> Used:
    written = found.written_tokens
    return (written, 0, found.read_tokens) if ttl == "5m" else (0, written, found.read_tokens)


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    One policy over all sessions. `low_nusd` and `high_nusd` bound the difference to the bill with 90 % confidence; None
    where there are too few sessions to say, or nothing to estimate.
    """

    name: PolicyName
    kinds: Kinds
    nusd: int
    difference_nusd: int
    low_nusd: int | None = None
    high_nusd: int | None = None


@dataclass(frozen=True, slots=True)
class GapClass:
    """
    What the requests after one class of pauses cost under each policy.
    """

    name: str
    requests: int
    nusd: dict[PolicyName, int]


@dataclass(frozen=True, slots=True)
class SessionDifference:
    """
    One session, kept for an hour and for 5 minutes.
    """

    id: str
    first_at: datetime
    requests: int
    recorded_nusd: int
    five_nusd: int
    hour_nusd: int

    @property
    def difference_nusd(self) -> int:
        """
        1 hour less 5 minutes: negative where the hour was cheaper.
        """
        return self.hour_nusd - self.five_nusd


Verdict = Literal["switch", "keep", "unclear", "few", "ungraded", "nothing"]


@dataclass(frozen=True, slots=True)
class Advice:
    """
    `switch` to a policy; `keep` what there is, the best is within a hundredth of the bill; `unclear`, the interval
    holds both signs; `few` sessions; `ungraded`, the model is not to be believed; `nothing` was recorded.
    """

    verdict: Verdict
    policy: PolicyName | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """
    All sessions. `changed` is the share of survivable pauses after which the prefix had changed. `curves` hold, for each
    hour with requests, what had been spent by its end under each policy.
    """

    sessions: int
    requests: int
    copies: int
    first_at: datetime | None
    last_at: datetime | None
    models: dict[str, int]
    unpriced: dict[str, int]
    grade: Grade
    changed: Fraction
    estimates: tuple[Estimate, ...]
    gaps: tuple[GapClass, ...]
    pauses: tuple[int, ...]
    by_session: tuple[SessionDifference, ...]
    curve_hours: tuple[int, ...]
    curves: dict[PolicyName, tuple[int, ...]]
    advice: Advice

    def estimate(self, name: PolicyName) -> Estimate:
        """
        The estimate of one policy.
        """
        return next(one for one in self.estimates if one.name == name)


def summed(replays: Iterable[SessionReplay], *, seed: int = 1) -> Replay:
    """
    All sessions together; the same sessions in another order give the same answer.
    """
    done = sorted(replays, key=lambda one: (one.first_at, one.id))
    mark = grade([one.tally for one in done])
    changed = changed_share(mark.pauses, mark.pauses_lost)
    totals = [one.total for one in done]
    estimates = _estimates(done, totals, changed, seed)
    hours, curves = _curves(done, changed)
    return Replay(
        sessions=len(done),
        requests=sum(one.requests for one in done),
        copies=sum(one.copies for one in done),
        first_at=min((one.first_at for one in done), default=None),
        last_at=max((one.last_at for one in done), default=None),
        models=_counted(one.models for one in done),
        unpriced=_counted(one.unpriced for one in done),
        grade=mark,
        changed=changed,
        estimates=estimates,
        gaps=_gaps(done, changed),
        pauses=tuple(map(sum, zip(*(one.pauses for one in done), strict=True))),
        by_session=tuple(_difference(one, total, changed) for one, total in zip(done, totals, strict=True)),
        curve_hours=hours,
        curves=curves,
        advice=_advice(mark, estimates, len(done)),
    )


def changed_share(pauses: int, changed: int) -> Fraction:
    """
    How many pauses change the prefix, counted on those that the cache survived.
    """
    more, of = _CHANGED_PRIOR
    return Fraction(changed + more, pauses + of)


def _counted(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _difference(one: SessionReplay, total: dict[PolicyName, Money], changed: Fraction) -> SessionDifference:
    five, hour = total["5m"].expected_nusd(changed), total["1h"].expected_nusd(changed)
    recorded = total["recorded"].expected_nusd(changed)
    return SessionDifference(one.id, one.first_at, one.requests, recorded, five, hour)


def _gaps(done: Sequence[SessionReplay], changed: Fraction) -> tuple[GapClass, ...]:
    cells = {name: Cell() for name in GAPS}
    for one in done:
        for (gap, _), cell in one.cells.items():
            cells[gap].add(cell)
    return tuple(
        GapClass(gap, cell.requests, {name: money.expected_nusd(changed) for name, money in cell.money.items()})
        for gap, cell in cells.items()
    )


def _curves(
    done: Sequence[SessionReplay], changed: Fraction
) -> tuple[tuple[int, ...], dict[PolicyName, tuple[int, ...]]]:
    slots: dict[int, Cell] = {}
    for one in done:
        for (_, hour), cell in one.cells.items():
            slots.setdefault(hour, Cell()).add(cell)
    hours = tuple(sorted(slots))
    spent = Cell()
    curves: dict[PolicyName, list[int]] = {name: [] for name in POLICIES}
    for hour in hours:
        spent.add(slots[hour])
        for name in POLICIES:
            curves[name].append(spent.money[name].expected_nusd(changed))
    return hours, {name: tuple(curve) for name, curve in curves.items()}


def _estimates(
    done: Sequence[SessionReplay], totals: Sequence[dict[PolicyName, Money]], changed: Fraction, seed: int
) -> tuple[Estimate, ...]:
    sums = Cell()
    kinds = {name: Kinds() for name in POLICIES}
    for one, total in zip(done, totals, strict=True):
        sums.add(Cell(0, total))
        for name in POLICIES:
            kinds[name].add(_expected_kinds(one, name, changed))
    bill = sums.money["recorded"].expected_nusd(changed)
    intervals = _intervals(done, totals, seed)
    found = [
        Estimate(name, kinds[name], nusd := sums.money[name].expected_nusd(changed), nusd - bill, *intervals[name])
        for name in POLICIES
    ]
    return (*found, _optimum(done, totals, changed, bill))


def _expected_kinds(one: SessionReplay, name: PolicyName, changed: Fraction) -> Kinds:
    kinds, rescued = Kinds(), one.rescuable_tokens[name]
    rescued -= rescued * changed.numerator // changed.denominator
    kinds.add(one.kinds[name])
    kinds.add(Kinds(0, 0, -rescued, rescued))
    return kinds


def _optimum(
    done: Sequence[SessionReplay], totals: Sequence[dict[PolicyName, Money]], changed: Fraction, bill: int
) -> Estimate:
    kinds, nusd = Kinds(), 0
    for one, total in zip(done, totals, strict=True):
        name = min(_CHOICES, key=lambda choice, money=total: money[choice].expected_nusd(changed))  # type: ignore[misc]
        kinds.add(_expected_kinds(one, name, changed))
        nusd += total[name].expected_nusd(changed)
    return Estimate("optimum", kinds, nusd, nusd - bill)


_CHOICES: tuple[PolicyName, ...] = ("recorded", "5m", "1h")


def _advice(mark: Grade, estimates: Sequence[Estimate], sessions: int) -> Advice:
    """
    The cheaper of the two TTLs, where even the worse end of its interval is cheaper than what was billed.
    """
    if not sessions:
        return Advice("nothing")
    if mark.problem:
        return Advice("ungraded")
    bill = next(one for one in estimates if one.name == "recorded")
    best = min((one for one in estimates if one.name in ("5m", "1h")), key=lambda one: one.nusd)
    if -best.difference_nusd < bill.nusd * WORTH:
        return Advice("keep", best.name)
    if best.high_nusd is None:
        return Advice("few", best.name)
    return Advice("switch" if best.high_nusd < 0 else "unclear", best.name)


_MOST_DRAWS = 300_000
_RESAMPLES = 1000
_LEAST_RESAMPLES = 200

Interval = tuple[int | None, int | None]


def _intervals(
    done: Sequence[SessionReplay], totals: Sequence[dict[PolicyName, Money]], seed: int
) -> dict[PolicyName, Interval]:
    """
    A bootstrap over sessions: drawn with replacement, 5th and 95th percentile of each policy's difference to the bill.

    The share of pauses that change a prefix is counted anew in every draw, so its uncertainty is in the interval.
    """
    if len(done) < LEAST_SESSIONS:
        return dict.fromkeys(POLICIES, (None, None))
    rows = [
        (
            one.tally.pauses,
            one.tally.pauses_lost,
            *(nusd_of(total[name].ausd - total["recorded"].ausd) for name in POLICIES),
            *(nusd_of(total[name].rescuable_ausd) for name in POLICIES),
        )
        for one, total in zip(done, totals, strict=True)
    ]
    samples: dict[PolicyName, list[int]] = {name: [] for name in POLICIES}
    state = seed
    for _ in range(max(_LEAST_RESAMPLES, min(_RESAMPLES, _MOST_DRAWS // len(rows)))):
        drawn = []
        for _ in rows:
            state, index = _draw(state, len(rows))
            drawn.append(rows[index])
        sums = [sum(column) for column in zip(*drawn, strict=True)]
        changed = changed_share(sums[0], sums[1])
        for place, name in enumerate(POLICIES, 2):
            rescued = sums[place + len(POLICIES)]
            samples[name].append(sums[place] - rescued + rescued * changed.numerator // changed.denominator)
    return {name: _percentiles(values) for name, values in samples.items()}


def _percentiles(values: list[int]) -> tuple[int, int]:
    ordered = sorted(values)
    return ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]


_WORD = 2**64 - 1


def _draw(state: int, below: int) -> tuple[int, int]:
    """
    The next state of a splitmix64 generator, and a number from 0 up to and excluding `below`.

    Source: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.
    """
    state = (state + 0x9E3779B97F4A7C15) & _WORD
    mixed = state
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
    return state, ((mixed ^ (mixed >> 31)) * below) >> 64
