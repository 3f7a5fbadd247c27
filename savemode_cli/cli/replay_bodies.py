"""
The part of `savemode replay` that is about bodies: through the upgrader, through the cache, and out to a folder.

Rule of this file: a body goes through as it stands in the file, one at a time, and comes out as `serve` would send it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from heapq import heappop, heappush, heappushpop
from pathlib import Path

from savemode_cli.cli.captured import calls_in
from savemode_cli.config import Settings
from savemode_cli.core.body_replay import BodyReplay, Judged, Upgrades, judged
from savemode_cli.core.errors import BadInput
from savemode_cli.core.recorded import Call, Wanted
from savemode_cli.core.replay import RatesOf, SessionReplay
from savemode_cli.readers.files import Kind
from savemode_cli.readers.problems import Problems

_REACH = 16
"""How many places a call may be late: a log is written when an answer ends. Few, for bodies are held meanwhile."""

_RICHEST: tuple[Kind, ...] = ("captures", "bodies", "body", "har")
"""Of copies that one counts which knows most: a HAR has no bill of an answer that ended early."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Bodies:
    """
    What was done with them. `sessions` are those with a bill; `unusable` counts why others could not be replayed;
    `copies` those that stood in a further file, as an export beside its store, and were left out.
    """

    upgrades: Upgrades = field(default_factory=Upgrades)
    sessions: list[SessionReplay] = field(default_factory=list)
    unusable: dict[str, int] = field(default_factory=dict)
    copies: int = 0


def replay_bodies(
    files: Sequence[tuple[Path, Kind]],
    settings: Settings,
    rates: RatesOf,
    wanted: Wanted,
    problems: Problems,
    advance: Callable[[int], None],
    seen: Callable[[Judged], None],
) -> Bodies:
    """
    All bodies of the files, in the order in which they were sent. `seen` is shown each as it was judged.
    """
    done, cache = Bodies(), BodyReplay(rates, wanted)
    product = replace(settings.policy, ttl="product")
    for call in _in_order(_calls(files, problems, advance, done)):
        one = judged(call, settings.policy, settings.product, settings.products)
        done.upgrades.add(one)
        cache.feed(one, product)
        seen(one)
    done.sessions, done.unusable = cache.sessions, cache.unusable
    return done


def _calls(
    files: Sequence[tuple[Path, Kind]], problems: Problems, advance: Callable[[int], None], done: Bodies
) -> Iterator[Call]:
    met: dict[tuple[datetime, bytes], Path] = {}
    for path, kind in sorted(files, key=lambda one: _RICHEST.index(one[1])):
        for call in calls_in(path, kind, problems):
            if call.started_at is not None:
                # To the millisecond, for that is what a HAR keeps. Within one file nothing is a copy, but another try.
                moment = call.started_at.replace(microsecond=call.started_at.microsecond // 1000 * 1000)
                if met.setdefault((moment, sha256(call.body).digest()), path) != path:
                    done.copies += 1
                    continue
            yield call
        advance(path.stat().st_size)


def _in_order(found: Iterator[Call]) -> Iterator[Call]:
    waiting: list[tuple[datetime, int, Call]] = []
    for number, call in enumerate(found):
        entry = (call.started_at or _BEGINNING, number, call)
        if len(waiting) < _REACH:
            heappush(waiting, entry)
        else:
            yield heappushpop(waiting, entry)[2]
    while waiting:
        yield heappop(waiting)[2]


def writer(folder: Path) -> Callable[[Judged], None]:
    """
    A function that writes a body as it would be sent to a file of its own, numbered in the order of sending.

    Raises:
        BadInput: the folder cannot be made, or holds something already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {_reason(error)}", hint="give --out a new folder") from None
    if occupied:
        raise BadInput(f"--out {folder} is not empty", hint="give a new folder: nothing is overwritten")
    written = 0

    def write(one: Judged) -> None:
        nonlocal written
        written += 1
        name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in one.call.place)
        file = folder / f"{written:06d}-{name.removesuffix('.json')[-100:]}.json"
        try:
            file.write_bytes(one.done.body)
        except OSError as error:
            raise BadInput(
                f"cannot write {file}: {_reason(error)}", hint=f"{written - 1} bodies were written"
            ) from None

    return write


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
