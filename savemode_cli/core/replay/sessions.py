"""
Recorded sessions under other cache TTLs: what each policy would have cost.

Rule of this file: `recorded` is the bill, to the nano-dollar. Every other policy is that bill plus what `inference` can
infer, on the input side only. Sessions are replayed one by one, in any order, and then summed.

A pause that only the longer TTL survives saves a rewrite, unless the client had changed the prefix meanwhile. How often
that happens is counted on the pauses that the recorded cache survived (see `losses`).
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from savemode_cli.core.money.pricing import ausd_of
from savemode_cli.core.replay.grade import Tally
from savemode_cli.core.replay.inference import LaneRequest, lane_requests
from savemode_cli.core.replay.policies import REPLAY_POLICIES, Counterfactuals, PolicyName, counterfactuals
from savemode_cli.core.replay.rates import RequestRates, Rest
from savemode_cli.core.replay.recording import Recorded, Session, Wanted
from savemode_cli.core.replay.segments import PolicySum, Segments, SegmentStart, segment_start, total_of
from savemode_cli.core.replay.stated import Account, account
from savemode_cli.core.wire.models import is_cloud_model

SECONDS_PER_SLOT = 3600

PAUSE_EDGES_S = (60, 120, 240, 300, 600, 1200, 2400, 3600, 7200, 28_800)
"""The classes of the histogram of pauses. 5 minutes and 1 hour are among them."""


def _sums() -> dict[PolicyName, PolicySum]:
    return {name: PolicySum() for name in REPLAY_POLICIES}


@dataclass(slots=True)
class Cell:
    """
    The requests of one class of pauses in one hour, under each policy.
    """

    requests: int = 0
    sums: dict[PolicyName, PolicySum] = field(default_factory=_sums)

    def add(self, other: "Cell") -> None:
        """
        Add the requests of another.
        """
        self.requests += other.requests
        for name, policy_sum in other.sums.items():
            self.sums[name].add(policy_sum)


@dataclass(slots=True)
class SessionReplay:
    """
    One session under all policies.
    """

    id: str
    first_at: datetime
    """The start of its first request."""
    last_at: datetime
    """The end of its last answer."""
    requests: int = 0
    copies: int = 0
    """Requests that are also in the files of another session, and are counted there."""
    repeated: int = 0
    """How many copies within the session, as in side chains, were left out."""
    sharing: int = 0
    """Requests that have the same message ID as another one and are different requests."""
    tally: Tally = field(default_factory=Tally)
    """What it contributes to the grade."""
    cells: dict[tuple[str, int], Cell] = field(default_factory=dict)
    """By class of the pause, and hour since the epoch."""
    segments: Segments = field(default_factory=Segments)
    pauses: list[int] = field(default_factory=lambda: [0] * (len(PAUSE_EDGES_S) + 1))
    """The number of requests by the length of the pause before them: up to each of `PAUSE_EDGES_S`, then longer."""
    models: dict[str, int] = field(default_factory=dict)
    """Requests by model."""
    unpriced: dict[str, int] = field(default_factory=dict)
    """Requests by model, for models without a price."""
    beside_nusd: int = 0
    """The part of the dollars in `cells` that compactions, advisors and attempts of other models cost."""
    output_nusd: int = 0
    """Output and web searches of requests at known prices. `cells` does not include them."""
    partial_outputs: int = 0
    """Requests of which only the beginning of the output was recorded."""
    account: Account | None = None
    """The client's own counter; None if it wrote none, or if it cannot be compared."""
    uncertain_count: bool = False
    """Whether the client's counter cannot be compared, because the price of a model is unknown."""
    by_requests: bool = False
    """Whether its requests were replayed breakpoint by breakpoint, and not only its usage and times."""

    def book(
        self,
        request: Recorded,
        lane: str,
        idle: timedelta | None,
        gap: str,
        pause: SegmentStart | None,
        rates_of: RequestRates,
        results: Counterfactuals,
    ) -> None:
        """
        Add what one request used under each policy, and what that cost if its model has a price.

        Args:
            request: the request.
            lane: its lane.
            idle: the pause before it; None if it is the first of its lane.
            gap: the class of that pause.
            pause: how a segment of the lane begins with it; None if it belongs to the last one.
            rates_of: the rates at which it was billed.
            results: what it would have used under each policy.
        """
        self.requests += 1
        self.last_at = max(self.last_at, request.ended_at)
        self.models[request.model] = self.models.get(request.model, 0) + 1
        self.partial_outputs += request.partial_output
        if idle is not None:
            self.pauses[bisect_left(PAUSE_EDGES_S, idle.total_seconds())] += 1
        found = rates_of(request)
        rates = found if found.state != "unpriced" else None
        rest = rates_of.rest(request) if rates is not None else Rest(0, 0, (request.model,))
        for model in rest.unpriced:
            self.unpriced[model] = self.unpriced.get(model, 0) + 1
        self.beside_nusd += rest.beside_nusd
        self.output_nusd += rest.output_nusd
        beside_ausd = ausd_of(rest.beside_nusd)
        cell = self._cell(gap, request)
        cell.requests += 1
        for name, result in results.items():
            cell.sums[name].count(request.usage.tokens.input, result, rates, beside_ausd)
        self.segments.count(lane, request, pause, results, rates, beside_ausd)

    def take_lines_of(self, other: "SessionReplay") -> None:
        """
        Add what only the lines of the answers tell about the same session: copies, and the client's own counter.

        Args:
            other: the session, replayed by its usage and times.
        """
        self.copies += other.copies
        self.repeated += other.repeated
        self.sharing += other.sharing
        self.account = self.account or other.account
        self.uncertain_count = self.uncertain_count or other.uncertain_count

    def _cell(self, gap: str, request: Recorded) -> Cell:
        key = (gap, int(request.started_at.timestamp()) // SECONDS_PER_SLOT)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = Cell()
        return cell

    @property
    def total(self) -> dict[PolicyName, PolicySum]:
        """
        What it uses and costs under each policy.
        """
        return {name: self.total_under(name) for name in REPLAY_POLICIES}

    def total_under(self, name: PolicyName) -> PolicySum:
        """
        What it uses and costs under one policy.
        """
        return total_of(cell.sums[name] for cell in self.cells.values())


def replay_session(
    session: Session,
    rates_of: RequestRates,
    wanted: Wanted,
    *,
    idle_prone: bool,
    list_rates: RequestRates | None = None,
) -> SessionReplay | None:
    """
    Replay one session under all policies; None if no request of it is wanted.

    Args:
        session: its requests, and the client's counter of their cost.
        rates_of: the rates at which it was billed.
        wanted: which requests count. The client's counter covers all requests: with a filter it is left out.
        idle_prone: whether the product's rule upgrades it.
        list_rates: the rates with which the client counts; by default `rates_of`.
    """
    replay: SessionReplay | None = None
    copies = 0
    for item in lane_requests(session.requests):
        request = item.request
        if not wanted.takes(request):
            copies += request.copy
            continue
        if replay is None:
            replay = SessionReplay(session.id, request.started_at, request.ended_at)
        _add(replay, item, rates_of, idle_prone=idle_prone)
    if session.stated and wanted == Wanted():
        at = session.stated[0].at
        replay = replay or SessionReplay(session.id, at, at)
        replay.account = account(session, (list_rates or rates_of).whole_nusd)
        replay.uncertain_count = replay.account is None
    if replay is not None:
        replay.copies, replay.repeated, replay.sharing = copies, session.repeated, session.sharing
    return replay


def _add(replay: SessionReplay, item: LaneRequest, rates_of: RequestRates, *, idle_prone: bool) -> None:
    request = item.request
    rates = rates_of(request)
    replay.tally.add(item, rates if rates.state != "unpriced" else None)
    results = counterfactuals(item, upgrades=idle_prone and not is_cloud_model(request.model))
    lane = f"{request.agent} {request.model}"
    replay.book(request, lane, item.idle, item.gap, segment_start(item), rates_of, results)
