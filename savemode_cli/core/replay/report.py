"""
The result of a replay of many sessions: sums, estimates, advice.

Rule of this file: it sums and compares what `sessions` computed for each session.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from savemode_cli.core.replay.bootstrap import Interval, difference, intervals
from savemode_cli.core.replay.choices import REPLAY_CHOICES
from savemode_cli.core.replay.grade import Grade, grade
from savemode_cli.core.replay.inference import GAPS
from savemode_cli.core.replay.losses import TurnCounts, turn_counts
from savemode_cli.core.replay.policies import REPLAY_POLICIES, PolicyName
from savemode_cli.core.replay.prompt_tokens import PromptTokens
from savemode_cli.core.replay.segments import PolicySum, total_of
from savemode_cli.core.replay.sessions import Cell, SessionReplay
from savemode_cli.core.replay.staleness import Stale, stale_sessions
from savemode_cli.core.replay.stated import unlisted

WORTH = Fraction(1, 100)
"""A smaller share of the bill is not worth a change."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    One policy over all sessions.
    """

    name: PolicyName
    tokens: PromptTokens
    """The expected tokens."""
    nusd: int
    """The expected cost in nano-dollars."""
    difference_nusd: int
    """That cost minus the bill."""
    low_nusd: int | None = None
    """
    The lower bound of the difference with 90 % confidence; None if there are too few sessions, or nothing to estimate.
    """
    high_nusd: int | None = None
    """The upper bound."""
    regret_nusd: int | None = None
    """
    That cost minus the cost of the better TTL of each session, chosen in hindsight; None for policies without a choice.
    """


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
    One session with both TTLs.
    """

    id: str
    first_at: datetime
    requests: int
    recorded_nusd: int
    five_nusd: int
    hour_nusd: int
    by_requests: bool = False
    """Whether its requests were replayed breakpoint by breakpoint, and not only its usage and times."""

    @property
    def difference_nusd(self) -> int:
        """
        The cost with 1 hour minus the cost with 5 minutes: negative if 1 hour was cheaper.
        """
        return self.hour_nusd - self.five_nusd


Verdict = Literal["switch", "keep", "unclear", "few", "ungraded", "nothing"]


@dataclass(frozen=True, slots=True)
class Advice:
    """
    What to do.

        switch      to another TTL
        keep        what there is: the best policy is within a hundredth of the bill
        unclear     the interval holds both signs
        few         there are too few sessions
        ungraded    the model's predictions are not accurate enough
        nothing     nothing was recorded
    """

    verdict: Verdict
    policy: PolicyName | None = None


@dataclass(frozen=True, slots=True)
class WholeBill:
    """
    The whole cost of the recorded requests, without those of models that have no price. In nano-dollars.
    """

    prompts_nusd: int
    """The prompts, as the policy `recorded` has them, including those of stale sessions."""
    beside_nusd: int
    """The part of `prompts_nusd` that compactions, advisors and attempts of other models used."""
    output_nusd: int
    """Output and web searches."""
    partial_outputs: int
    """Requests of which only the beginning of the output was recorded. They cost more than `output_nusd` shows."""
    unlisted_nusd: int
    """What only the client's own counter shows: calls without a recorded answer, such as compactions."""
    uncertain_counts: int
    """Sessions whose counter cannot be compared, because the price of a model is unknown."""

    @property
    def total_nusd(self) -> int:
        """
        The sum of all parts.
        """
        return self.prompts_nusd + self.output_nusd + self.unlisted_nusd


@dataclass(frozen=True, slots=True)
class Replay:
    """
    All sessions. Estimates leave out stale sessions.
    """

    sessions: int
    requests: int
    copies: int
    """Requests that are in several files, such as those that a resumed session repeats. They count once."""
    repeated: int
    """How many copies within a session, as in side chains, were left out."""
    sharing: int
    """Requests that have the same message ID as another one and are different requests."""
    first_at: datetime | None
    last_at: datetime | None
    models: dict[str, int]
    unpriced: dict[str, int]
    grade: Grade
    stale: tuple[Stale, ...]
    """The newest sessions of models that behave differently from the older ones."""
    changed: Fraction
    """The share of pauses of 5 to 60 minutes after which the prefix has changed."""
    rescuable_pauses: int
    """How many requests followed such a pause that the recorded cache did not survive."""
    bill: WholeBill
    estimates: tuple[Estimate, ...]
    gaps: tuple[GapClass, ...]
    pauses: tuple[int, ...]
    by_session: tuple[SessionDifference, ...]
    curve_hours: tuple[int, ...]
    curves: dict[PolicyName, tuple[int, ...]]
    """For each hour with requests, what had been spent by its end under each policy."""
    advice: Advice

    def estimate(self, name: PolicyName) -> Estimate:
        """
        The estimate of one policy.
        """
        return next(estimate for estimate in self.estimates if estimate.name == name)


def summed(replays: Iterable[SessionReplay], *, seed: int = 1) -> Replay:
    """
    Sum up all sessions. The order of the sessions does not change the result.

    Args:
        replays: the sessions.
        seed: the seed of the bootstrap.
    """
    every = sorted(replays, key=lambda session: (session.first_at, session.id))
    counted = [session for session in every if session.requests]
    stale = stale_sessions(counted)
    left_out = {id(session) for one in stale for session in one.sessions}
    fresh = [session for session in counted if id(session) not in left_out]
    turns = [turn_counts(session.tally.losses) for session in fresh]
    changed = _total(turns).changed_share
    totals = [session.total for session in fresh]
    estimates = _estimates(fresh, totals, turns, changed, seed)
    result = grade([session.tally for session in fresh])
    hours, curves = _curves(fresh, changed)
    return Replay(
        sessions=len(counted),
        requests=sum(session.requests for session in counted),
        copies=sum(session.copies for session in every),
        repeated=sum(session.repeated for session in every),
        sharing=sum(session.sharing for session in every),
        first_at=min((session.first_at for session in counted), default=None),
        last_at=max((session.last_at for session in counted), default=None),
        models=_counted(session.models for session in counted),
        unpriced=_counted(session.unpriced for session in counted),
        grade=result,
        stale=tuple(stale),
        changed=changed,
        rescuable_pauses=sum(session.tally.rescuable for session in fresh),
        bill=_bill(every),
        estimates=estimates,
        gaps=_gaps(fresh, changed),
        pauses=tuple(map(sum, zip(*(session.pauses for session in counted), strict=True))),
        by_session=tuple(_difference(session, total, changed) for session, total in zip(fresh, totals, strict=True)),
        curve_hours=hours,
        curves=curves,
        advice=_advice(result, estimates, len(fresh)),
    )


def _total(turns: Iterable[TurnCounts]) -> TurnCounts:
    total = TurnCounts()
    for counts in turns:
        total.add(counts)
    return total


def _bill(sessions: Sequence[SessionReplay]) -> WholeBill:
    recorded = total_of(session.total_under("recorded") for session in sessions)
    counts = unlisted(session.account for session in sessions if session.account is not None)
    return WholeBill(
        prompts_nusd=recorded.expected_nusd(Fraction(1)),
        beside_nusd=sum(session.beside_nusd for session in sessions),
        output_nusd=sum(session.output_nusd for session in sessions),
        partial_outputs=sum(session.partial_outputs for session in sessions),
        unlisted_nusd=sum(count.nusd for count in counts),
        uncertain_counts=sum(session.uncertain_count for session in sessions),
    )


def _counted(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _difference(session: SessionReplay, total: dict[PolicyName, PolicySum], changed: Fraction) -> SessionDifference:
    recorded, five, hour = (total[name].expected_nusd(changed) for name in ("recorded", "5m", "1h"))
    return SessionDifference(session.id, session.first_at, session.requests, recorded, five, hour, session.by_requests)


def _gaps(sessions: Sequence[SessionReplay], changed: Fraction) -> tuple[GapClass, ...]:
    cells = {name: Cell() for name in GAPS}
    for session in sessions:
        for (gap, _), cell in session.cells.items():
            cells[gap].add(cell)
    return tuple(
        GapClass(gap, cell.requests, {name: one.expected_nusd(changed) for name, one in cell.sums.items()})
        for gap, cell in cells.items()
    )


def _curves(
    sessions: Sequence[SessionReplay], changed: Fraction
) -> tuple[tuple[int, ...], dict[PolicyName, tuple[int, ...]]]:
    slots: dict[int, list[Cell]] = {}
    for session in sessions:
        for (_, hour), cell in session.cells.items():
            slots.setdefault(hour, []).append(cell)
    hours = tuple(sorted(slots))
    spent = Cell()
    curves: dict[PolicyName, list[int]] = {name: [] for name in REPLAY_POLICIES}
    for hour in hours:
        for cell in slots[hour]:
            spent.add(cell)
        for name, curve in curves.items():
            curve.append(spent.sums[name].expected_nusd(changed))
    return hours, {name: tuple(curve) for name, curve in curves.items()}


def _estimates(
    sessions: Sequence[SessionReplay],
    totals: Sequence[dict[PolicyName, PolicySum]],
    turns: Sequence[TurnCounts],
    changed: Fraction,
    seed: int,
) -> tuple[Estimate, ...]:
    rows = {name: [total[name] for total in totals] for name in REPLAY_POLICIES}
    rows |= {name: choice.choose(sessions, changed) for name, choice in REPLAY_CHOICES.items()}
    bill = [total["recorded"].ausd for total in totals]
    differences = {
        name: [difference(one.ausd - billed, one.rescuable_ausd) for one, billed in zip(row, bill, strict=True)]
        for name, row in rows.items()
        if name not in REPLAY_CHOICES or not REPLAY_CHOICES[name].uses_hindsight
    }
    bounds = intervals(turns, differences, seed)
    best_nusd = sum(min(total[name].expected_nusd(changed) for name in ("5m", "1h")) for total in totals)
    bill_nusd = total_of(rows["recorded"]).expected_nusd(changed)
    return tuple(
        _estimate(name, total_of(row), changed, bill_nusd, bounds.get(name, (None, None)), best_nusd)
        for name, row in rows.items()
    )


def _estimate(
    name: PolicyName, total: PolicySum, changed: Fraction, bill_nusd: int, bounds: Interval, best_nusd: int
) -> Estimate:
    nusd = total.expected_nusd(changed)
    regret_nusd = nusd - best_nusd if name in REPLAY_CHOICES and not REPLAY_CHOICES[name].uses_hindsight else None
    return Estimate(name, total.expected_tokens(changed), nusd, nusd - bill_nusd, *bounds, regret_nusd)


def _advice(result: Grade, estimates: Sequence[Estimate], sessions: int) -> Advice:
    """
    The cheaper of the two TTLs, if even the upper bound of its difference is below the bill.
    """
    if not sessions:
        return Advice("nothing")
    if result.problem:
        return Advice("ungraded")
    bill = next(estimate for estimate in estimates if estimate.name == "recorded")
    best = min((estimate for estimate in estimates if estimate.name in ("5m", "1h")), key=lambda one: one.nusd)
    if -best.difference_nusd < bill.nusd * WORTH:
        return Advice("keep", best.name)
    if best.high_nusd is None:
        return Advice("few", best.name)
    return Advice("switch" if best.high_nusd < 0 else "unclear", best.name)
