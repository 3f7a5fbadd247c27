"""
The part of `savemode replay` that handles bodies: it applies the upgrader and the cache model, and writes bodies to a
folder.

Rule of this file: bodies are handled one at a time, with exactly the bytes in their file, and written as `serve` would
send them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from savemode_cli.core.budget.trace import nearly_sorted
from savemode_cli.core.errors import BadInput, reason
from savemode_cli.core.replay.bodies import BodyReplay, Judged, Upgrades, judged
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Call, Wanted
from savemode_cli.core.replay.sessions import SessionReplay
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.wire.products import Products
from savemode_cli.private import make_folder, write_new
from savemode_cli.readers.files import calls_in
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader

_MAX_LATE_CALLS = 16
"""
How many places later than in order a call may be, because a log is written when an answer ends. The number is small,
because this many bodies are in memory.
"""

_IN_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
"""savemode's export as lines replaces the line breaks of a body with spaces."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Bodies:
    """
    The results for all bodies.
    """

    upgrades: Upgrades = field(default_factory=Upgrades)
    """The totals of the upgrader."""
    sessions: list[SessionReplay] = field(default_factory=list)
    """The sessions of bodies with recorded usage."""
    unusable: dict[str, int] = field(default_factory=dict)
    """How many other bodies there are, by the reason why they could not be replayed."""
    copies: int = 0
    """How many calls were left out because another file contains them too, such as an export next to its store."""


def replay_bodies(
    calls: Iterable[Call],
    policy: Policy,
    product: str,
    products: Products,
    rates: RequestRates,
    wanted: Wanted,
    bodies: Bodies,
    seen: Callable[[Judged], None],
) -> None:
    """
    Apply the upgrader and the cache model to bodies.

    Args:
        calls: the calls in the order in which they were sent.
        policy: the upgrader's policy, as `serve` would apply it.
        product: the product of requests that do not name one.
        products: the configured products.
        rates: what tokens cost.
        wanted: which requests count.
        bodies: receives the results.
        seen: called with each judged body.
    """
    cache = BodyReplay(rates, wanted)
    by_product = replace(policy, ttl="product")
    for call in calls:
        judgement = judged(call, policy, product, products)
        bodies.upgrades.add(judgement)
        cache.feed(judgement, by_product)
        seen(judgement)
    bodies.sessions, bodies.unusable = cache.sessions, cache.unusable


def calls_in_order(
    files: Sequence[tuple[Path, Reader]], problems: Problems, advance: Callable[[int], None], bodies: Bodies
) -> Iterator[Call]:
    """
    The calls of the files in the order in which they were sent, without copies, which are counted.

    Args:
        files: the files, each with its reader.
        problems: counts what cannot be read.
        advance: called with the size of each file after it was read, in bytes.
        bodies: counts the copies.
    """
    return nearly_sorted(_calls(files, problems, advance, bodies), sent_at, _MAX_LATE_CALLS)


def sent_at(call: Call) -> datetime:
    """
    When a call was sent; before all other calls if that is unknown.
    """
    return call.started_at or _BEGINNING


def _calls(
    files: Sequence[tuple[Path, Reader]], problems: Problems, advance: Callable[[int], None], bodies: Bodies
) -> Iterator[Call]:
    known: dict[tuple[datetime | None, bytes], Path] = {}
    for path, reader in sorted(files, key=lambda file: file[1].rank):
        for call in calls_in(path, reader, problems):
            if _is_copy(call, path, known):
                bodies.copies += 1
            else:
                yield call
        advance(path.stat().st_size)


def _is_copy(call: Call, path: Path, known: dict[tuple[datetime | None, bytes], Path]) -> bool:
    """
    Whether an earlier file contains the same call: the same body at the same time, or the same body if this one has no
    time.

    Within one file, the same body is a retry and not a copy.

    Args:
        call: the call.
        path: its file.
        known: the file of each body and time so far; this call is added.
    """
    digest = sha256(call.body.translate(_IN_ONE_LINE)).digest()
    if call.started_at is None:
        return known.get((None, digest), path) != path
    # A HAR has times in milliseconds.
    moment = call.started_at.replace(microsecond=call.started_at.microsecond // 1000 * 1000)
    known.setdefault((None, digest), path)
    return known.setdefault((moment, digest), path) != path


_MAX_NAME_BYTES = 200  # file systems accept 255, and the number and the suffix need some of them


def writer(folder: Path) -> Callable[[Judged], None]:
    """
    A function that writes each body as it would be sent into a file. The files are numbered in the order of sending.

    Other users cannot read the files, because they contain prompts.

    Raises:
        BadInput: the folder cannot be created, or is not empty.
    """
    try:
        make_folder(folder)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {reason(error)}", hint="use a new folder for --out") from None
    if occupied:
        raise BadInput(f"--out {folder} is not empty", hint="use a new folder; savemode does not overwrite files")
    written = 0

    def write(judgement: Judged) -> None:
        nonlocal written
        written += 1
        place = judgement.call.place
        name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in place)
        end = name.removesuffix(".json").encode()[-_MAX_NAME_BYTES:].decode(errors="ignore")
        file = folder / f"{written:06d}-{end}.json"
        try:
            write_new(file, judgement.done.body)
        except OSError as error:
            raise BadInput(f"cannot write {file}: {reason(error)}", hint=f"{written - 1} bodies were written") from None

    return write
