"""
Reads and replays sessions one after another or in several parts, with the same result.

Rule of this file: only the totals of a replayed session stay in memory. Whoever reads a part knows the answers of that part
only. The parent, which knows all answers, reads a session again if it turns out to contain copies.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.core.replay.sessions import SessionReplay, replay_session
from savemode_cli.core.wire.usage import NO_TOKENS, Tokens
from savemode_cli.readers.answers import Ids, SessionIds
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcript_files import Group
from savemode_cli.readers.transcripts import read_group


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

    def rates(self) -> "Rates":
        """
        The rates of the bill, and the rates that the client uses.
        """
        billed = RequestRates(self.prices())
        return billed, billed if self.list_prices is None else RequestRates(self.list_prices())


Rates = tuple[RequestRates, RequestRates]


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
    records_requests: bool
    """Whether its transcript records requests, too."""


@dataclass(slots=True)
class ReplayedGroup:
    """
    One replayed session as the reader of a part returns it: sums, and the digests of its answers.
    """

    replay: SessionReplay | None
    bill: tuple[int, Tokens]
    records_requests: bool
    ids: SessionIds
    problems: Problems


class Executor(Protocol):
    """
    Replays parts of the sessions, in other processes or on other machines.
    """

    def parts(self, total_bytes: int) -> int:
        """
        Into how many parts the sessions are divided; 1: they are not, and are replayed here.

        Args:
            total_bytes: the size of all files.
        """

    def replay(self, work: Work, parts: Sequence[Sequence[Group]]) -> Iterator[tuple[int, list[ReplayedGroup]]]:
        """
        Replay each part with `replay_part`.

        Args:
            work: how to replay them.
            parts: the sessions of each part.

        Yields:
            The number of a part and its result, in any order. A part may come again, with the same result.
        """


def replayed(
    groups: Sequence[Group],
    work: Work,
    executor: Executor | None,
    problems: Problems,
    advance: Callable[[int], None],
) -> Iterator[ReplayedSession]:
    """
    Replay each session by its usage and times.

    Args:
        groups: the files of each session.
        work: how to replay them.
        executor: who replays parts of them; None: nobody else.
        problems: counts what cannot be read.
        advance: called with the number of bytes that were read since the last call.
    """
    count = 1 if executor is None else executor.parts(sum(group.bytes for group in groups))
    parts = divided(groups, count) if count > 1 else []
    if executor is not None and len(parts) > 1:
        results = executor.replay(work, [[groups[place] for place in part] for part in parts])
        yield from merged(groups, parts, results, work, problems, advance)
        return
    rates, ids = work.rates(), Ids()
    for group in groups:
        done = _replay(group, work, rates, ids)
        problems.take(done.problems)
        advance(group.bytes)
        yield _session(group, done)


def replay_part(groups: Sequence[Group], work: Work, rates: Rates) -> list[ReplayedGroup]:
    """
    Replay the sessions of one part.
    """
    ids = Ids()
    return [_replay(group, work, rates, ids) for group in groups]


def _replay(group: Group, work: Work, rates: Rates, ids: Ids) -> ReplayedGroup:
    problems = Problems()
    session = read_group(group, ids, problems)
    billed, listed = rates
    replay = replay_session(session, billed, work.wanted, idle_prone=work.idle_prone, list_rates=listed)
    own = [request for request in session.requests if not request.copy]
    bill = len(own), sum((request.usage.tokens for request in own), NO_TOKENS)
    return ReplayedGroup(replay, bill, session.records_requests, ids.taken(), problems)


def _session(group: Group, done: ReplayedGroup) -> ReplayedSession:
    return ReplayedSession(group, done.replay, done.bill, done.records_requests)


def divided(groups: Sequence[Group], count: int) -> list[list[int]]:
    """
    The indexes of the groups, divided into parts of about equal size. Groups of one family stay together and in order, so
    that few sessions must be read again.
    """
    families: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        families.setdefault(group.family or str(group.sources[0].path), []).append(place)
    sized = sorted(
        ((sum(groups[place].bytes for place in family), family) for family in families.values()), reverse=True
    )
    parts: list[list[int]] = [[] for _ in range(min(count, len(sized)))]
    loads = [0] * len(parts)
    for size, family in sized:
        lightest = loads.index(min(loads))
        loads[lightest] += size
        parts[lightest] += family
    return [sorted(part) for part in parts]


def merged(
    groups: Sequence[Group],
    parts: Sequence[Sequence[int]],
    results: Iterator[tuple[int, list[ReplayedGroup]]],
    work: Work,
    problems: Problems,
    advance: Callable[[int], None],
) -> Iterator[ReplayedSession]:
    """
    The results of all parts as one, exactly as if there had been no parts.

    Args:
        groups: all sessions in order.
        parts: the indexes of the sessions of each part, in order.
        results: the number of a part and its result, in any order.
        work: how to replay sessions that are read again.
        problems: counts what cannot be read.
        advance: called with the number of bytes of each part.
    """
    done: dict[int, ReplayedGroup] = {}
    for number, result in results:
        if parts[number][0] not in done:
            advance(sum(groups[place].bytes for place in parts[number]))
        done.update(zip(parts[number], result, strict=True))
    ids, rates = Ids(), None
    for place, group in enumerate(groups):
        replayed_group = done.pop(place)
        if ids.agree(replayed_group.ids):
            ids.add(replayed_group.ids)
        else:
            # Another part has the same answers, so read this session again, with what is known now.
            rates = rates or work.rates()
            replayed_group = _replay(group, work, rates, ids)
        problems.take(replayed_group.problems)
        yield _session(group, replayed_group)
