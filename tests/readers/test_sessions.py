"""
Sessions are replayed one by one or by several processes, with the same result.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.core.replay.sessions import SessionReplay
from savemode_cli.readers.files import walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.sessions import Work, replayed
from savemode_cli.readers.transcript_files import groups
from tests.builders import a_price
from tests.support.transcripts import Transcript, a_session, usage


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
    done = list(replayed(groups(walk([str(folder)])), work, jobs, problems, told.append))
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
    (session,) = replayed(groups(walk([str(tmp_path)])), work, 1, Problems(), lambda _: None)
    assert (session.replay, session.bill[0]) == (None, 2)


INTERRUPTED = """
import os, signal
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.readers.sessions import Work, _start_worker
from tests.builders import a_price

_start_worker(Work(lambda: PriceTable([a_price()]), Wanted(), idle_prone=True))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_worker_ends_at_ctrl_c_without_output() -> None:
    """
    A terminal sends the signal to all processes, and only the parent reports it.
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, env=environment, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
