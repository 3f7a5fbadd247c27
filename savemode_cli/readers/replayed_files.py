"""
The reading part of `savemode replay`: recorded bodies, and transcripts in one of two ways.

Rule of this file: a session of a transcript is replayed like recorded bodies if all of its requests were rebuilt and were
billed for exactly what its answers report; otherwise its usage and times are replayed. The cost of an answer is the same
in both ways, so each session counts once.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from savemode_cli.core.replay.bodies import Judged
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Call, SessionWay
from savemode_cli.core.replay.sessions import SessionReplay
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.wire.products import Products
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader
from savemode_cli.readers.rebuilt import RebuiltSession, rebuilt_sessions
from savemode_cli.readers.registry import TRANSCRIPTS
from savemode_cli.readers.replayed_bodies import Bodies, calls_in_order, replay_bodies, sent_at
from savemode_cli.readers.sessions import Executor, ReplayedSession, Work, replayed
from savemode_cli.readers.transcript_files import Group, groups

OTHER_BILL = "its answers report another usage than those of its requests"

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class Configured(Protocol):
    """
    The settings that a replay depends on.
    """

    @property
    def policy(self) -> Policy:
        """
        The upgrader's policy, as `serve` would apply it.
        """

    @property
    def product(self) -> str:
        """
        The product of requests that do not name one.
        """

    @property
    def products(self) -> Products:
        """
        The configured products.
        """


@dataclass(slots=True)
class ReplayedFiles:
    """
    The results of all files.
    """

    sessions: list[SessionReplay] = field(default_factory=list)
    bodies: Bodies | None = None
    """The results of bodies, including rebuilt ones; None if there are none."""
    ways: list[SessionWay] = field(default_factory=list)
    """How each session of a transcript was replayed, in the order in which they began."""


def replay_files(
    files: Sequence[tuple[Path, Reader]],
    settings: Configured,
    work: Work,
    executor: Executor | None,
    problems: Problems,
    advance: Callable[[int], None],
    seen: Callable[[Judged], None],
) -> ReplayedFiles:
    """
    Replay recorded bodies and transcripts.

    Args:
        files: the files, each with its reader.
        settings: the policy and the products.
        work: how each session is replayed.
        executor: who reads usage from transcripts besides this process; None: nobody.
        problems: counts what cannot be read.
        advance: called with the number of bytes that were read since the last call, see `bytes_to_read`.
        seen: called with each judged body.
    """
    transcripts = groups(path for path, reader in files if reader is TRANSCRIPTS)
    recordings = [file for file in files if file[1].calls is not None]
    by_usage = list(replayed(transcripts, work, executor, problems, advance))
    are_recorded = [session.records_requests for session in by_usage]
    bodies = Bodies()
    rebuilt: list[RebuiltSession] = []
    replay_bodies(
        heapq.merge(
            calls_in_order(recordings, problems, advance, bodies),
            _calls(requests_in_order(_noted(rebuilt_sessions(transcripts, are_recorded), rebuilt, advance))),
            key=sent_at,
        ),
        settings.policy,
        settings.product,
        settings.products,
        RequestRates(work.prices()),
        work.wanted,
        bodies,
        seen,
    )
    return _joined(by_usage, rebuilt, bodies, has_recordings=bool(recordings))


def bytes_to_read(files: Sequence[tuple[Path, Reader]]) -> int:
    """
    How many bytes `replay_files` reads: transcripts are read for their usage, and for their requests.
    """
    return sum(path.stat().st_size * (2 if reader is TRANSCRIPTS else 1) for path, reader in files)


def requests_in_order(sessions: Iterable[RebuiltSession]) -> Iterator[tuple[RebuiltSession, int]]:
    """
    The requests of rebuilt sessions in the order in which they were sent: the session, and the number of the request in
    it.

    Args:
        sessions: the sessions in the order in which they began. Each session is read when its first request may be next,
            and then forgotten.
    """
    waiting: list[tuple[datetime, int, int, RebuiltSession]] = []
    for number, session in enumerate(sessions):
        began = _began(session.group)
        while waiting and waiting[0][0] < began:
            yield _first(waiting)
        for place, at in enumerate(session.times):
            heapq.heappush(waiting, (at, number, place, session))
    while waiting:
        yield _first(waiting)


def _first(waiting: list[tuple[datetime, int, int, RebuiltSession]]) -> tuple[RebuiltSession, int]:
    _, _, place, session = heapq.heappop(waiting)
    return session, place


def _calls(requests: Iterable[tuple[RebuiltSession, int]]) -> Iterator[Call]:
    return (session.call(number) for session, number in requests)


def _began(group: Group) -> datetime:
    """
    A time before which no request of this session, or of a later one, was sent.
    """
    return datetime.fromisoformat(group.family) if group.family else _BEGINNING


def _noted(
    sessions: Iterable[RebuiltSession], noted: list[RebuiltSession], advance: Callable[[int], None]
) -> Iterator[RebuiltSession]:
    for session in sessions:
        noted.append(session)
        advance(session.group.bytes)
        yield session


def _joined(
    by_usage: Sequence[ReplayedSession], rebuilt: Sequence[RebuiltSession], bodies: Bodies, *, has_recordings: bool
) -> ReplayedFiles:
    """
    Each session once: replayed by its requests if that was possible, with the facts that only the lines of its answers
    contain.
    """
    both: dict[str, list[tuple[ReplayedSession, RebuiltSession]]] = {}
    for pair in zip(by_usage, rebuilt, strict=True):
        both.setdefault(pair[0].group.session, []).append(pair)
    by_requests = {session.id: session for session in bodies.sessions}
    sessions: list[SessionReplay] = []
    ways: list[SessionWay] = []
    for name, pairs in both.items():
        problem = next(filter(None, (_problem(*pair) for pair in pairs)), "")
        ways.append(SessionWay(name, not problem, problem, any(requests.is_recorded for _, requests in pairs)))
        own = by_requests.pop(name, None) if any(requests.times for _, requests in pairs) else None
        replays = [usage.replay for usage, _ in pairs if usage.replay is not None]
        sessions += replays if problem else _by_requests(own, replays)
    sessions += by_requests.values()
    has_bodies = has_recordings or any(session.times for session in rebuilt)
    return ReplayedFiles(sessions, bodies if has_bodies else None, ways)


def _problem(usage: ReplayedSession, requests: RebuiltSession) -> str:
    """
    Why the requests of a session do not count; "" if they do.
    """
    return requests.problem or ("" if requests.bill == usage.bill else OTHER_BILL)


def _by_requests(own: SessionReplay | None, replays: Sequence[SessionReplay]) -> Iterable[SessionReplay]:
    """
    A session as its requests were replayed. If it has none, the facts in the lines of its answers: copies, and the
    client's count.
    """
    if own is None:
        return [replay for replay in replays if not replay.requests]
    for replay in replays:
        own.take_lines_of(replay)
    return [own]
