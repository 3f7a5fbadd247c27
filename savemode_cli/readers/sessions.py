"""
Reads and replays sessions one after another or in several processes, with the same result.

Rule of this file: only the totals of a replayed session stay in memory. One process reads all sessions with the same
beginning, the origin first. If another session turns out to contain copies, the parent process, which knows all answers,
reads it again.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.core.replay.sessions import SessionReplay, replay_session
from savemode_cli.core.wire.usage import NO_TOKENS, Tokens
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcript_files import Group
from savemode_cli.readers.transcripts import read_group

_CHUNKS_PER_JOB = 4
"""
More than one, so that no process waits long for the last one. Not many, because each chunk starts without the IDs of the
others.
"""


@dataclass(frozen=True, slots=True)
class Work:
    """
    How each session is replayed. Each process creates the price tables once.
    """

    prices: Callable[[], PriceTable]
    """Creates the price table of the bill."""
    wanted: Wanted
    """Which requests count."""
    idle_prone: bool
    """Whether the product's rule upgrades the sessions."""
    list_prices: Callable[[], PriceTable] | None = None
    """Creates the price table that the client uses; None if it is the same."""

    def rates(self) -> "_Rates":
        """
        The rates of the bill, and the rates that the client uses.
        """
        billed = RequestRates(self.prices())
        return billed, billed if self.list_prices is None else RequestRates(self.list_prices())


_Rates = tuple[RequestRates, RequestRates]


@dataclass(frozen=True, slots=True)
class ReplayedSession:
    """
    A session, replayed by its usage and times.
    """

    group: Group
    replay: SessionReplay | None
    """None if it has no wanted request."""
    bill: tuple[int, Tokens]
    """How many answers it has that no session before it has, and the tokens of all of them, wanted or not."""


@dataclass(slots=True)
class _ReplayedGroup:
    """
    One replayed session, and the digests of the answers that it counted.
    """

    replay: SessionReplay | None
    bill: tuple[int, Tokens]
    ids: dict[int, str]
    problems: Problems


def replayed(
    groups: Sequence[Group], work: Work, jobs: int, problems: Problems, advance: Callable[[int], None]
) -> Iterator[ReplayedSession]:
    """
    Replay each session by its usage and times.

    Args:
        groups: the files of each session.
        work: how to replay them.
        jobs: how many processes to use.
        problems: counts what cannot be read.
        advance: called with the number of bytes that were read since the last call.
    """
    chunks = _chunks(groups, jobs * _CHUNKS_PER_JOB) if jobs > 1 else []
    if len(chunks) > 1:
        yield from _in_parallel(groups, chunks, work, jobs, problems, advance)
        return
    rates, ids = work.rates(), Ids()
    for group in groups:
        done = _replay(group, work, rates, ids)
        problems.take(done.problems)
        advance(group.bytes)
        yield ReplayedSession(group, done.replay, done.bill)


def _replay(group: Group, work: Work, rates: _Rates, ids: Ids) -> _ReplayedGroup:
    problems = Problems()
    session = read_group(group, ids, problems)
    billed, listed = rates
    replay = replay_session(session, billed, work.wanted, idle_prone=work.idle_prone, list_rates=listed)
    own = [request for request in session.requests if not request.copy]
    bill = len(own), sum((request.usage.tokens for request in own), NO_TOKENS)
    return _ReplayedGroup(replay, bill, ids.taken(), problems)


def _chunks(groups: Sequence[Group], count: int) -> list[list[int]]:
    """
    The indexes of the groups, divided into chunks of about equal size. Groups of one family stay together and in order.
    """
    families: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        families.setdefault(group.family or str(group.sources[0].path), []).append(place)
    sized = sorted(
        ((sum(groups[place].bytes for place in family), family) for family in families.values()), reverse=True
    )
    chunks: list[list[int]] = [[] for _ in range(min(count, len(sized)))]
    loads = [0] * len(chunks)
    for size, family in sized:
        lightest = loads.index(min(loads))
        loads[lightest] += size
        chunks[lightest] += family
    return [sorted(chunk) for chunk in chunks]


@contextmanager
def _safe_path() -> Iterator[None]:
    """
    Within this block, new processes do not look for modules in the working directory. On systems without fork, Python
    starts them with `-c`, which puts that directory first, and any user may be able to write to it.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _in_parallel(
    groups: Sequence[Group],
    chunks: Sequence[list[int]],
    work: Work,
    jobs: int,
    problems: Problems,
    advance: Callable[[int], None],
) -> Iterator[ReplayedSession]:
    done: dict[int, _ReplayedGroup] = {}
    workers = min(jobs, len(chunks))
    with _safe_path(), ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(work,)) as pool:
        running = {pool.submit(_replay_chunk, [groups[place] for place in chunk]): chunk for chunk in chunks}
        for future in as_completed(running):
            chunk = running[future]
            done.update(zip(chunk, future.result(), strict=True))
            advance(sum(groups[place].bytes for place in chunk))
    ids, rates = Ids(), None
    for place, group in enumerate(groups):
        result = done.pop(place)
        if not ids.known.keys().isdisjoint(result.ids):
            # Another process has counted the same answers although the beginnings differ, so read this session again.
            rates = rates or work.rates()
            result = _replay(group, work, rates, ids)
        ids.known.update(result.ids)
        problems.take(result.problems)
        yield ReplayedSession(group, result.replay, result.bill)


_worker_state: tuple[Work, _Rates] | None = None
"""
The work of this process. It is set once when the process starts, so that a price table is not sent with every chunk.
"""


def _start_worker(work: Work) -> None:
    global _worker_state  # noqa: PLW0603 - the only way to pass a value to a worker process once
    # Ctrl-C reaches every process of a terminal. A worker ends at once, and only its parent reports it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _worker_state = work, work.rates()


def _replay_chunk(groups: Sequence[Group]) -> list[_ReplayedGroup]:
    assert _worker_state is not None  # noqa: S101 - the pool's initializer has run
    work, rates = _worker_state
    ids = Ids()
    return [_replay(group, work, rates, ids) for group in groups]
