"""
What the policy `auto` learns: the runs of a person's lanes, while their requests are answered.

Rule of this file: observed requests are priced for both TTLs by the rules of `replay`, from usage and times alone. A
segment is known when it is over, so a decision never depends on a conversation that still continues.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from savemode_cli.core.cache.lifetimes import GRACE, LIFETIMES
from savemode_cli.core.money.pricing import ausd_of
from savemode_cli.core.replay.inference import LaneCaches
from savemode_cli.core.replay.losses import PRIORS
from savemode_cli.core.replay.policies import counterfactuals
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Recorded
from savemode_cli.core.replay.segments import Segment, new_segment, segment_start
from savemode_cli.core.replay.sessions import SessionReplay
from savemode_cli.core.upgrade.auto import Run, Situation
from savemode_cli.core.upgrade.pauses import window_of
from savemode_cli.core.upgrade.policy import MOST_PINGS

KNOWN_AFTER = LIFETIMES["5m"] + GRACE
"""A segment is known to be over when a 5-minute cache of it has expired."""

MOST_LANES = 10_000

_CHANGED = PRIORS["turn_over_5m"].rate
"""A decision must not know how often prefixes change in the whole record."""


def with_segment(earlier: Iterable[Run], key: str, segment: Segment) -> list[Run]:
    """
    The runs of a lane, including its next segment.

    Args:
        earlier: the runs that the segment continues, if it begins after a pause of up to an hour.
        key: the key of the run that begins with the segment.
        segment: the segment.
    """
    five, hour, warm = (one.expected_nusd(_CHANGED) for one in (segment.five, segment.hour, segment.warm))
    kept = segment.hour_kept.expected_nusd(_CHANGED)
    warm_kept = warm if segment.is_agent else segment.warm_kept.expected_nusd(_CHANGED)
    runs = [
        Run(
            run.key,
            run.situation,
            segment.ended_at,
            run.five_nusd + five,
            run.hour_nusd + kept,
            None if run.warm_nusd is None else run.warm_nusd + warm_kept,
            _returned(segment, run),
        )
        for run in (earlier if segment.start == "pause" else ())
    ]
    situation: Situation = "agent" if segment.is_agent else "pause" if runs else "start"
    return [*runs, Run(key, situation, segment.ended_at, five, hour, warm, _returned(segment))]


def _returned(segment: Segment, earlier: Run | None = None) -> tuple[int, ...] | None:
    """
    The pauses of a run by the window in which they ended, including those of its next segment and the one before that.
    """
    if earlier is not None and earlier.returned is None:
        return None
    counts = [0] * MOST_PINGS if earlier is None or earlier.returned is None else [*earlier.returned]
    counts[0] += segment.short_pauses
    window = None if earlier is None else window_of(segment.started_at - earlier.ended_at)
    if window is not None and window < len(counts):
        counts[window] += 1
    return tuple(counts)


def run_key(session: str, lane: str, index: int) -> str:
    """
    The key of a run: a digest, so that nothing of the session can be read from it.

    Args:
        session: the ID of the session.
        lane: the key of the lane in it.
        index: the number of the segment in its lane.
    """
    return sha256(f"{session}\0{lane}\0{index}".encode()).hexdigest()[:24]


def runs_of(session: SessionReplay) -> Iterator[Run]:
    """
    All runs of a session that was replayed.
    """
    for lane, segments in session.segments.lanes.items():
        runs: list[Run] = []
        known: dict[str, Run] = {}
        for index, segment in enumerate(segments):
            runs = with_segment(runs, run_key(session.id, lane, index), segment)
            known |= {run.key: run for run in runs}
        yield from known.values()


@dataclass(slots=True)
class _Lane:
    caches: LaneCaches = field(default_factory=LaneCaches)
    index: int = -1
    before: list[Run] = field(default_factory=list)
    """The runs that the segment may continue."""
    segment: Segment | None = None


class LaneLearner:
    """
    Makes runs from requests when they are answered.
    """

    def __init__(self, rates_of: RequestRates) -> None:
        """
        Create an empty learner.

        Args:
            rates_of: the rates at which requests are billed. Requests for unknown models are ignored.
        """
        self._rates_of = rates_of
        self._lanes: OrderedDict[tuple[str, str], _Lane] = OrderedDict()
        self._open: OrderedDict[tuple[str, str], _Lane] = OrderedDict()
        """The lanes whose segment has changed since its runs were taken, by the time of the last answer."""

    def answered(self, request: Recorded) -> list[Run]:
        """
        Count one request.

        Args:
            request: the request, with the digest or ID of its session.

        Returns:
            The runs that become known: those of the previous segment, if a new one begins.
        """
        rates = self._rates_of(request)
        if rates.state == "unpriced" or not request.billed:
            return []
        key = request.session, f"{request.agent} {request.model}"
        lane = self._lanes.setdefault(key, _Lane())
        item = lane.caches.follow(request)
        start = segment_start(item)
        known: list[Run] = []
        if lane.segment is None or start is not None:
            known = lane.before = self._runs(key, lane)
            lane.index += 1
            lane.segment = new_segment(request, start if lane.segment is not None and start is not None else "cold")
        beside = ausd_of(self._rates_of.rest(request).beside_nusd)
        lane.segment.count(request, start, counterfactuals(item, upgrades=False), rates, beside)
        self._keep(key, lane)
        return known

    def known(self, now: datetime) -> list[Run]:
        """
        The runs whose segments ended before a time, and that were not returned before.
        """
        runs: list[Run] = []
        while self._open:
            key, lane = next(iter(self._open.items()))
            if lane.segment is not None and lane.segment.ended_at + KNOWN_AFTER > now:
                break
            del self._open[key]
            runs += self._runs(key, lane)
        return runs

    def rest(self) -> list[Run]:
        """
        The runs of all segments that were not returned before, ended or not.
        """
        runs = [run for key, lane in self._open.items() for run in self._runs(key, lane)]
        self._open.clear()
        return runs

    def _runs(self, key: tuple[str, str], lane: _Lane) -> list[Run]:
        if lane.segment is None:
            return []
        return with_segment(lane.before, run_key(*key, lane.index), lane.segment)

    def _keep(self, key: tuple[str, str], lane: _Lane) -> None:
        self._lanes.move_to_end(key)
        self._open[key] = lane
        self._open.move_to_end(key)
        if len(self._lanes) > MOST_LANES:
            oldest, _ = self._lanes.popitem(last=False)
            self._open.pop(oldest, None)
