"""
Policies that choose between 5 minutes and 1 hour for each session or lane.

Rule of this file: a choice uses what `sessions` has priced for both TTLs. `optimum` knows how each session continues;
no policy that keeps its choice for a session can be better. `auto` knows only what was over when a segment began.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from heapq import heappop, heappush

from savemode_cli.core.cache.lifetimes import LIFETIMES
from savemode_cli.core.replay.learning import KNOWN_AFTER, with_segment
from savemode_cli.core.replay.policies import KEPT_WARM
from savemode_cli.core.replay.segments import PolicySum, Segment
from savemode_cli.core.replay.sessions import SessionReplay
from savemode_cli.core.upgrade.auto import Decision, History, KeepWarmTerms, LaneChoice, Run, choose

Choose = Callable[[Sequence[SessionReplay], Fraction], list[PolicySum]]
"""
What each session uses and costs with the chosen TTLs. The second argument is the share of pauses after which the prefix
has changed.
"""


@dataclass(frozen=True, slots=True)
class ReplayChoice:
    """
    One row of a replay that chooses between the TTLs.
    """

    name: str
    """The key in `REPLAY_CHOICES` and in JSON."""
    title: str
    """The name in output; 20 characters at most."""
    description: str
    """What it means, for help."""
    choose: Choose
    uses_hindsight: bool = False
    """Whether it uses information that is not available at the time of a request."""


def _best(sessions: Sequence[SessionReplay], changed: Fraction) -> list[PolicySum]:
    """
    For each session the cheapest of the record and both TTLs.
    """
    return [min(map(session.total_under, _BEST_OF), key=lambda s: s.expected_nusd(changed)) for session in sessions]


_BEST_OF = ("recorded", "5m", "1h")


def auto(sessions: Sequence[SessionReplay], keep_warm: KeepWarmTerms | None = None) -> list[PolicySum]:
    """
    What each session uses and costs if each segment has what `upgrade.auto` decides from the segments that were over when
    it began.

    Args:
        sessions: the sessions.
        keep_warm: what is assumed of keep-warm; None if it is off.
    """
    sums = [PolicySum() for _ in sessions]
    learner = Learner()
    lanes: dict[tuple[int, str], LaneChoice] = {}
    for number, lane, index, segment in in_order(sessions):
        key = (number, lane)
        before = lanes.get(key)
        now = segment.started_at
        decision = choose(before, learner.history(now), now, is_agent=segment.is_agent, keep_warm=keep_warm)
        sums[number].add(chosen(segment, decision, before))
        kept_until = segment.ended_at + KEPT_WARM + LIFETIMES["5m"] if decision.keeps_warm else None
        lanes[key] = LaneChoice(decision, segment.ended_at, kept_until)
        learner.take(f"{number} {lane}", index, segment)
    return sums


def chosen(segment: Segment, decision: Decision, before: LaneChoice | None) -> PolicySum:
    """
    What a segment uses and costs with the TTL that was chosen for it.

    Args:
        segment: the segment.
        decision: what was decided when it began.
        before: what was decided for its lane before; None if it is the lane's first segment.
    """
    is_kept = before is not None and decision is before.decision and segment.start == "pause"
    if decision.keeps_warm:
        return segment.warm_kept if is_kept else segment.warm
    if decision.ttl == "5m":
        return segment.five
    return segment.hour_kept if is_kept else segment.hour


def in_order(sessions: Sequence[SessionReplay]) -> Iterator[tuple[int, str, int, Segment]]:
    """
    All segments by the time at which they began: the number of the session, the lane, and the number of the segment in
    the lane.
    """
    every = [
        (segment.started_at, number, lane, index, segment)
        for number, session in enumerate(sessions)
        for lane, segments in session.segments.lanes.items()
        for index, segment in enumerate(segments)
    ]
    every.sort(key=lambda entry: entry[:4])
    for _, number, lane, index, segment in every:
        yield number, lane, index, segment


class Learner:
    """
    Makes runs from segments, and adds each to a history at the time at which it is known.
    """

    def __init__(self) -> None:
        self._history = History()
        self._waiting: list[tuple[datetime, int, list[Run]]] = []
        self._open: dict[str, list[Run]] = {}
        self._count = 0

    def history(self, now: datetime) -> History:
        """
        What is known at some time. Times must not decrease.
        """
        while self._waiting and self._waiting[0][0] <= now:
            for run in heappop(self._waiting)[2]:
                self._history.put(run)
        return self._history

    def take(self, lane: str, index: int, segment: Segment) -> None:
        """
        Add the next segment of a lane.

        Args:
            lane: the key of the lane.
            index: the number of the segment in its lane.
            segment: the segment. It is added to the runs of its lane that it continues, and begins a new one.
        """
        runs = self._open[lane] = with_segment(self._open.get(lane, ()), f"{lane} {index}", segment)
        self._count += 1
        heappush(self._waiting, (segment.ended_at + KNOWN_AFTER, self._count, runs))


REPLAY_CHOICES: dict[str, ReplayChoice] = {
    choice.name: choice
    for choice in (
        ReplayChoice(
            "auto",
            "auto",
            "5m or 1h for each lane, from what was known at the time",
            lambda sessions, _: auto(sessions),
        ),
        ReplayChoice(
            "auto-keep-warm",
            "auto, kept warm",
            "5m, 1h, or 5m kept warm for each lane, from what was known at the time",
            lambda sessions, _: auto(sessions, KeepWarmTerms()),
        ),
        ReplayChoice("optimum", "best in hindsight", "the cheapest policy of each session", _best, uses_hindsight=True),
    )
}
"""By name, in the order of the rows, after those of `REPLAY_POLICIES`."""
