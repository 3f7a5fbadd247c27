"""
How well the model and the policies do on recorded transcripts, and how fast a replay is.

Run it from the repository: python -m tests.benchmarks.replay [FOLDER...]. Without folders it takes the recorded traffic
that tests/support/recorded.py knows of, which is no part of the project; without it there is nothing to measure.
"""

import os
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from savemode_cli.core.money.pricing import nusd_of
from savemode_cli.core.replay.bodies import BodyReplay, judged
from savemode_cli.core.replay.choices import auto, chosen, in_order
from savemode_cli.core.replay.grade import Grade, grade
from savemode_cli.core.replay.learning import LaneLearner
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Call, Session, Wanted
from savemode_cli.core.replay.report import Replay, summed
from savemode_cli.core.replay.segments import PolicySum, Segment
from savemode_cli.core.replay.sessions import SessionReplay, replay_session
from savemode_cli.core.upgrade.auto import History, KeepWarmTerms, LaneChoice, choose
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.prices import load_prices
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.dask_cluster import DaskCluster
from savemode_cli.readers.files import calls_in, reader_of, walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.processes import Processes
from savemode_cli.readers.registry import READERS, TRANSCRIPTS
from savemode_cli.readers.sessions import Executor, Work, replayed
from savemode_cli.readers.transcript_files import Group, groups
from savemode_cli.readers.transcripts import read_group
from tests.benchmarks.tables import columns, fixed, note, options
from tests.support.perturbed import perturbed
from tests.support.recorded import CAPTURE, TRACES, recorded

FOLDER = TRACES / "transcripts"
LEAST_REQUESTS = 50
"""Of a single session that is graded by itself."""


def found(folder: Path) -> list[Group]:
    """
    The sessions below a folder.
    """
    return groups(path for path in walk([str(folder)]) if reader_of(path) is TRANSCRIPTS)


def read(folder: Path) -> list[Session]:
    """
    The same, read.
    """
    ids, problems = Ids(), Problems()
    return [read_group(group, ids, problems) for group in found(folder)]


def replays(sessions: Sequence[Session]) -> list[SessionReplay]:
    """
    Each of them replayed.
    """
    rates = RequestRates(load_prices(None))
    done = (replay_session(session, rates, Wanted(), idle_prone=False) for session in sessions)
    return [session for session in done if session is not None]


def grades(sets: dict[str, list[SessionReplay]]) -> str:
    """
    The model against the record: a row per set.
    """
    rows = [_grade_row(name, grade([session.tally for session in sessions])) for name, sessions in sets.items()]
    heads = ("set", "graded", "right %", ">4 min", "right %", "bill $", "off %", "alone", "beyond")
    return columns("The model against the record", heads, rows)


def _grade_row(name: str, result: Grade) -> tuple[str, ...]:
    shares = (
        result.right_share,
        result.long_right_share,
        result.dollar_error,
        result.alone_error,
        result.interval_error,
    )
    right, long_right, off, alone, beyond = (None if share is None else float(share) * 100 for share in shares)
    return (
        name,
        f"{result.requests:,}",
        fixed(right),
        f"{result.long_requests:,}",
        fixed(long_right),
        fixed(nusd_of(result.billed_ausd) / 1e9),
        fixed(off, sign="+"),
        fixed(alone, sign="+"),
        fixed(beyond, sign="+"),
    )


def singles(sets: dict[str, list[SessionReplay]]) -> str:
    """
    Sessions that are replayed by themselves: how many may be quoted, and how many of those are near to the bill.
    """
    rows = []
    for name, sessions in sets.items():
        results = [grade([session.tally]) for session in sessions if session.requests >= LEAST_REQUESTS]
        quoted = [result for result in results if not result.problem]
        near = [result for result in quoted if abs(result.dollar_error or Fraction(0)) * 20 <= 1]
        rows.append((name, str(len(results)), str(len(quoted)), str(len(near))))
    heads = ("set", "sessions", "quoted", "within 5 %")
    return columns(f"Single sessions of {LEAST_REQUESTS} requests and more", heads, rows)


def policies(sets: dict[str, list[SessionReplay]], recorded_sets: dict[str, list[Session]]) -> str:
    """
    What the policies cost: per set in dollars, and against hindsight per session and the better fixed TTL.
    """
    rows = []
    for name, sessions in sets.items():
        replay = summed(sessions)
        five, hour = (replay.estimate(ttl).nusd for ttl in ("5m", "1h"))
        hindsight = sum(min(one.five_nusd, one.hour_nusd) for one in replay.by_session)
        costs = {
            "hindsight at every cold point": _ceiling(sessions, replay),
            "hindsight per session": hindsight,
            "auto": replay.estimate("auto").nusd,
            "auto in a proxy": _in_a_proxy(recorded_sets[name], sessions).expected_nusd(replay.changed),
            "auto and --keep-warm": replay.estimate("auto-keep-warm").nusd,
            "the same, prior of the others": _other_prior(name, sets, replay),
            "main lane 1h, sub-agents 5m": _by_lane(sessions, replay),
            "all 1h": hour,
            "all 5m": five,
            "5m, kept warm": replay.estimate("keep-warm").nusd,
            "as recorded": replay.estimate("recorded").nusd,
        }
        for policy, nusd in costs.items():
            rows.append(
                (
                    name,
                    policy,
                    fixed(nusd / 1e9),
                    fixed((nusd / hindsight - 1) * 100, 1, sign="+"),
                    fixed((nusd / min(five, hour) - 1) * 100, 1, sign="+"),
                )
            )
    return columns(
        "Policies, % over hindsight per session and over the better fixed TTL",
        ("set", "policy", "$", "hindsight", "better fixed"),
        rows,
    )


def _other_prior(name: str, sets: dict[str, list[SessionReplay]], replay: Replay) -> int:
    """
    What `auto` costs with keep-warm if its prior is the saving of the other sets, and not the published one.
    """
    others = [summed(sessions) for other, sessions in sets.items() if other != name]
    five, warm = (sum(one.estimate(policy).nusd for one in others) for policy in ("5m", "keep-warm"))
    terms = KeepWarmTerms(1 - warm / five) if five else KeepWarmTerms()
    sessions = sorted(sets[name], key=lambda session: (session.first_at, session.id))
    return sum(one.expected_nusd(replay.changed) for one in auto(sessions, terms))


def _in_a_proxy(recorded_sessions: Sequence[Session], sessions: Sequence[SessionReplay]) -> PolicySum:
    """
    What `auto` costs if it learns as a proxy does: from each request at the end of its answer.
    """
    requests = [request for session in recorded_sessions for request in session.requests]
    answers = sorted(
        (request for request in requests if Wanted().takes(request)),
        key=lambda request: request.ended_at,
        reverse=True,
    )
    learner, history, total = LaneLearner(RequestRates(load_prices(None))), History(), PolicySum()
    lanes: dict[tuple[int, str], LaneChoice] = {}
    for number, lane, _, segment in in_order(sessions):
        now, before = segment.started_at, lanes.get((number, lane))
        while answers and answers[-1].ended_at < now:
            for run in learner.answered(answers.pop()):
                history.put(run)
        for run in learner.known(now):
            history.put(run)
        decision = choose(before, history, now, is_agent=segment.is_agent)
        total.add(chosen(segment, decision, before))
        lanes[number, lane] = LaneChoice(decision, segment.ended_at)
    return total


def _lanes(sessions: Sequence[SessionReplay]) -> list[list[Segment]]:
    return [lane for session in sessions for lane in session.segments.lanes.values()]


def _by_lane(sessions: Sequence[SessionReplay], replay: Replay) -> int:
    segments = [segment for lane in _lanes(sessions) for segment in lane]
    return sum((one.five if one.is_agent else one.hour_kept).expected_nusd(replay.changed) for one in segments)


def _ceiling(sessions: Sequence[SessionReplay], replay: Replay) -> int:
    """
    The least that lanes can cost if the TTL may change whenever the cache is cold, and all is known in advance.
    """
    total = 0
    for lane in _lanes(sessions):
        five = hour = 0
        for segment in lane:
            costs = [one.expected_nusd(replay.changed) for one in (segment.five, segment.hour, segment.hour_kept)]
            if segment.start == "cold":
                five = hour = min(five, hour)
                five, hour = five + costs[0], hour + costs[1]
            else:
                five, hour = five + costs[0], min(hour + costs[2], five + costs[1])
        total += min(five, hour)
    return total


def invented(sessions: Sequence[Session], count: int) -> str:
    """
    The policies on sets of invented persons: recorded sessions resampled, with other pauses, prices and habits.
    """
    over: dict[str, list[tuple[float, float]]] = {name: [] for name in ("auto", "auto, kept warm", "all 1h", "all 5m")}
    total = dict.fromkeys(over, 0.0)
    for seed in range(count):
        replay = summed(replays(perturbed(sessions, seed)))
        five, hour = (replay.estimate(ttl).nusd for ttl in ("5m", "1h"))
        hindsight = sum(min(one.five_nusd, one.hour_nusd) for one in replay.by_session)
        choices = [("auto", "auto"), ("auto, kept warm", "auto-keep-warm"), ("all 1h", "1h"), ("all 5m", "5m")]
        for name, nusd in ((name, replay.estimate(policy).nusd) for name, policy in choices):
            over[name].append(((nusd / hindsight - 1) * 100, (nusd / min(five, hour) - 1) * 100))
            total[name] += nusd / 1e9
    rows = []
    for name, pairs in over.items():
        spreads = [_spread(sorted(pair[place] for pair in pairs)) for place in (0, 1)]
        rows.append((name, fixed(total[name], 0), *spreads[0], *spreads[1]))
    heads = ("policy", "$", "hindsight", "p90", "worst", "better fixed", "p90", "worst")
    return columns(f"{count} invented persons, % over hindsight and over the better fixed TTL", heads, rows)


def _spread(values: Sequence[float]) -> tuple[str, str, str]:
    return (
        fixed(sum(values) / len(values), 1, sign="+"),
        fixed(values[len(values) * 9 // 10], 1, sign="+"),
        fixed(values[-1], 1, sign="+"),
    )


def many(folders: list[Path], into: Path, least_bytes: int) -> Path:
    """
    The sets again and again, every id of a copy its own.
    """
    copy, size = 0, 0
    while size < least_bytes:
        paths = [path for folder in folders for path in walk([str(folder)]) if reader_of(path) is TRANSCRIPTS]
        for path in paths:
            text = path.read_bytes()
            for name in (b'"msg_', b'"req_', b'"sessionId":"', b'uid":"'):
                text = text.replace(name, name + b"%d" % copy)
            place = into / str(copy) / path.relative_to(path.anchor)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text)
            size += len(text)
        copy += 1
    return into


def speed(folder: Path, rounds: int) -> str:
    """
    One row for each way and each round, one after the other: seconds, the load of the machine, the CPU seconds of this process
    and of its workers, and how many seconds it would take if each process had a core to itself.
    """
    ways: list[tuple[str, Executor | None]] = [("one process", None), ("2 processes", Processes(2))]
    if find_spec("distributed") is not None:
        ways.append(("Dask, 2 workers", DaskCluster("dask", 2)))
    rows = [_speed_row(folder, *way) for _ in range(rounds) for way in ways]
    heads = ("way", "MB", "requests", "s", "load", "CPU s", "of workers", "free cores")
    return columns("Reading and replaying", heads, rows)


def _speed_row(folder: Path, name: str, executor: Executor | None) -> tuple[str, ...]:
    began, own, others = time.perf_counter(), time.process_time(), _cpu_of_children()
    sessions = found(folder)
    work = Work(partial(load_prices, None), Wanted(), idle_prone=False)
    every = replayed(sessions, work, executor, Problems(), lambda _: None)
    done = summed(one.replay for one in every if one.replay)
    seconds, own, others = time.perf_counter() - began, time.process_time() - own, _cpu_of_children() - others
    size = sum(group.bytes for group in sessions)
    figures = (fixed(seconds), fixed(os.getloadavg()[0], 0), fixed(own), fixed(others), fixed(own + others / 2))
    return (name, f"{size / 1e6:.0f}", f"{done.requests:,}", *figures)


def _cpu_of_children() -> float:
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def bodies() -> str:
    """
    Recorded bodies, their texts at full length, through the upgrader and then through the caches.
    """
    calls = [Call(str(one.line), one.body, started_at=one.at, ended_at=one.ended) for one in recorded()]
    size = sum(len(call.body) for call in calls) / 1e6
    rows = []
    cache = BodyReplay(RequestRates(load_prices(None)), Wanted())
    began = time.process_time()
    judgements = [judged(call, Policy("always"), "posthog_code", PRODUCTS) for call in calls]
    rows.append(("upgrader", f"{size:.0f}", fixed(size / (time.process_time() - began), 0)))
    began = time.process_time()
    for judgement in judgements:
        cache.feed(judgement, Policy("product"))
    rows.append(("cache model", f"{size:.0f}", fixed(size / (time.process_time() - began), 0)))
    return columns("Bodies, one core", ("through", "MB", "MB/s"), rows)


def body_grade() -> dict[str, list[SessionReplay]]:
    """
    Recorded bodies with their bills, as they are in the file.
    """
    cache = BodyReplay(RequestRates(load_prices(None)), Wanted())
    for call in calls_in(CAPTURE, READERS["bodies"], Problems()):
        cache.feed(judged(call, Policy("always"), "posthog_code", PRODUCTS), Policy("product"))
    return {"bodies": cache.sessions}


def main() -> None:
    """
    Print all tables.
    """
    parser = options(__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--scratch", type=Path, help="an empty folder for copies of the sets, for the speed")
    parser.add_argument("--megabytes", type=int, default=100, help="the size of these copies")
    parser.add_argument("--rounds", type=int, default=1, help="how often the speed is measured")
    parser.add_argument("--persons", type=int, default=100, help="how many invented persons to judge `auto` on")
    asked = parser.parse_args()
    folders = asked.folders or ([one for one in sorted(FOLDER.iterdir()) if one.is_dir()] if FOLDER.exists() else [])
    if not folders:
        sys.exit("nothing to measure: give folders with transcripts")
    sessions = {folder.name: read(folder) for folder in folders}
    sets = {name: replays(own) for name, own in sessions.items()}
    print(grades(sets | (body_grade() if CAPTURE.exists() else {})))
    print(note("off: predicted less billed; alone: without changed content; beyond: outside of the interval."))
    print("\n" + singles(sets))
    print("\n" + policies(sets, sessions))
    if asked.persons:
        print("\n" + invented([session for own in sessions.values() for session in own], asked.persons))
    if CAPTURE.exists():
        print("\n" + bodies())
    if asked.scratch is not None:
        print("\n" + speed(many(folders, asked.scratch, asked.megabytes * 1_000_000), asked.rounds))


if __name__ == "__main__":
    main()
