"""
Checkpoints of a ledger's write-ahead log, which copy its pages into the database file.

Rule of this file: no commit waits for a checkpoint. SQLite would run a checkpoint inside the commit that makes the log
too long, and that commit would wait about 10 ms for two syncs of the disk. Here a thread runs it.

The terms are those of SQLite: https://www.sqlite.org/wal.html and
https://www.sqlite.org/pragma.html#pragma_wal_checkpoint.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

from savemode_cli.database import beside, connect

COMMITS = 400
"""How many commits of this process cause a checkpoint: about 4 MB of log, with five pages of 2 KB for each commit."""

_COMMIT_BYTES = 10_000  # how much a commit adds to the log
_NEW_COMMITS = 20  # at least this many before the first checkpoint, even if the log was already long
_MAX_PAGES = (
    4 * COMMITS * 5
)  # the length of the log that makes a checkpoint block writers: four times the normal length
_BUSY_S = 1.0


class Checkpoints:
    """
    Counts the commits of one connection and starts a checkpoint when one is due.

    SQLite before 3.51.3 can damage a file if a checkpoint begins when the log has just been copied completely and another
    connection starts the log again (https://www.sqlite.org/wal.html#walresetbug). So a checkpoint only begins if this
    process has added to the log since the last checkpoint of any process, and only one process runs one at a time.
    """

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: the database file, which is open in WAL mode and has no automatic checkpoints.
        """
        self._path = path
        self._thread: Thread | None = None
        # A log that killed processes left behind is part of the next checkpoint, so that one is due earlier.
        size = _size(beside(path)[0])
        self._start(min(size // _COMMIT_BYTES, COMMITS - _NEW_COMMITS))

    def committed(self) -> None:
        """
        Count a commit. This takes less than a microsecond, except when it starts a thread.
        """
        self._commits += 1
        if self._commits >= COMMITS and (self._thread is None or not self._thread.is_alive()):
            written = self._written_ns
            self._start(0)
            self._thread = Thread(target=self._run, args=(written,), name="ledger-checkpoint", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """
        Wait for a running checkpoint.
        """
        if self._thread is not None:
            self._thread.join()

    def _start(self, commits: int) -> None:
        """
        Start to count again. In WAL mode only a checkpoint writes to the database file, so the file's time is that of the
        last checkpoint.
        """
        self._commits = commits
        self._written_ns = _written_ns(self._path)

    def _run(self, written_ns: int) -> None:
        # If it fails, for example on a full disk, or the file was deleted: the log has everything, and the next attempt is soon.
        with suppress(sqlite3.Error, OSError), _alone(beside(self._path)[0]):
            if _written_ns(self._path) == written_ns:
                checkpoint(self._path)
        self._start(min(self._commits, COMMITS - _NEW_COMMITS))


def checkpoint(path: Path) -> None:
    """
    Copy the log into the database file, as far as that is possible without blocking readers and writers.

    If no commit came meanwhile, the next commit starts the log again. Under continuous load a commit always comes, and
    the log grows. When it is too long, the checkpoint blocks writers while it copies the rest.

    Args:
        path: the database file.

    Raises:
        sqlite3.Error: nothing, or only a part, was copied; no data is lost.
    """
    with closing(connect(path, _BUSY_S)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA synchronous = NORMAL")
        _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > _MAX_PAGES:
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()


@contextmanager
def _alone(log: Path) -> Iterator[None]:
    """
    Only one process runs this block at a time. SQLite does not lock the log file itself, so this can use its lock.

    Raises:
        OSError: another process runs a checkpoint, or there is no log.
    """
    handle = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
