"""
Sets of sessions that nobody recorded: recorded ones resampled, with other pauses, prices and habits.

Rule of this file: the same sessions and the same seed give the same set. What a request reads is what a 1-hour cache would
have read, so a set is as good as a record of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp
from random import Random

from msgspec import structs

from savemode_cli.core.replay.inference import LaneRequest, lane_requests
from savemode_cli.core.replay.recording import Recorded, Session

BEGIN = datetime(2026, 9, 1, 8, tzinfo=UTC)
MODELS = ("claude-opus-4-6", "claude-opus-5-5", "claude-sonnet-5", "claude-fable-5-1")
"""Models whose reads cost a tenth, a twentieth, a tenth and a fortieth of their input."""


@dataclass(frozen=True)
class Habits:
    """
    How one invented person works.
    """

    sessions: int
    pause_factor: float
    """By how much longer than the recorded person this one pauses."""
    changes: float
    """How often the prefix has changed after a long pause."""
    heads: float
    """How often others keep the head warm."""
    agents: bool
    model: str
    pool: int
    """From how many recorded sessions theirs are drawn."""


def habits(random: Random) -> Habits:
    """
    Some person's.
    """
    return Habits(
        sessions=random.choice((6, 10, 20, 40, 60)),
        pause_factor=exp(random.gauss(0, 1)),
        changes=random.uniform(0.03, 0.2),
        heads=random.choice((0.0, 0.8)),
        agents=random.random() < 0.6,
        model=random.choice(MODELS),
        pool=random.choice((8, 20, 200)),
    )


def perturbed(sessions: Sequence[Session], seed: int) -> list[Session]:
    """
    A set of sessions of one invented person, drawn from recorded ones.
    """
    random = Random(seed)
    person = habits(random)
    pool = random.sample(list(sessions), min(person.pool, len(sessions)))
    made, at = [], BEGIN
    for number in range(person.sessions):
        session = _session(random.choice(pool), f"p{seed}-{number}", at, person, random)
        if session.requests:
            made.append(session)
            at = max(request.ended_at for request in session.requests)
        at += timedelta(seconds=random.expovariate(1 / 3600) * random.choice((0.1, 1, 10)))
    return made


def _session(origin: Session, name: str, at: datetime, person: Habits, random: Random) -> Session:
    """
    One session, lane by lane, begun at some time.
    """
    factor = person.pause_factor * exp(random.gauss(0, 0.5))
    lanes: dict[str, list[LaneRequest]] = {}
    for item in lane_requests(origin.requests):
        request = item.request
        if not request.copy and (person.agents or not request.agent):
            lanes.setdefault(f"{request.agent} {request.model}", []).append(item)
    first = min((items[0].request.started_at for items in lanes.values()), default=at)
    requests = [
        request
        for items in lanes.values()
        for request in _lane(items, name, at + (items[0].request.started_at - first), person, factor, random)
    ]
    return Session(name, tuple(sorted(requests, key=lambda request: request.started_at)))


def _lane(
    items: Sequence[LaneRequest], name: str, at: datetime, person: Habits, factor: float, random: Random
) -> Iterator[Recorded]:
    head, left = random.randrange(9_000, 30_000), 0
    for item in items:
        request, cached = item.request, item.cached_tokens
        idle = 0.0 if item.idle is None else item.idle.total_seconds()
        idle *= factor if request.opens_turn and idle > 20 else 1
        at += timedelta(seconds=idle)
        changed = random.random() < (person.changes * (1 if idle > 240 else 0.5) if request.opens_turn else 0.001)
        warm_head = min(head, cached) if random.random() < person.heads else 0
        warm = min(head, cached) if changed or item.shrunk else min(left, cached)
        read = warm if left and idle <= 3600 else warm_head
        took = request.ended_at - request.started_at
        usage = structs.replace(
            request.usage,
            tokens=structs.replace(request.usage.tokens, write_5m=0, write_1h=cached - read, read=read),
            extra=(),
            prefix_tokens=None,
        )
        yield structs.replace(
            request, session=name, model=person.model, started_at=at, ended_at=at + took, usage=usage, copy=False
        )
        at += took
        left = cached
