"""
What can go wrong with a file: locked, damaged, deleted, replaced, read-only, full, foreign, newer.
"""

import fcntl
import logging
import os
import resource
import socket
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as with_fields

from savemode_cli import database
from savemode_cli.core.budget.admission import Allowed, Balance, Hold
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import Reserve, reserve, settle
from savemode_cli.core.errors import LedgerBusy, LedgerUnavailable
from savemode_cli.ledgers import sqlite_file
from savemode_cli.ledgers.sqlite import SqliteLedger
from savemode_cli.ledgers.sqlite_file import APPLICATION_ID, MIGRATIONS
from tests.ledgers.worker import NOW

LIMIT = limit_of(Budget("b", 1000), "", NOW)


def nothing_is_forbidden() -> bool:
    """
    Whether file permissions do not apply to this process, as for root with all capabilities.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        return os.access(folder, os.W_OK)


needs_permissions = pytest.mark.skipif(nothing_is_forbidden(), reason="nothing is forbidden to root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    The path of the ledger.
    """
    return tmp_path / "ledgers" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    """
    A new ledger that does not wait for other processes.
    """
    made = SqliteLedger(path, busy_s=0)
    yield made
    made.close()


def spend(ledger: SqliteLedger, hold_id: str, nusd: int = 10) -> None:
    """
    One request.
    """
    decision = reserve(ledger, Hold(hold_id, (LIMIT.key,), nusd, NOW + timedelta(minutes=10)), [LIMIT], NOW)
    assert isinstance(decision, Allowed)
    assert settle(ledger, hold_id, nusd, "reported", NOW) == "charged"


def spent(ledger: SqliteLedger) -> int:
    """
    The amount spent by all requests.
    """
    return ledger.balance(LIMIT.key, NOW).settled_nusd


def fails(call: Callable[[], object], *words: str) -> LedgerUnavailable:
    """
    The call raises LedgerUnavailable with these words and a hint.
    """
    with pytest.raises(LedgerUnavailable) as error:
        call()
    assert all(word in error.value.message for word in words), error.value.message
    assert error.value.hint
    return error.value


def test_schema(path: Path, ledger: SqliteLedger) -> None:
    """
    The schema after all migrations. A released migration is never edited, and this test shows a change to one.
    """
    spend(ledger, "h")
    with sqlite3.connect(path) as db:
        objects = [
            tuple(row) for row in db.execute("SELECT type, name FROM sqlite_master WHERE sql != '' ORDER BY 1, 2")
        ]
        charge = db.execute("SELECT * FROM charges").fetchall()
        version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()

    assert (len(MIGRATIONS), 5) == (version, version)
    assert objects == [
        ("index", "counted_holds"),
        *(("table", name) for name in ("allowance", "allowances", "balances", "budget_terms", "budgets")),
        *(("table", name) for name in ("charges", "holds", "outstanding", "personal_limits", "rolling_charges")),
        *(("trigger", f"charges_{what}") for what in ("no_delete", "no_update", "rolling")),
        *(("trigger", f"holds_{verb}") for verb in ("delete", "insert", "release")),
    ]
    assert charge == [(1, "h", 0, LIMIT.key, 10, "reported", "", "2026-11-24T12:00:00.000000+00:00", 0)]


@pytest.mark.parametrize("statement", ["DELETE FROM charges", "UPDATE charges SET nusd = 0"])
def test_charges_are_only_ever_added(path: Path, ledger: SqliteLedger, statement: str) -> None:
    """
    Charges cannot be changed or deleted, not even with SQL.
    """
    spend(ledger, "h")
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        db.execute(statement)
    db.close()


def test_charges_are_stored(path: Path) -> None:
    """
    Charges of one process are visible to the next.
    """
    for number in range(3):
        ledger = SqliteLedger(path)
        assert spent(ledger) == number * 10
        spend(ledger, f"h{number}")
        ledger.close()


def test_private(path: Path, ledger: SqliteLedger) -> None:
    """
    Mode 0700 for the folder, and 0600 for the file and SQLite's files next to it.
    """
    spend(ledger, "h")
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}

    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_made_private(path: Path) -> None:
    """
    A ledger that other users can read, for example a copy from a backup, becomes private when it is opened.
    """
    SqliteLedger(path).close()
    path.chmod(0o644)
    SqliteLedger(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_symbolic_link(path: Path, tmp_path: Path, ending: str) -> None:
    """
    The target of a link is not touched.
    """
    path.parent.mkdir()
    target = tmp_path / "target"
    target.write_text("mine")
    path.with_name(path.name + ending).symlink_to(target)

    fails(lambda: SqliteLedger(path), "symbolic link")
    assert target.read_text() == "mine"


def test_folder_open_to_all(path: Path) -> None:
    """
    If every user can replace the file, a cap has no effect.
    """
    path.parent.mkdir()
    path.parent.chmod(0o777)
    fails(lambda: SqliteLedger(path), "every user can replace files")

    path.parent.chmod(0o1777)
    SqliteLedger(path).close()


def test_not_a_file(path: Path) -> None:
    """
    A folder and a socket are not ledgers.
    """
    path.mkdir(parents=True)
    fails(lambda: SqliteLedger(path), "not a regular file")

    path.rmdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        fails(lambda: SqliteLedger(path), "not a regular file")


def test_folder_is_a_file(tmp_path: Path) -> None:
    """
    The file cannot be created.
    """
    (tmp_path / "file").write_text("")

    fails(lambda: SqliteLedger(tmp_path / "file" / "ledger.db"), "cannot open the ledger")


@needs_permissions
def test_read_only_folder(path: Path) -> None:
    """
    The file cannot be created.
    """
    path.parent.mkdir(mode=0o500)

    fails(lambda: SqliteLedger(path), "cannot open the ledger", "Permission denied")


@needs_permissions
def test_read_only_file(path: Path) -> None:
    """
    The error comes when the file is opened. SQLite itself would open it read-only.
    """
    SqliteLedger(path).close()
    path.chmod(0o400)

    fails(lambda: SqliteLedger(path), "cannot open the ledger", "not writable")


def test_file_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same, on systems where this applies to root too.
    """
    SqliteLedger(path).close()
    monkeypatch.setattr(os, "access", lambda *_: False)

    fails(lambda: SqliteLedger(path), "cannot open the ledger", "not writable")


def test_becomes_read_only(ledger: SqliteLedger) -> None:
    """
    For example after the file system was remounted: balances can be read, and holds cannot be written.
    """
    spend(ledger, "h")
    ledger._db.execute("PRAGMA query_only = ON")

    fails(lambda: spend(ledger, "i"), "cannot reserve in the ledger", "not writable")
    assert spent(ledger) == 10


def test_locked_by_another_process(path: Path, ledger: SqliteLedger) -> None:
    """
    The error comes after the busy timeout, and the ledger works again afterwards.
    """
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for call in (lambda: spend(ledger, "h"), ledger.check):
        assert isinstance(fails(call, "another process keeps it locked"), LedgerBusy)
    assert spent(ledger) == 0

    other.execute("ROLLBACK")
    other.close()
    spend(ledger, "h")
    assert spent(ledger) == 10


@pytest.mark.parametrize("busy_s", [0, 0.03])
def test_another_process_never_ends_opening(path: Path, busy_s: float) -> None:
    """
    Opening waits for other processes for a limited time.
    """
    path.parent.mkdir()
    handle = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    error = fails(lambda: SqliteLedger(path, busy_s=busy_s), "another process keeps it locked")
    assert isinstance(error, LedgerBusy)
    os.close(handle)
    SqliteLedger(path, busy_s=busy_s).close()


def test_not_a_database(path: Path) -> None:
    """
    Another kind of file is not changed.
    """
    path.parent.mkdir()
    path.write_text("buy milk\n" * 1000)
    path.chmod(0o644)

    error = fails(lambda: SqliteLedger(path), "not an SQLite database")
    assert f"mv {path} {path}.old" in error.hint
    assert path.read_text().startswith("buy milk")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("statement", ["CREATE TABLE music (name)", "PRAGMA user_version = 7"])
def test_database_of_another_program(path: Path, statement: str) -> None:
    """
    It is refused before anything is written to it, including its journal mode.
    """
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()
    before = path.read_bytes()

    fails(lambda: SqliteLedger(path), "another program")
    assert path.read_bytes() == before


def test_newer_schema(path: Path) -> None:
    """
    A ledger of a newer version is not changed, and the error says so.
    """
    SqliteLedger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    error = fails(lambda: SqliteLedger(path), "newer savemode", "99")
    assert "upgrade savemode" in error.hint


def test_migration(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An older file is migrated and keeps its content; a failed migration changes nothing.
    """
    ledger = SqliteLedger(path)
    spend(ledger, "h")
    ledger.close()

    def fails_halfway(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE later (one)")
        db.execute("INSERT INTO nowhere VALUES (1)")

    def works(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE later (two)")

    monkeypatch.setattr(sqlite_file, "MIGRATIONS", (*MIGRATIONS, fails_halfway))
    fails(lambda: SqliteLedger(path), "nowhere")
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", (*MIGRATIONS, works))
    ledger = SqliteLedger(path)
    assert spent(ledger) == 10
    assert ledger._db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    assert ledger._db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    ledger.close()


def old_hold(db: sqlite3.Connection, hold_id: str, key: str, expires_at: datetime, released: int = 0) -> None:
    """
    A hold of 10 as the first schema stores it.
    """
    values = (hold_id, 0, key, 10, expires_at.isoformat(timespec="microseconds"), "m", 0, released)
    db.execute("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def test_holds_of_an_older_file_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The sums of open holds are correct after the migration, and after an older savemode with the same file open writes to
    it.
    """
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", MIGRATIONS[:1])
    SqliteLedger(path).close()
    monkeypatch.undo()
    other = sqlite3.connect(path, isolation_level=None)
    for number, released in enumerate((0, 0, 1)):
        old_hold(other, f"h{number}", "k", NOW, released)
    old_hold(other, "later", "k", NOW + timedelta(minutes=1))
    ledger = SqliteLedger(path)
    assert ledger.balances(NOW) == {"k": Balance(0, 20, 10)}

    old_hold(other, "new", "k", NOW)
    other.execute("UPDATE holds SET released = 1 WHERE hold_id = 'h0' AND released = 0")
    other.execute("DELETE FROM holds WHERE hold_id IN ('h1', 'h2')")
    other.close()
    assert ledger.balances(NOW) == {"k": Balance(0, 10, 10)}
    ledger.close()


def test_abandoned_holds_cost_a_request_nothing(ledger: SqliteLedger) -> None:
    """
    SQLite does the same work for a request with 2,000 expired holds as with none.
    """
    spend(ledger, "warm")

    def instructions() -> int:
        count = 0

        def counted() -> int:
            nonlocal count
            count += 1
            return 0

        ledger._db.set_progress_handler(counted, 10)
        spend(ledger, f"h{len(ledger.charges())}", 0)
        ledger._db.set_progress_handler(None, 0)
        return count

    alone = instructions()
    hold = Hold("abandoned", (LIMIT.key,), 0, NOW - timedelta(minutes=10))
    for first in range(0, 2_000, 500):
        ledger.post((), [Reserve(with_fields(hold, id=f"a{n}"), (), NOW) for n in range(first, first + 500)])

    assert len(ledger.holds(NOW)) == 2_000
    assert instructions() < 1.5 * alone


def test_pages_of_a_new_file_are_small(path: Path) -> None:
    """
    Half of the default size, because each commit writes whole pages; a file with other pages keeps them and is a valid
    ledger.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA page_size = 8192")
        db.execute("CREATE TABLE gone (one)")
        db.execute("DROP TABLE gone")
    db.close()
    sizes = []
    for file in (path, path.with_name("new.db")):
        ledger = SqliteLedger(file)
        spend(ledger, "h")
        sizes.append(ledger._db.execute("PRAGMA page_size").fetchone()[0])
        assert spent(ledger) == 10
        ledger.close()

    assert sizes == [8192, 2048]


def test_budget_dropped_while_it_is_read(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A thread that reads the budgets while another one drops a budget does not keep the dropped one.
    """
    ledger.set_budget(Budget("default", 5))
    begun = ledger._transaction

    def read_first(*words: str) -> AbstractContextManager[sqlite3.Connection]:
        monkeypatch.undo()
        assert [one.name for one in ledger.budgets()] == ["default"]
        return begun(*words)

    assert ledger.budgets() is ledger.budgets()
    monkeypatch.setattr(ledger, "_transaction", read_first)
    assert ledger.drop_budget("default")

    assert ledger.budgets() == ()


def test_failed_commit_is_undone_and_explained(ledger: SqliteLedger) -> None:
    """
    An error at the end of a transaction is explained like any other, and the transaction is rolled back.
    """
    ledger._db.execute("PRAGMA foreign_keys = ON")
    ledger._db.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
    ledger._db.execute("CREATE TABLE children (id REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)")

    with (
        pytest.raises(LedgerUnavailable, match="cannot test the ledger"),
        ledger._transaction("test", "BEGIN IMMEDIATE") as db,
    ):
        db.execute("INSERT INTO children VALUES (1)")

    assert ledger._db.execute("SELECT count(*) FROM children").fetchone() == (0,)
    spend(ledger, "h")
    assert spent(ledger) == 10


def test_full_disk(ledger: SqliteLedger) -> None:
    """
    A request that does not fit changes nothing, and the ledger works again when there is space.
    """
    spend(ledger, "h")
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    long_key = "k" * 20_000
    hold = Hold("big", (long_key,), 1, NOW + timedelta(minutes=10))

    error = fails(lambda: reserve(ledger, hold, [], NOW), "the disk is full")
    assert not isinstance(error, LedgerBusy)
    assert "free some space" in error.hint
    assert ledger.balance(long_key, NOW) == Balance()
    ledger._db.execute("PRAGMA max_page_count = 100000")
    reserve(ledger, hold, [], NOW)
    assert ledger.balance(long_key, NOW) == Balance(held_nusd=1)


def test_check_writes(path: Path, ledger: SqliteLedger) -> None:
    """
    It fails if nothing can be written, even if a transaction without a change would succeed; it changes no version.
    """
    spend(ledger, "h")
    log = path.with_name("ledger.db-wal")
    before = log.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before, limits[1]))
    try:
        fails(ledger.check, "cannot write the ledger")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    ledger.check()

    assert log.stat().st_size > before
    assert ledger._db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert spent(ledger) == 10


def test_opening_waits_longer_than_calls(path: Path) -> None:
    """
    Calls of a proxy do not wait, because its event loop makes them; opening waits, because it happens before the loop
    starts.
    """
    path.parent.mkdir()
    handle = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    threading.Timer(0.05, os.close, (handle,)).start()
    ledger = SqliteLedger(path, busy_s=0, opening_s=60)

    assert ledger._db.execute("PRAGMA busy_timeout").fetchone() == (0,)
    ledger.close()


def damage(path: Path, how: str) -> None:
    """
    Damage a ledger that no process has open.
    """
    with path.open("r+b") as file:
        if how == "garbage":
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        else:
            file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize("how", ["garbage", "truncated"])
def test_damaged_file(path: Path, how: str) -> None:
    """
    Damage is reported, at the latest by the call that reads the damaged part.
    """
    ledger = SqliteLedger(path)
    for number in range(50):
        spend(ledger, f"h{number}")
    ledger.close()
    damage(path, how)

    def use() -> None:
        ledger = SqliteLedger(path)
        try:
            spend(ledger, "new")
            ledger.charges()
        finally:
            ledger.close()

    error = fails(use, "damaged")
    assert "mv " in error.hint


def test_deleted_while_it_is_open(path: Path, ledger: SqliteLedger, caplog: pytest.LogCaptureFixture) -> None:
    """
    The next call uses a new file, which it shares with other processes, and logs that earlier spend is not in it.
    """
    spend(ledger, "h")
    path.unlink()
    other = SqliteLedger(path)
    spend(other, "i", 3)

    with caplog.at_level(logging.WARNING, "savemode.ledger"):
        assert spent(ledger) == 3
    assert "ledger.reopened" in caplog.text
    spend(ledger, "j", 4)
    assert (spent(other), spent(ledger)) == (7, 7)
    assert other._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()


def test_deleted_with_its_folder(path: Path, ledger: SqliteLedger) -> None:
    """
    Both are created again.
    """
    for one in path.parent.iterdir():
        one.unlink()
    path.parent.rmdir()

    spend(ledger, "h")
    assert spent(ledger) == 10


def test_deleted_and_no_place_for_a_new_one(path: Path, ledger: SqliteLedger) -> None:
    """
    The ledger is unavailable until a file can be created.
    """
    path.unlink()
    path.mkdir()
    for _ in range(2):
        fails(lambda: spent(ledger), "not a regular file")

    path.rmdir()
    spend(ledger, "h")
    assert spent(ledger) == 10


def test_replaced_while_it_is_open(path: Path, tmp_path: Path, ledger: SqliteLedger) -> None:
    """
    The new file is read as it is: the old file's log, which is still there, is not applied to it.
    """
    for number in range(20):
        spend(ledger, f"h{number}")
    backup = SqliteLedger(tmp_path / "backup.db")
    spend(backup, "b", 7)
    backup.close()
    (tmp_path / "backup.db").replace(path)

    assert spent(ledger) == 7
    spend(ledger, "h0", 1)
    assert spent(ledger) == 8


def test_deleted_while_it_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file that is deleted while it is opened is not used.
    """
    migrate = database.migrate

    def migrate_and_delete(db: sqlite3.Connection, *what: object) -> None:
        migrate(db, *what)  # type: ignore[arg-type]
        path.unlink()

    monkeypatch.setattr(sqlite_file, "migrate", migrate_and_delete)

    fails(lambda: SqliteLedger(path), "deleted while it was opened")


def test_settle_after_the_file_was_deleted(path: Path, ledger: SqliteLedger) -> None:
    """
    The hold is deleted with the file; the result says that nothing was charged.
    """
    reserve(ledger, Hold("h", (LIMIT.key,), 10, NOW + timedelta(minutes=10)), [LIMIT], NOW)
    path.unlink()

    assert settle(ledger, "h", 10, "reported", NOW) == "unknown"


def test_interrupted_transaction_is_rolled_back(ledger: SqliteLedger) -> None:
    """
    After any exception in a transaction, the next call works normally.
    """

    def interrupted() -> None:
        with ledger._transaction("test", "BEGIN IMMEDIATE") as db:
            db.execute("INSERT INTO balances VALUES ('k', 5)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert ledger.balances(NOW) == {}
    spend(ledger, "h")


def test_closed(ledger: SqliteLedger) -> None:
    """
    Closing twice does nothing; using a closed ledger is an error.
    """
    ledger.close()
    ledger.close()

    fails(lambda: spent(ledger), "was closed")
