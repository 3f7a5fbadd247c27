"""
Replays parts of the sessions in other processes of this machine.

Rule of this file: a worker process gets sessions and returns sums.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager

from savemode_cli.readers.sessions import Rates, ReplayedGroup, Work, replay_part
from savemode_cli.readers.transcript_files import Group

_PARTS_PER_JOB = 4
"""
More than one, so that no process waits long for the last one. Not many, because each part starts without the IDs of the
others.
"""


class Processes:
    """
    A pool of processes.
    """

    def __init__(self, jobs: int) -> None:
        """
        Args:
            jobs: how many processes there are at most. With 1 there is none but this one.
        """
        self._jobs = jobs

    def parts(self, total_bytes: int) -> int:  # noqa: ARG002 - the size does not matter here
        """
        Into how many parts the sessions are divided.
        """
        return self._jobs * _PARTS_PER_JOB if self._jobs > 1 else 1

    def replay(self, work: Work, parts: Sequence[Sequence[Group]]) -> Iterator[tuple[int, list[ReplayedGroup]]]:
        """
        Replay each part in one of the processes.
        """
        workers = min(self._jobs, len(parts))
        with safe_path(), ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(work,)) as pool:
            running = {pool.submit(_replay, part): number for number, part in enumerate(parts)}
            for future in as_completed(running):
                yield running[future], future.result()


@contextmanager
def safe_path() -> Iterator[None]:
    """
    Within this block, new processes do not look for modules in the working directory. On systems without fork, Python
    starts them with `-c`, which puts that directory first, and any user may be able to write to it.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


_worker_state: tuple[Work, Rates] | None = None
"""
The work of this process. It is set once when the process starts, so that a price table is not sent with every part.
"""


def _start_worker(work: Work) -> None:
    global _worker_state  # noqa: PLW0603 - the only way to pass a value to a worker process once
    # Ctrl-C reaches every process of a terminal. A worker ends at once, and only its parent reports it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _worker_state = work, work.rates()


def _replay(groups: Sequence[Group]) -> list[ReplayedGroup]:
    assert _worker_state is not None  # noqa: S101 - the pool's initializer has run
    work, rates = _worker_state
    return replay_part(groups, work, rates)
