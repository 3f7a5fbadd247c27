"""
What sessions cost according to the client's own counter, and how much of it no recorded answer explains.

Rule of this file: a counter is cumulative, so two readings are never added. What counts is how much the counter grew,
minus the cost of the answers that were recorded meanwhile.

Claude Code writes its counter at the end of each run, in a `cost-state` line. Calls without a recorded answer, such as
those that compact a conversation, are in no other line. A resumed session continues the counter of its last run. A
forked session, and a session that began in the same process, continues the counter of another session.
Source: observed with Claude Code 2.1.332: runs, resumed runs and forks, with and without a compaction.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from savemode_cli.core.replay.recording import Recorded, Session

_NOISE_NUSD = 1000
"""
A smaller difference has no meaning: the client adds floating-point dollars, and each of savemode's bills is rounded up.
"""

CostOf = Callable[[Recorded], int | None]
"""The whole cost of a request in nano-dollars; None if its model has no price."""


@dataclass(frozen=True, slots=True)
class Reading:
    """
    The client's counter at one time, and what the session's own answers had cost until then.
    """

    stated_nusd: int
    known_nusd: int
    at: datetime
    after: datetime | None
    """The end of the last answer before it; None if there is none."""


@dataclass(frozen=True, slots=True)
class Account:
    """
    The readings of the client's counter for one session.
    """

    session: str
    began_at: datetime
    """The start of its first own request; if it has none, the time of its first reading."""
    counter: float | None
    """
    The time at which the counter began, according to the client. Sessions that continue a counter have the same value.
    """
    copied: tuple[tuple[str, datetime], ...]
    """The sessions whose answers it repeats, each with the end of the last of these answers."""
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Unlisted:
    """
    What a session certainly spent in addition to its recorded answers.
    """

    session: str
    at: datetime
    nusd: int


def account(session: Session, cost_of: CostOf) -> Account | None:
    """
    The readings of a session, compared with the costs of its own answers; None without a reading, or if a cost is
    unknown.

    Args:
        session: the session with all of its requests, without a filter.
        cost_of: the cost of a request at the client's prices, which are those of the price page.
    """
    if not session.stated:
        return None
    own = [(request, cost_of(request)) for request in session.requests if not request.copy]
    readings = []
    for count in session.stated:
        costs = [cost for request, cost in own if count.until is None or request.ended_at < count.until]
        if None in costs or not count.certain:
            return None
        readings.append(Reading(count.total_nusd, sum(cost or 0 for cost in costs), count.at, count.after))
    began_at = own[0][0].started_at if own else session.stated[0].at
    return Account(session.id, began_at, session.stated[-1].counter, session.copied, tuple(readings))


def unlisted(accounts: Iterable[Account]) -> list[Unlisted]:
    """
    What was spent in addition to recorded answers, for each session that has such costs.
    """
    every = list(accounts)
    costs = []
    for one in every:
        nusd = sum(_most(run) for run in _runs(one.readings, _continued(one, every)))
        if nusd > _NOISE_NUSD:
            costs.append(Unlisted(one.session, one.readings[-1].at, nusd))
    return costs


def _runs(readings: Sequence[Reading], continued_nusd: int) -> Iterator[list[int]]:
    """
    By how much each reading exceeds the known costs, divided into runs: a reading below the previous one began a new
    run.
    """
    run: list[int] = []
    before = None
    for reading in readings:
        if before is not None and reading.stated_nusd < before.stated_nusd - _NOISE_NUSD:
            yield run
            run, continued_nusd = [], -before.known_nusd
        run.append(reading.stated_nusd - continued_nusd - reading.known_nusd)
        before = reading
    yield run


def _most(excesses: Sequence[int]) -> int:
    """
    The excess of a run. It only grows, unless a run was stopped before it wrote its counter.
    """
    return max(0, *excesses)


def _continued(one: Account, every: Sequence[Account]) -> int:
    """
    The reading of another session that a session continues: the largest that fits; 0 if none fits.

    A reading fits if it was written before the session began or was forked, and if it leaves room for what the session
    is known to have spent.
    """
    last = one.readings[-1]
    room = last.stated_nusd - last.known_nusd + _NOISE_NUSD
    fitting = [
        reading.stated_nusd
        for other, at in _before(one, every)
        for reading in other.readings
        if (reading.after is None or reading.after <= at) and reading.stated_nusd <= room
    ]
    return max(fitting, default=0)


def _before(one: Account, every: Sequence[Account]) -> list[tuple[Account, datetime]]:
    """
    The sessions whose counter it may continue, and until when: the sessions that it repeats, otherwise those of the
    same process.
    """
    copied = dict(one.copied)
    origins = [(other, copied[other.session]) for other in every if other is not one and other.session in copied]
    return origins or [(other, one.began_at) for other in every if other is not one and _one_counter(one, other)]


def _one_counter(one: Account, other: Account) -> bool:
    return one.counter is not None and one.counter == other.counter
