"""
Worker processes, and how they end. That they give the same result as one process is in test_sessions.py.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from savemode_cli.readers.processes import Processes, safe_path

INTERRUPTED = """
import os, signal
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.readers.processes import _start_worker
from savemode_cli.readers.sessions import Work
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


def test_parts() -> None:
    """
    One process needs no parts.
    """
    assert (Processes(1).parts(10**9), Processes(2).parts(10**9)) == (1, 8)


def test_safe_path() -> None:
    """
    The variable is as it was afterwards.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    with safe_path():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ.get("PYTHONSAFEPATH") == before
