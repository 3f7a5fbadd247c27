"""
When checkpoints run, in which thread, and what they do.
"""

import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.ledgers import checkpoints
from savemode_cli.ledgers.sqlite import SqliteLedger
from tests.ledgers.worker import NOW
from tests.support.waiting import until

LIMIT = limit_of(Budget("b", 10**9), "", NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    The path of the ledger.
    """
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteLedger]:
    """
    A new ledger with a checkpoint after 40 commits, which are 20 requests.
    """
    monkeypatch.setattr(checkpoints, "COMMITS", 40)
    monkeypatch.setattr(
        checkpoints, "_COMMIT_BYTES", 10**9
    )  # the schema is in the log, but is not a commit of a request
    ledger = SqliteLedger(path)
    yield ledger
    ledger.close()


def spend(ledger: SqliteLedger, requests: int) -> None:
    """
    This many requests of one nano-dollar, with two commits each.
    """
    first = len(ledger.charges())
    for number in range(first, first + requests):
        reserve(ledger, Hold(f"h{number}", (LIMIT.key,), 2, NOW + timedelta(minutes=10)), [LIMIT], NOW)
        assert settle(ledger, f"h{number}", 1, "reported", NOW) == "charged"


def copied(path: Path) -> int:
    """
    How many charges are in the database file without its log.
    """
    alone = path.with_name("alone.db")
    shutil.copy(path, alone)
    try:
        with closing(sqlite3.connect(alone)) as db:
            return int(db.execute("SELECT count(*) FROM charges").fetchone()[0])
    except sqlite3.DatabaseError:
        return 0  # the file has no schema yet
    finally:
        alone.unlink()


def settled(ledger: SqliteLedger) -> None:
    """
    Wait for a running checkpoint.
    """
    ledger._checkpoints.close()


def test_log_is_copied_in_another_thread(path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No commit copies anything, not even one that makes the log longer than SQLite's own limit.
    """
    threads: list[str] = []
    real = checkpoints.checkpoint

    def noted(path: Path) -> None:
        threads.append(threading.current_thread().name)
        real(path)

    monkeypatch.setattr(checkpoints, "checkpoint", noted)
    assert ledger._db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    spend(ledger, 19)
    settled(ledger)
    assert (threads, copied(path)) == ([], 0)

    spend(ledger, 1)
    settled(ledger)
    assert (threads, copied(path)) == (["ledger-checkpoint"], 20)


def test_log_starts_again_after_a_checkpoint(path: Path, ledger: SqliteLedger) -> None:
    """
    After any number of requests, the log file is about as long as at the first checkpoint.
    """
    log = path.with_name("ledger.db-wal")
    spend(ledger, 20)
    settled(ledger)
    size = log.stat().st_size
    for _ in range(10):
        spend(ledger, 20)
        settled(ledger)

    assert copied(path) > 150
    assert log.stat().st_size < 2 * size


def test_commits_during_a_checkpoint_are_not_lost(path: Path, ledger: SqliteLedger) -> None:
    """
    Another thread and a second connection write while checkpoints run continuously; all charges are stored.
    """
    other = SqliteLedger(path)
    stop = threading.Event()

    def copy_always() -> None:
        while not stop.is_set():
            checkpoints.checkpoint(path)

    thread = threading.Thread(target=copy_always)
    thread.start()
    try:
        for number in range(100):
            for name, one in (("a", ledger), ("b", other)):
                hold = Hold(f"{name}{number}", (LIMIT.key,), 2, NOW + timedelta(minutes=10))
                reserve(one, hold, [LIMIT], NOW)
                assert settle(one, hold.id, 1, "reported", NOW) == "charged"
    finally:
        stop.set()
        thread.join()

    assert len(other.charges()) == 200
    assert ledger._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()


def test_checkpoint_of_another_process_counts(
    path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Two processes do not copy the log one after the other: a checkpoint of another process starts the count again.
    """
    spend(ledger, 15)
    checkpoints.checkpoint(path)
    ran: list[Path] = []
    monkeypatch.setattr(checkpoints, "checkpoint", ran.append)
    spend(ledger, 5)
    settled(ledger)
    assert ran == []

    spend(ledger, 20)
    settled(ledger)
    assert ran == [path]


def test_one_process_at_a_time(path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While another process runs a checkpoint, none begins here, and nothing waits for it.
    """
    ran: list[Path] = []
    monkeypatch.setattr(checkpoints, "checkpoint", ran.append)
    log = os.open(path.with_name("ledger.db-wal"), os.O_RDONLY)
    fcntl.flock(log, fcntl.LOCK_EX)
    spend(ledger, 20)
    settled(ledger)
    os.close(log)

    assert ran == []


class Hurried(sqlite3.Connection):
    """
    A connection whose passive checkpoints never reach the end of the log, because another connection commits meanwhile.
    """

    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        """
        A checkpoint does not copy what was written after the snapshot of a reader.
        """
        if "PASSIVE" not in sql:
            return super().execute(sql, *more)
        path = self.execute("PRAGMA database_list").fetchone()[2]
        with closing(sqlite3.connect(path, isolation_level=None)) as reader, closing(sqlite3.connect(path)) as writer:
            reader.execute("BEGIN")
            reader.execute("SELECT until FROM allowance").fetchone()
            writer.execute("PRAGMA wal_autocheckpoint = 0")
            writer.execute("INSERT OR REPLACE INTO balances VALUES ('another', random() % 1000)")
            writer.commit()
            return super().execute(sql)


def test_log_does_not_grow_under_a_load_without_pauses(
    path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    If a commit comes during every checkpoint, the log cannot start again until it is so long that a checkpoint blocks
    writers.
    """
    monkeypatch.setattr(
        checkpoints, "connect", lambda path, s: sqlite3.connect(path, s, isolation_level=None, factory=Hurried)
    )
    monkeypatch.setattr(checkpoints, "_MAX_PAGES", 500)
    log = path.with_name("ledger.db-wal")
    sizes = []
    for _ in range(12):
        spend(ledger, 20)
        settled(ledger)
        sizes.append(log.stat().st_size)

    assert sizes[1] > 1.5 * sizes[0]
    assert sizes[-1] < 2 * 500 * 2048
    assert len(ledger.charges()) == 240


def test_log_of_a_killed_process_brings_the_next_checkpoint_forward(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    If a proxy is always killed before its first checkpoint, the log does not grow without limit.
    """
    first = SqliteLedger(path)
    spend(first, 100)
    ran: list[Path] = []
    monkeypatch.setattr(checkpoints, "checkpoint", ran.append)
    monkeypatch.setattr(checkpoints, "COMMITS", 100)
    second = SqliteLedger(path)
    spend(second, 10)
    settled(second)

    assert ran == [path]
    first.close()
    second.close()


def test_checkpoint_that_fails_is_tried_again(
    path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    For example on a full disk: meanwhile the log has everything.
    """
    real, attempts = checkpoints.checkpoint, []

    def failing(path: Path) -> None:
        attempts.append(path)
        if len(attempts) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        real(path)

    monkeypatch.setattr(checkpoints, "checkpoint", failing)
    spend(ledger, 20)
    settled(ledger)
    assert copied(path) == 0

    spend(ledger, 20)
    until(lambda: copied(path) >= 40)
    assert len(ledger.charges()) == 40


def test_file_that_is_gone_has_no_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No new file is created.
    """
    monkeypatch.setattr(checkpoints, "COMMITS", 1)
    counted = checkpoints.Checkpoints(path)
    counted.committed()
    counted.close()

    assert not path.exists()


def test_closing_waits_for_a_checkpoint(path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The last connection copies the rest and removes the log, which it cannot do while another one is open.
    """
    started, go = threading.Event(), threading.Event()
    real = checkpoints.checkpoint

    def slow(path: Path) -> None:
        started.set()
        go.wait()
        real(path)

    monkeypatch.setattr(checkpoints, "checkpoint", slow)
    spend(ledger, 20)
    assert started.wait(60)
    threading.Timer(0.05, go.set).start()
    ledger.close()

    assert not path.with_name("ledger.db-wal").exists()
