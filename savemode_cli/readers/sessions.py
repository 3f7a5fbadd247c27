"""
Sessions read and replayed one after another, or by several processes at once, with the same result.

Rule of this file: a session is forgotten once it is replayed; what stays of it is its sums. Sessions that began alike
are read by one process, the origin first; whatever else turns out to be counted twice is read again by the one who knows.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from savemode_cli.core.pricing import PriceTable
from savemode_cli.core.recorded import Wanted
from savemode_cli.core.replay import RatesOf, SessionReplay, rates_by, replay_session
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcripts import Group, Ids, read_group

_CHUNKS_PER_JOB = 4
"""More than one, so that no process waits long for the last; not many, for each starts without the others' ids."""


@dataclass(frozen=True, slots=True)
class Work:
    """
    What is done with each session. `prices` is called once in each process.
    """

    prices: Callable[[], PriceTable]
    wanted: Wanted
    idle_prone: bool


@dataclass(slots=True)
class _Done:
    """
    One session replayed, and the digests of the answers it counted.
    """

    replay: SessionReplay | None
    ids: list[int]
    problems: Problems


def replayed(
    groups: Sequence[Group], work: Work, jobs: int, problems: Problems, advance: Callable[[int], None]
) -> Iterator[SessionReplay]:
    """
    Each session with a wanted request. `advance` is told of bytes as they are done.
    """
    chunks = _chunks(groups, jobs * _CHUNKS_PER_JOB) if jobs > 1 else []
    if len(chunks) > 1:
        yield from _in_parallel(groups, chunks, work, jobs, problems, advance)
        return
    rates, ids = rates_by(work.prices()), Ids()
    for group in groups:
        done = _replay(group, work, rates, ids)
        problems.take(done.problems)
        advance(group.bytes)
        if done.replay is not None:
            yield done.replay


def _replay(group: Group, work: Work, rates: RatesOf, ids: Ids) -> _Done:
    problems = Problems()
    session = read_group(group, ids, problems)
    replay = replay_session(session, rates, work.wanted, idle_prone=work.idle_prone)
    return _Done(replay, ids.taken(), problems)


def _chunks(groups: Sequence[Group], count: int) -> list[list[int]]:
    """
    The groups by their places, shared out: families together and in order, the largest first to whoever has least.
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


def _in_parallel(
    groups: Sequence[Group],
    chunks: Sequence[list[int]],
    work: Work,
    jobs: int,
    problems: Problems,
    advance: Callable[[int], None],
) -> Iterator[SessionReplay]:
    done: dict[int, _Done] = {}
    with ProcessPoolExecutor(min(jobs, len(chunks)), initializer=_begin, initargs=(work,)) as pool:
        running = {pool.submit(_replay_chunk, [groups[place] for place in chunk]): chunk for chunk in chunks}
        for future in as_completed(running):
            chunk = running[future]
            done.update(zip(chunk, future.result(), strict=True))
            advance(sum(groups[place].bytes for place in chunk))
    ids, rates = Ids(), None
    for place, group in enumerate(groups):
        one = done.pop(place)
        if not ids.known.isdisjoint(one.ids):
            # Counted by another process too: no family tie gave it away. Read again, by the one who knows all before.
            rates = rates or rates_by(work.prices())
            one = _replay(group, work, rates, ids)
        ids.known.update(one.ids)
        problems.take(one.problems)
        if one.replay is not None:
            yield one.replay


_begun: tuple[Work, RatesOf] | None = None
"""What a process works by: set once when it starts, for a table of prices need not travel with every chunk."""


def _begin(work: Work) -> None:
    global _begun  # noqa: PLW0603 - the only way to hand a pool's process something once
    # Ctrl-C goes to every process of a terminal: a child ends at once, and only its parent says anything.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _begun = work, rates_by(work.prices())


def _replay_chunk(groups: Sequence[Group]) -> list[_Done]:
    assert _begun is not None  # noqa: S101 - the pool's initializer ran
    work, rates = _begun
    ids = Ids()
    return [_replay(group, work, rates, ids) for group in groups]
