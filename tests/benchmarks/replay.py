"""
How well the model does on recorded transcripts, and how fast: the grade per set, then megabytes per second.

Run it from the repository: python -m tests.benchmarks.replay [FOLDER...]. Without folders it takes the recorded traffic
that tests/recorded.py knows of, which is no part of the project; without it there is nothing to measure.
"""

import sys
import time
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from savemode_cli.core.body_replay import BodyReplay, judged
from savemode_cli.core.caller import PRODUCTS
from savemode_cli.core.pricing import nusd_of
from savemode_cli.core.recorded import Call, Wanted
from savemode_cli.core.replay import Replay, rates_by, summed
from savemode_cli.core.transform import Policy
from savemode_cli.prices import load_prices
from savemode_cli.readers.files import kind_of, walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.sessions import Work, replayed
from savemode_cli.readers.transcripts import Group, groups
from tests.benchmarks.tables import columns, fixed, note, options
from tests.recorded import CAPTURE, TRACES, recorded

TRANSCRIPTS = TRACES / "transcripts"
LEAST_BYTES = 100_000_000


def found(folder: Path) -> list[Group]:
    """
    The sessions below a folder.
    """
    return groups(path for path in walk([str(folder)]) if kind_of(path) == "transcript")


def run(folder: Path, jobs: int) -> tuple[Replay, int, float]:
    """
    The replay, the bytes read and the seconds it took, prices included.
    """
    began = time.perf_counter()
    sessions = found(folder)
    work = Work(partial(load_prices, None), Wanted(), idle_prone=False)
    done = summed(replayed(sessions, work, jobs, Problems(), lambda _: None))
    return done, sum(group.bytes for group in sessions), time.perf_counter() - began


def grades(folders: list[Path]) -> str:
    """
    One row per set.
    """
    rows = []
    for folder in folders:
        mark = run(folder, 1)[0].grade
        shares = (mark.right_share, mark.long_right_share, mark.dollar_error, mark.alone_error)
        right, long_right, off, alone = (None if share is None else float(share) * 100 for share in shares)
        billed = nusd_of(mark.billed_ausd) / 1e9
        counts = (f"{mark.requests:,}", fixed(right), f"{mark.long_requests:,}", fixed(long_right))
        rows.append((folder.name, *counts, fixed(billed), fixed(off, sign="+"), fixed(alone, sign="+")))
    heads = ("set", "graded", "right %", "> 4 min", "right %", "billed $", "off %", "alone %")
    return columns("The model against the record", heads, rows)


def many(folders: list[Path], into: Path) -> Path:
    """
    A hundred megabytes: the sets again and again, every id of a copy its own.
    """
    copy, size = 0, 0
    while size < LEAST_BYTES:
        for path in [one for folder in folders for one in walk([str(folder)]) if kind_of(one) == "transcript"]:
            text = path.read_bytes()
            for name in (b'"msg_', b'"req_', b'"sessionId":"', b'uid":"'):
                text = text.replace(name, name + b"%d" % copy)
            place = into / str(copy) / path.relative_to(path.anchor)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text)
            size += len(text)
        copy += 1
    return into


def speed(folder: Path) -> str:
    """
    One row per number of processes.
    """
    rows = []
    for jobs in (1, 2):
        done, size, seconds = run(folder, jobs)
        peak = max(getrusage(who).ru_maxrss for who in (RUSAGE_SELF, RUSAGE_CHILDREN)) / 1024
        rate = size / seconds / 1e6
        rows.append(
            (str(jobs), f"{size / 1e6:.0f}", f"{done.requests:,}", fixed(seconds), fixed(rate, 1), f"{peak:.0f}")
        )
    return columns("Reading and replaying", ("processes", "MB", "requests", "s", "MB/s", "peak MiB"), rows)


def bodies() -> str:
    """
    Recorded bodies, their texts at full length, through the upgrader and then through the four caches.
    """
    calls = [Call(str(one.line), one.body, started_at=one.at, ended_at=one.ended) for one in recorded()]
    size = sum(len(call.body) for call in calls) / 1e6
    rows = []
    cache = BodyReplay(rates_by(load_prices(None)), Wanted())
    began = time.process_time()
    judgements = [judged(call, Policy("always"), "posthog_code", PRODUCTS) for call in calls]
    rows.append(("upgrader", f"{size:.0f}", fixed(size / (time.process_time() - began), 0)))
    began = time.process_time()
    for one in judgements:
        cache.feed(one, Policy("product"))
    rows.append(("cache model", f"{size:.0f}", fixed(size / (time.process_time() - began), 0)))
    return columns("Bodies, one core", ("through", "MB", "MB/s"), rows)


def main() -> None:
    """
    Print both tables.
    """
    parser = options(__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--scratch", type=Path, help="an empty folder for a hundred megabytes, for the speed")
    asked = parser.parse_args()
    folders = asked.folders or (
        [one for one in sorted(TRANSCRIPTS.iterdir()) if one.is_dir()] if TRANSCRIPTS.exists() else []
    )
    if not folders:
        sys.exit("nothing to measure: give folders with transcripts")
    print(grades(folders))
    print(note("off: predicted less billed, with the rate of changed content of the other sessions; alone: without."))
    if CAPTURE.exists():
        print()
        print(bodies())
    if asked.scratch is not None:
        print()
        print(speed(many(folders, asked.scratch)))


if __name__ == "__main__":
    main()
