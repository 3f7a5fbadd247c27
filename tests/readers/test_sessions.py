"""
Sessions are replayed one by one or by several processes, and nobody can tell which.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from savemode_cli.core.pricing import PriceTable
from savemode_cli.core.recorded import Wanted
from savemode_cli.core.replay import SessionReplay
from savemode_cli.readers.files import walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.sessions import Work, replayed
from savemode_cli.readers.transcripts import groups
from tests.builders import a_price
from tests.transcripts import Transcript, a_session, usage


def prices() -> PriceTable:
    """
    One model's; at the top of the module, where another process finds it.
    """
    return PriceTable([a_price()])


def run(folder: Path, jobs: int) -> tuple[list[SessionReplay], Problems, int]:
    """
    What is below a folder, the problems met, and the bytes that were told of.
    """
    problems, told = Problems(), []
    done = list(
        replayed(groups(walk([str(folder)])), Work(prices, Wanted(), idle_prone=True), jobs, problems, told.append)
    )
    return done, problems, sum(told)


def test_several_processes_give_the_same(tmp_path: Path) -> None:
    """
    Though answers stand in files that only a reading of all of them ties together, and though lines are broken.
    """
    for number in range(6):
        made = a_session(f"s{number}", [10, 400, 20 * number])
        made.wait(hours=number)
        path = made.write(tmp_path)
        path.write_text(path.read_text() + "{\n")
    # The same answers under another beginning: no family tie.
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
    However many may be used; one without a wanted request is none.
    """
    a_session("s", [10]).write(tmp_path)
    done, _, _ = run(tmp_path, 4)
    assert [one.requests for one in done] == [2]

    work = Work(prices, Wanted(session="other"), idle_prone=False)
    assert list(replayed(groups(walk([str(tmp_path)])), work, 1, Problems(), lambda _: None)) == []


INTERRUPTED = """
import os, signal
from savemode_cli.core.pricing import PriceTable
from savemode_cli.core.recorded import Wanted
from savemode_cli.readers.sessions import Work, _begin
from tests.builders import a_price

_begin(Work(lambda: PriceTable([a_price()]), Wanted(), idle_prone=True))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_process_of_the_pool_ends_at_ctrl_c_without_a_word() -> None:
    """
    A terminal sends it to all of them; only their parent has something to say.
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, env=environment, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
