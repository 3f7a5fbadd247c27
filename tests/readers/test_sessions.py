"""
Sessions are replayed one by one or in parts, with the same result.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.core.replay.sessions import SessionReplay
from savemode_cli.readers.files import walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.processes import Processes
from savemode_cli.readers.sessions import ReplayedGroup, ReplayedSession, Work, merged, replay_part, replayed
from savemode_cli.readers.transcript_files import Group, groups
from tests.builders import a_price
from tests.support.transcripts import NOON, Transcript, a_session, usage


def prices() -> PriceTable:
    """
    The prices of one model, at the top of the module, so that other processes find this function.
    """
    return PriceTable([a_price()])


def run(folder: Path, jobs: int) -> tuple[list[SessionReplay], Problems, int]:
    """
    The replays of a folder, the problems, and the reported bytes.
    """
    problems = Problems()
    told: list[Any] = []
    work = Work(prices, Wanted(), idle_prone=True)
    done = list(replayed(groups(walk([str(folder)])), work, Processes(jobs), problems, told.append))
    for session in done:
        assert session.bill[0] == (0 if session.replay is None else session.replay.requests)
    return [session.replay for session in done if session.replay is not None], problems, sum(told)


def test_several_processes_give_the_same(tmp_path: Path) -> None:
    """
    Also if the same answers are in files of different processes, and if lines are invalid.
    """
    for number in range(6):
        made = a_session(f"s{number}", [10, 400, 20 * number])
        made.wait(hours=number)
        path = made.write(tmp_path)
        path.write_text(path.read_text() + "{\n")
    # The same answers with another beginning, so they are not one family.
    stray = a_session("s3", [10, 400, 60])
    other = Transcript("late", at=stray.at).user().answer("own", usage(w5=77))
    other.lines += stray.lines
    path = other.write(tmp_path)
    alone, problems, told = run(tmp_path, 1)

    together, same_problems, same_told = run(tmp_path, 3)
    assert together == alone
    assert sum(one.copies for one in alone) == 4
    assert (same_problems, same_told) == (problems, told)
    assert (problems.count, told) == (6, sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")))


def test_one_session_needs_one_process(tmp_path: Path) -> None:
    """
    However many are allowed; a session without a wanted request is left out.
    """
    a_session("s", [10]).write(tmp_path)
    done, _, _ = run(tmp_path, 4)
    assert [one.requests for one in done] == [2]

    work = Work(prices, Wanted(session="other"), idle_prone=False)
    (session,) = replayed(groups(walk([str(tmp_path)])), work, None, Problems(), lambda _: None)
    assert (session.replay, session.bill[0]) == (None, 2)


def write_related(folder: Path, seed: int) -> None:
    """
    Write transcripts of which many repeat lines of earlier ones: resumed sessions, with the same beginning, and strays, with
    another one.
    """
    random = Random(seed)
    made: list[Transcript] = []
    for number in range(7):
        one = Transcript(f"s{number}", at=NOON + timedelta(hours=number))
        kind = random.choice(["new", "resumed", "stray"]) if made else "new"
        if kind == "stray":
            one.user().answer(f"own {number}", usage(w5=100 * number))
        if kind != "new":
            origin = random.choice(made[-4:])
            one.lines += origin.lines[: random.randint(2, len(origin.lines))]
        for turn in range(random.randint(1, 3)):
            one.wait(seconds=random.choice([10, 400, 4000])).user()
            one.answer(f"{number}-{turn}", usage(read=random.choice([0, 5000]), w5=1000 + number))
        counted(one, number + 1)
        made.append(one)
        path = one.write(folder)
        if number == 3:
            path.write_text(path.read_text() + "{\n")


def counted(made: Transcript, dollars: int) -> None:
    """
    Add the line with which a client says what the session has cost so far. A copy of a session is compared with its origin.
    """
    uuid = made.lines[-1]["uuid"]
    line = {"type": "cost-state", "sessionId": made.session, "totalCostUSD": dollars, "uuid": uuid, "startTime": 1}
    made.lines.append({**line, "modelUsage": {}, "hasUnknownModelCost": False})


WORK = Work(prices, Wanted(), idle_prone=True)
Result = tuple[list[ReplayedSession], Problems, int]


def whole(sessions: list[Group]) -> Result:
    """
    The result without parts.
    """
    problems, read = Problems(), list[int]()
    return list(replayed(sessions, WORK, None, problems, read.append)), problems, sum(read)


def in_parts(sessions: list[Group], parts: list[list[int]], order: list[int]) -> Result:
    """
    The result of some parts, in the order in which they come.
    """
    rates = WORK.rates()

    def results() -> Iterator[tuple[int, list[ReplayedGroup]]]:
        for number in order:
            yield number, replay_part([sessions[place] for place in parts[number]], WORK, rates)

    problems, read = Problems(), list[int]()
    return list(merged(sessions, parts, results(), WORK, problems, read.append)), problems, sum(read)


@pytest.fixture(scope="module")
def related(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[Group], Result]]:
    """
    Some sets of related sessions, each with its result without parts.
    """
    sets = []
    for seed in range(3):
        folder = tmp_path_factory.mktemp("related")
        write_related(folder, seed)
        sessions = groups(walk([str(folder)]))
        sets.append((sessions, whole(sessions)))
    return sets


@given(st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_split_in_any_order(related: list[tuple[list[Group], Result]], data: st.DataObject) -> None:
    """
    Whatever part a session is in, and whenever a part comes, also twice: the result is the same.
    """
    sessions, expected = data.draw(st.sampled_from(related))
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(sessions), max_size=len(sessions)))
    split = [[place for place, label in enumerate(labels) if label == number] for number in range(4)]
    parts = [part for part in split if part]
    order = data.draw(st.permutations([*range(len(parts)), data.draw(st.integers(0, len(parts) - 1))]))

    assert in_parts(sessions, parts, order) == expected


def test_a_copy_of_a_copy_in_another_part(tmp_path: Path) -> None:
    """
    The third session repeats the second, which repeats the first with another beginning. Who reads the last two does not know
    that the first one has these answers.
    """
    first = a_session("first", [10, 400])
    second = Transcript("second", at=first.at).user().answer("own", usage(w5=77))
    second.lines += first.lines
    third = Transcript("third", at=first.at)
    third.lines += second.lines
    third.wait(hours=1).user().answer("more", usage(read=41_000))
    counted(third, 9)
    for one in (first, second, third):
        one.write(tmp_path)
    sessions = groups(walk([str(tmp_path)]))

    assert [group.session for group in sessions] == ["first", "second", "third"]
    assert in_parts(sessions, [[0], [1, 2]], [0, 1]) == whole(sessions)
