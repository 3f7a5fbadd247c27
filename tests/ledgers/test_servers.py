"""
The servers that the tests start.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.servers import WITHOUT_POSTGRES, ends_with_us, postgres_programs, redis_program
from tests.support.waiting import until

STARTED = """
import signal
from tests.support.servers import running_postgres, running_redis
with running_redis() as redis, running_postgres() as postgres:
    print(redis.process.pid, *postgres._processes(), flush=True)
    signal.pause()
"""


@pytest.mark.skipif(postgres_programs() is None or redis_program() is None, reason=WITHOUT_POSTGRES)
@pytest.mark.skipif(not ends_with_us("KILL"), reason="setpriv is not installed")
def test_killed_test_run_leaves_no_server_behind() -> None:
    """
    The kernel ends what it started.
    """
    process = subprocess.Popen([sys.executable, "-c", STARTED], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) > 3
    process.kill()
    process.communicate()

    until(lambda: not any(map(is_running, pids)))


def is_running(pid: int) -> bool:
    """
    Whether there is a process of this number that has not ended.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
