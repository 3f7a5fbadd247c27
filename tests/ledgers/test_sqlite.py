"""
What can go wrong with a file: locked, damaged, gone, replaced, read-only, full, foreign, from the future.
"""

import fcntl
import logging
import os
import socket
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from savemode_cli.core.admission import Allowed, Balance, Hold
from savemode_cli.core.budget import Budget, limit_of
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers import sqlite_file
from savemode_cli.ledgers.sqlite import SqliteLedger
from savemode_cli.ledgers.sqlite_file import APPLICATION_ID, MIGRATIONS
from tests.ledgers.worker import NOW

LIMIT = limit_of(Budget("b", 1000), "", NOW)


def nothing_is_forbidden() -> bool:
    """
    Whether permissions do not bind us, as they do not bind root (unless a capability was taken from it).
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        return os.access(folder, os.W_OK)


needs_permissions = pytest.mark.skipif(nothing_is_forbidden(), reason="nothing is forbidden to root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    Where the ledger is.
    """
    return tmp_path / "ledgers" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    """
    A new ledger that waits for nobody.
    """
    made = SqliteLedger(path, busy_s=0)
    yield made
    made.close()


def spend(ledger: SqliteLedger, hold_id: str, nusd: int = 10) -> None:
    """
    One request.
    """
    decision = ledger.reserve(Hold(hold_id, (LIMIT.key,), nusd, NOW + timedelta(minutes=10)), [LIMIT], NOW)
    assert isinstance(decision, Allowed)
    assert ledger.settle(hold_id, nusd, "reported", NOW) == "charged"


def spent(ledger: SqliteLedger) -> int:
    """
    By all requests.
    """
    return ledger.balance(LIMIT.key, NOW).settled_nusd


def fails(call: Callable[[], object], *words: str) -> LedgerUnavailable:
    """
    The call says that the ledger is unavailable, in these words, and what to do.
    """
    with pytest.raises(LedgerUnavailable) as error:
        call()
    assert all(word in error.value.message for word in words), error.value.message
    assert error.value.hint
    return error.value


def test_schema(path: Path, ledger: SqliteLedger) -> None:
    """
    The first migration as text: one that was released is never edited, a change to it shows here.
    """
    spend(ledger, "h")
    with sqlite3.connect(path) as db:
        objects = [
            tuple(row) for row in db.execute("SELECT type, name FROM sqlite_master WHERE sql != '' ORDER BY 1, 2")
        ]
        charge = db.execute("SELECT * FROM charges").fetchall()
        version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()

    assert (len(MIGRATIONS), 1) == (version, version)
    assert objects == [
        ("index", "counted_holds"),
        *(("table", name) for name in ("allowance", "balances", "budgets", "charges", "holds")),
        *(("trigger", f"charges_no_{verb}") for verb in ("delete", "update")),
    ]
    assert charge == [(1, "h", 0, LIMIT.key, 10, "reported", "", "2026-11-24T12:00:00.000000+00:00", 0)]


@pytest.mark.parametrize("statement", ["DELETE FROM charges", "UPDATE charges SET nusd = 0"])
def test_charges_are_only_ever_added(path: Path, ledger: SqliteLedger, statement: str) -> None:
    """
    The record of what was charged cannot be rewritten, not even by hand.
    """
    spend(ledger, "h")
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        db.execute(statement)
    db.close()


def test_it_is_kept(path: Path) -> None:
    """
    What one process charged, the next one finds.
    """
    for number in range(3):
        ledger = SqliteLedger(path)
        assert spent(ledger) == number * 10
        spend(ledger, f"h{number}")
        ledger.close()


def test_private(path: Path, ledger: SqliteLedger) -> None:
    """
    Folder 0700, and 0600 for the file and what SQLite puts beside it.
    """
    spend(ledger, "h")
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}

    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_made_private(path: Path) -> None:
    """
    A ledger that others can read, copied from a backup perhaps, no longer can be once it is opened.
    """
    SqliteLedger(path).close()
    path.chmod(0o644)
    SqliteLedger(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_symbolic_link(path: Path, tmp_path: Path, ending: str) -> None:
    """
    A link may lead anywhere; what it leads to is not touched.
    """
    path.parent.mkdir()
    target = tmp_path / "target"
    target.write_text("mine")
    path.with_name(path.name + ending).symlink_to(target)

    fails(lambda: SqliteLedger(path), "symbolic link")
    assert target.read_text() == "mine"


def test_folder_open_to_all(path: Path) -> None:
    """
    Where anybody may replace the file, a cap is no cap.
    """
    path.parent.mkdir()
    path.parent.chmod(0o777)
    fails(lambda: SqliteLedger(path), "anybody may replace files")

    path.parent.chmod(0o1777)
    SqliteLedger(path).close()


def test_not_a_file(path: Path) -> None:
    """
    A folder and a socket are no ledgers.
    """
    path.mkdir(parents=True)
    fails(lambda: SqliteLedger(path), "not a regular file")

    path.rmdir()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        fails(lambda: SqliteLedger(path), "not a regular file")


def test_folder_is_a_file(tmp_path: Path) -> None:
    """
    There is no place for the file.
    """
    (tmp_path / "file").write_text("")

    fails(lambda: SqliteLedger(tmp_path / "file" / "ledger.db"), "cannot open the ledger")


@needs_permissions
def test_read_only_folder(path: Path) -> None:
    """
    Nothing can be created there.
    """
    path.parent.mkdir(mode=0o500)

    fails(lambda: SqliteLedger(path), "cannot open the ledger", "Permission denied")


@needs_permissions
def test_read_only_file(path: Path) -> None:
    """
    Nothing can be written to it; said when it is opened, where SQLite itself would go on for reading only.
    """
    SqliteLedger(path).close()
    path.chmod(0o400)

    fails(lambda: SqliteLedger(path), "cannot open the ledger", "may not be written")


def test_file_of_somebody_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same, where the system says so to root as well.
    """
    SqliteLedger(path).close()
    monkeypatch.setattr(os, "access", lambda *_: False)

    fails(lambda: SqliteLedger(path), "cannot open the ledger", "may not be written")


def test_becomes_read_only(ledger: SqliteLedger) -> None:
    """
    As on a file system that was remounted: balances are still read, nothing is held.
    """
    spend(ledger, "h")
    ledger._db.execute("PRAGMA query_only = ON")

    fails(lambda: spend(ledger, "i"), "cannot reserve in the ledger", "may not be written")
    assert spent(ledger) == 10


def test_locked_by_another_process(path: Path, ledger: SqliteLedger) -> None:
    """
    Says so after the busy timeout, and works again afterwards.
    """
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    fails(lambda: spend(ledger, "h"), "another process keeps it locked")
    assert spent(ledger) == 0

    other.execute("ROLLBACK")
    other.close()
    spend(ledger, "h")
    assert spent(ledger) == 10


@pytest.mark.parametrize("busy_s", [0, 0.03])
def test_another_process_never_ends_opening(path: Path, busy_s: float) -> None:
    """
    Opening waits its turn, and not for ever.
    """
    path.parent.mkdir()
    handle = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    fails(lambda: SqliteLedger(path, busy_s=busy_s), "another process keeps it locked")
    os.close(handle)
    SqliteLedger(path, busy_s=busy_s).close()


def test_not_a_database(path: Path) -> None:
    """
    Somebody's notes stay what they are.
    """
    path.parent.mkdir()
    path.write_text("buy milk\n" * 1000)
    path.chmod(0o644)

    error = fails(lambda: SqliteLedger(path), "not a SQLite database")
    assert f"mv {path} {path}.old" in error.hint
    assert path.read_text().startswith("buy milk")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("statement", ["CREATE TABLE music (name)", "PRAGMA user_version = 7"])
def test_database_of_another_program(path: Path, statement: str) -> None:
    """
    Is refused before anything is written to it, its journal mode included.
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
    A ledger from a newer version is left alone, in friendly words.
    """
    SqliteLedger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    error = fails(lambda: SqliteLedger(path), "newer savemode", "99")
    assert "upgrade savemode" in error.hint


def test_migration(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An older file is brought up to date and keeps its content; a migration that fails leaves it as it was.
    """
    ledger = SqliteLedger(path)
    spend(ledger, "h")
    ledger.close()

    def m002_fails(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE later (one)")
        db.execute("INSERT INTO nowhere VALUES (1)")

    def m002_works(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE later (two)")

    monkeypatch.setattr(sqlite_file, "MIGRATIONS", (*MIGRATIONS, m002_fails))
    fails(lambda: SqliteLedger(path), "nowhere")
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", (*MIGRATIONS, m002_works))
    ledger = SqliteLedger(path)
    assert spent(ledger) == 10
    assert ledger._db.execute("PRAGMA user_version").fetchone() == (2,)
    assert ledger._db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    ledger.close()


def test_pages_of_a_new_file_are_small(path: Path) -> None:
    """
    Half of the usual size, for each commit writes whole ones; a file that has others keeps them, and is a ledger too.
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
    Whoever reads the budgets while another thread of this process drops one does not keep it for good.
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
    What only the end of a transaction finds out is said in the same words, and nothing of it stays.
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
    Nothing of the request that did not fit is kept, and once there is room it goes on.
    """
    spend(ledger, "h")
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    long_key = "k" * 20_000
    hold = Hold("big", (long_key,), 1, NOW + timedelta(minutes=10))

    error = fails(lambda: ledger.reserve(hold, [], NOW), "the disk is full")
    assert "make room" in error.hint
    assert ledger.balance(long_key, NOW) == Balance()
    ledger._db.execute("PRAGMA max_page_count = 100000")
    ledger.reserve(hold, [], NOW)
    assert ledger.balance(long_key, NOW) == Balance(held_nusd=1)


def damage(path: Path, how: str) -> None:
    """
    Break a ledger that nobody has open.
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
    Damage is said, at the latest by the call that meets it.
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


def test_deleted_under_us(path: Path, ledger: SqliteLedger, caplog: pytest.LogCaptureFixture) -> None:
    """
    The next call goes on in a new file, together with everybody else, and says that earlier spend is not in it.
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
    Both are made anew.
    """
    for one in path.parent.iterdir():
        one.unlink()
    path.parent.rmdir()

    spend(ledger, "h")
    assert spent(ledger) == 10


def test_deleted_and_no_place_for_a_new_one(path: Path, ledger: SqliteLedger) -> None:
    """
    Unavailable as long as that lasts, and no longer.
    """
    path.unlink()
    path.mkdir()
    for _ in range(2):
        fails(lambda: spent(ledger), "not a regular file")

    path.rmdir()
    spend(ledger, "h")
    assert spent(ledger) == 10


def test_replaced_under_us(path: Path, tmp_path: Path, ledger: SqliteLedger) -> None:
    """
    The new file is read as it is: the log of the old one, which lies there still, is not played back over it.
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
    A file that vanishes before it is known is not counted in.
    """
    migrate = sqlite_file.migrate

    def migrate_and_delete(db: sqlite3.Connection, *what: object) -> None:
        migrate(db, *what)  # type: ignore[arg-type]
        path.unlink()

    monkeypatch.setattr(sqlite_file, "migrate", migrate_and_delete)

    fails(lambda: SqliteLedger(path), "deleted while it was opened")


def test_settle_after_the_file_was_deleted(path: Path, ledger: SqliteLedger) -> None:
    """
    The hold is gone with the file; the caller hears that nothing was charged.
    """
    ledger.reserve(Hold("h", (LIMIT.key,), 10, NOW + timedelta(minutes=10)), [LIMIT], NOW)
    path.unlink()

    assert ledger.settle("h", 10, "reported", NOW) == "unknown"


def test_interrupted_transaction_is_rolled_back(ledger: SqliteLedger) -> None:
    """
    Whatever is raised inside, the next call starts clean.
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
    Closing twice is harmless; using it afterwards is said.
    """
    ledger.close()
    ledger.close()

    fails(lambda: spent(ledger), "was closed")
