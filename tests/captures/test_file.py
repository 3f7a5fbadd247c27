"""
The folder and the file of a store: private, a capture store, and with a schema that this version can read.
"""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from savemode_cli.captures import file as captures_file
from savemode_cli.captures.file import FILE_NAME, MIGRATIONS, explained, is_store, open_file
from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.errors import CaptureTooNew, CaptureUnavailable, ConfigError
from tests.core.exchange.test_capture import a_capture


def mode(path: Path) -> int:
    """
    The permissions of a file or folder.
    """
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    A folder in which a store may be created.
    """
    return tmp_path / "data" / "captures"


def test_folder_and_files_are_private(folder: Path) -> None:
    """
    No other user can read them with any umask, including the write-ahead log and the shared memory.
    """
    before = os.umask(0)
    try:
        store = CaptureStore.make(folder)
        store.append(a_capture())
    finally:
        os.umask(before)

    assert mode(folder) == 0o700
    assert {one.name: mode(one) for one in folder.iterdir()} == {
        FILE_NAME: 0o600,
        f"{FILE_NAME}-wal": 0o600,
        f"{FILE_NAME}-shm": 0o600,
    }
    store.close()


def test_permissions_are_repaired(folder: Path) -> None:
    """
    A store that other users could read becomes private again.
    """
    CaptureStore.make(folder).close()
    folder.chmod(0o755)
    (folder / FILE_NAME).chmod(0o644)

    CaptureStore.make(folder).close()

    assert (mode(folder), mode(folder / FILE_NAME)) == (0o700, 0o600)


def test_folder_of_other_things_keeps_its_permissions(folder: Path) -> None:
    """
    A folder with other files keeps its permissions; the store's file is private.
    """
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "other").touch()

    CaptureStore.make(folder).close()

    assert (mode(folder), mode(folder / FILE_NAME)) == (0o755, 0o600)


def test_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """
    Whoever can change the link could read the captures.
    """
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)

    with pytest.raises(ConfigError, match="symbolic link") as raised:
        CaptureStore.make(folder)
    assert str(elsewhere) in raised.value.hint
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("permissions", [0o777, 0o1777, 0o770])
def test_folder_that_other_users_can_write_to_is_refused(folder: Path, permissions: int) -> None:
    """
    Other users could replace the file.
    """
    folder.mkdir(parents=True)
    folder.chmod(permissions)

    with pytest.raises(ConfigError, match="other users can write") as raised:
        CaptureStore.make(folder)
    assert raised.value.hint.startswith("chmod go-w")
    assert list(folder.iterdir()) == []


def test_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its owner could read the captures.
    """
    monkeypatch.setattr("savemode_cli.captures.file.os.geteuid", lambda: 12345)

    with pytest.raises(ConfigError, match="another user"):
        CaptureStore.make(folder)


def test_file_in_the_place_of_the_folder_is_refused(folder: Path) -> None:
    """
    A file in place of a parent folder is refused too.
    """
    folder.parent.write_text("a file")

    with pytest.raises(ConfigError, match="cannot be the capture folder"):
        CaptureStore.make(folder)


@pytest.mark.parametrize("name", [FILE_NAME, f"{FILE_NAME}-wal"])
def test_linked_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    """
    Nothing is written through a link.
    """
    folder.mkdir(parents=True)
    (tmp_path / "target").touch()
    (folder / name).symlink_to(tmp_path / "target")

    with pytest.raises(CaptureUnavailable, match="symbolic link"):
        CaptureStore.make(folder)
    assert (tmp_path / "target").read_bytes() == b""


def test_folder_in_the_place_of_the_file_is_refused(folder: Path) -> None:
    """
    A store is a regular file.
    """
    (folder / FILE_NAME).mkdir(parents=True)

    with pytest.raises(CaptureUnavailable, match="not a regular file"):
        CaptureStore.make(folder)


def test_reader_creates_nothing(folder: Path) -> None:
    """
    If there are no captures, the error says so and no file is created.
    """
    with pytest.raises(CaptureUnavailable, match="no captures") as raised:
        CaptureStore.open(folder)
    assert "serve --capture" in raised.value.hint
    assert not folder.exists()


def test_database_of_another_program_is_left_alone(folder: Path) -> None:
    """
    Nothing is written to it.
    """
    folder.mkdir(parents=True)
    path = folder / FILE_NAME
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()

    with pytest.raises(CaptureUnavailable, match="another program"):
        CaptureStore.make(folder)
    assert path.read_bytes() == before
    assert not is_store(path)


def test_store_that_is_being_written_to_is_one(folder: Path) -> None:
    """
    Before the first checkpoint everything but the first page is in the write-ahead log, including the application ID.
    """
    store = CaptureStore.make(folder)
    store.append(a_capture())
    main = (folder / FILE_NAME).read_bytes()

    assert b"smcp" not in main
    assert is_store(folder)
    assert is_store(folder / FILE_NAME)
    assert (folder / FILE_NAME).read_bytes() == main
    store.close()
    assert is_store(folder)


def test_log_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """
    The database of another program that is in use is not a store, and none of its bytes change.
    """
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    files = (path, path.with_name("other.db-wal"))
    before = [one.read_bytes() for one in files]

    assert not is_store(path)
    assert [one.read_bytes() for one in files] == before
    db.close()


def test_newer_store_is_refused_with_its_schema(folder: Path) -> None:
    """
    The error names the schema, and nothing changes.
    """
    CaptureStore.make(folder).close()
    db = sqlite3.connect(folder / FILE_NAME)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()

    with pytest.raises(CaptureTooNew, match="newer savemode: its schema is 2, this version reads up to 1") as raised:
        CaptureStore.open(folder)
    assert "upgrade savemode" in raised.value.hint


def test_older_store_is_migrated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Migrations run one after another, and the content stays.
    """
    store = CaptureStore.make(folder)
    store.append(a_capture())
    store.close()
    step = ("m002", lambda db: db.execute("CREATE TABLE later (x)"))
    monkeypatch.setattr(captures_file, "MIGRATIONS", (*MIGRATIONS, step[1]))

    db = open_file(folder / FILE_NAME)

    assert db.execute("SELECT count(*) FROM later").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM exchanges").fetchone() == (1,)
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()


def test_store_is_recognised_by_its_content(folder: Path, tmp_path: Path) -> None:
    """
    The name does not matter; the folder of a store is recognised too.
    """
    CaptureStore.make(folder).close()
    renamed = tmp_path / "anything"
    renamed.write_bytes((folder / FILE_NAME).read_bytes())

    assert is_store(folder)
    assert is_store(renamed)
    assert not is_store(tmp_path)
    assert not is_store(tmp_path / "nothing")


def test_log_of_a_deleted_store_is_not_applied(folder: Path) -> None:
    """
    A new store starts empty.
    """
    store = CaptureStore.make(folder)
    store.append(a_capture())
    log = folder / f"{FILE_NAME}-wal"
    kept = log.read_bytes()
    store.close()
    (folder / FILE_NAME).unlink()
    log.write_bytes(kept)

    again = CaptureStore.make(folder)

    assert again.stats().exchanges == 0
    again.close()


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"no database" * 100, "not an SQLite database"), (b"SQLite format 3\0" + b"\xff" * 5000, "cannot open")],
)
def test_damaged_file_is_an_error_with_a_hint(folder: Path, content: bytes, found: str) -> None:
    """
    The error has a hint.
    """
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(content)

    with pytest.raises(CaptureUnavailable, match=found) as raised:
        CaptureStore.make(folder)
    assert raised.value.hint


def test_every_failure_is_one_error(tmp_path: Path) -> None:
    """
    Every error of SQLite or the operating system is converted, including errors of the Python binding without a code.
    """
    with pytest.raises(CaptureUnavailable, match=r"cannot read the captures .*: what"), explained(tmp_path, "read"):
        raise sqlite3.Error("what")
    with pytest.raises(CaptureUnavailable, match=r"cannot read the captures .*: no space"), explained(tmp_path, "read"):
        raise OSError(28, "No space left on device")
