"""
The reading part of `savemode why`: recorded calls and transcripts, each request with its verdict.

Rule of this file: requests that are not shown are read too, because the other requests are compared with them.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from savemode_cli.core.diagnosis.report import Diagnosed
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.inferred_misses import inferred_misses
from savemode_cli.core.replay.missed import CallHistory
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Call, Wanted
from savemode_cli.core.wire.products import Products
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.files import calls_in
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader
from savemode_cli.readers.rebuilt import rebuilt_sessions
from savemode_cli.readers.registry import TRANSCRIPTS
from savemode_cli.readers.replayed_bodies import Bodies, calls_in_order
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group

Files = Sequence[tuple[Path, Reader]]

_EVERYTHING = Wanted()


@dataclass(slots=True)
class Reading:
    """
    What was left out while files were read.
    """

    problems: Problems = field(default_factory=Problems)
    unusable: dict[str, int] = field(default_factory=dict)
    """How many calls could not be judged, by the reason."""
    transcripts: int = 0
    """How many sessions were read without bodies."""
    rebuilt: int = 0
    """How many sessions record their requests, so that bodies could be rebuilt."""


def diagnosed_requests(
    files: Files,
    prices: PriceTable,
    product: str,
    products: Products,
    reading: Reading,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[Diagnosed]:
    """
    All requests of the files, each with its verdict.

    Args:
        files: the files, each with its reader.
        prices: what tokens cost.
        product: the product of requests that do not name one.
        products: the configured products.
        reading: counts what is left out.
        advance: called with the number of bytes that were read since the last call.
    """
    recordings = [file for file in files if file[1].calls is not None]
    history = CallHistory(prices, product, products)
    for call in calls_in_order(recordings, reading.problems, advance, Bodies()):
        diagnosed = history.feed(call)
        if diagnosed is not None:
            yield diagnosed
    yield from _of_transcripts(_transcripts(files), history, prices, reading, advance)
    reading.unusable = history.unusable


def _transcripts(files: Files) -> list[Path]:
    return [path for path, reader in files if reader is TRANSCRIPTS]


def _of_transcripts(
    paths: Sequence[Path],
    history: CallHistory,
    prices: PriceTable,
    reading: Reading,
    advance: Callable[[int], None],
) -> Iterator[Diagnosed]:
    """
    The requests of sessions: with their bodies if the session records them, otherwise with usage and times only.
    """
    rates, ids = RequestRates(prices), Ids()
    for session in rebuilt_sessions(groups(paths)):
        if not session.problem:
            reading.rebuilt += 1
            yield from filter(None, map(history.feed, session.calls()))
        else:
            reading.transcripts += 1
            yield from inferred_misses(read_group(session.group, ids, reading.problems), rates, _EVERYTHING)
        advance(session.group.bytes)


def bodies_at(files: Files, places: Collection[str]) -> dict[str, bytes]:
    """
    The bodies of some calls, by their places.

    Args:
        files: the files, each with its reader.
        places: the places of the calls, as `Call.place` names them.
    """
    bodies: dict[str, bytes] = {}
    for call in _every_call(files):
        if len(bodies) == len(places):
            break
        if call.place in places:
            bodies[call.place] = call.body
    return bodies


def _every_call(files: Files) -> Iterator[Call]:
    for path, reader in files:
        yield from calls_in(path, reader, Problems())
    for session in rebuilt_sessions(groups(_transcripts(files))):
        yield from session.calls()
