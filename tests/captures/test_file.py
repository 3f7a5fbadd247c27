"""
The folder and the file of a store: private, ours, and of a schema that we know.
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
from tests.core.test_capture import a_capture


def mode(path: Path) -> int:
    """
    The permissions of a file or folder.
    """
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    Where a store may be made.
    """
    return tmp_path / "data" / "captures"


def test_folder_and_files_are_private(folder: Path) -> None:
    """
    Whatever the umask is, nobody else can read them: not the log, not the shared memory.
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


def test_permissions_are_mended(folder: Path) -> None:
    """
    A store that was opened to others is closed to them again.
    """
    CaptureStore.make(folder).close()
    folder.chmod(0o755)
    (folder / FILE_NAME).chmod(0o644)

    CaptureStore.make(folder).close()

    assert (mode(folder), mode(folder / FILE_NAME)) == (0o700, 0o600)


def test_folder_of_other_things_keeps_its_permissions(folder: Path) -> None:
    """
    It is not ours to close; the file is.
    """
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "other").touch()

    CaptureStore.make(folder).close()

    assert (mode(folder), mode(folder / FILE_NAME)) == (0o755, 0o600)


def test_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """
    Who can change where it points could read what is said.
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
def test_folder_that_others_write_in_is_refused(folder: Path, permissions: int) -> None:
    """
    They could put another file in the place of ours.
    """
    folder.mkdir(parents=True)
    folder.chmod(permissions)

    with pytest.raises(ConfigError, match="others may write") as raised:
        CaptureStore.make(folder)
    assert raised.value.hint.startswith("chmod go-w")
    assert list(folder.iterdir()) == []


def test_folder_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its owner can read whatever is in it.
    """
    monkeypatch.setattr(captures_file.os, "geteuid", lambda: 12345)

    with pytest.raises(ConfigError, match="somebody else"):
        CaptureStore.make(folder)


def test_file_in_the_place_of_the_folder_is_refused(folder: Path) -> None:
    """
    So is one above it.
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


def test_reader_makes_nothing(folder: Path) -> None:
    """
    Where there are no captures, it says so and leaves no trace.
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


def test_newer_store_is_refused_with_a_word(folder: Path) -> None:
    """
    It says which schema it found, and nothing was changed.
    """
    CaptureStore.make(folder).close()
    db = sqlite3.connect(folder / FILE_NAME)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()

    with pytest.raises(CaptureTooNew, match="newer savemode: its schema is 2, this one knows 1") as raised:
        CaptureStore.open(folder)
    assert "upgrade savemode" in raised.value.hint


def test_older_store_is_migrated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One step after another, and what was in it stays.
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


def test_store_is_told_by_its_content(folder: Path, tmp_path: Path) -> None:
    """
    Whatever its name; by its folder as well.
    """
    CaptureStore.make(folder).close()
    renamed = tmp_path / "anything"
    renamed.write_bytes((folder / FILE_NAME).read_bytes())

    assert is_store(folder)
    assert is_store(renamed)
    assert not is_store(tmp_path)
    assert not is_store(tmp_path / "nothing")


def test_log_of_a_deleted_store_is_not_played_back(folder: Path) -> None:
    """
    A new store begins empty.
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
    [(b"no database" * 100, "no SQLite database"), (b"SQLite format 3\0" + b"\xff" * 5000, "cannot open")],
)
def test_broken_file_is_said(folder: Path, content: bytes, found: str) -> None:
    """
    With a way out.
    """
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(content)

    with pytest.raises(CaptureUnavailable, match=found) as raised:
        CaptureStore.make(folder)
    assert raised.value.hint


def test_every_failure_is_one_error(tmp_path: Path) -> None:
    """
    Whatever SQLite or the operating system says; an error of the binding itself has no code.
    """
    with pytest.raises(CaptureUnavailable, match=r"cannot read the captures .*: what"), explained(tmp_path, "read"):
        raise sqlite3.Error("what")
    with pytest.raises(CaptureUnavailable, match=r"cannot read the captures .*: no space"), explained(tmp_path, "read"):
        raise OSError(28, "No space left on device")
