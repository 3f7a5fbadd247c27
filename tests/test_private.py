"""
Private folders and files, whatever the umask is and whatever lies in their place.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from savemode_cli.private import locked, make_folder, open_to_append, replace_file, write_new


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    The most open one, the usual one, the closed one.
    """
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """
    The permissions of a file or folder.
    """
    return stat.S_IMODE(path.stat().st_mode)


def append(path: Path, data: bytes) -> None:
    """
    As a sink does.
    """
    file = open_to_append(path)
    try:
        os.write(file, data)
    finally:
        os.close(file)


@pytest.mark.usefixtures("any_umask")
def test_every_folder_that_is_made_is_private(tmp_path: Path) -> None:
    """
    The parents, too; those that were there stay as they were.
    """
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(0o755)
    deep = tmp_path / "there" / "a" / "b" / "c"
    make_folder(deep)
    make_folder(deep)

    assert [mode(one) for one in (deep, *deep.parents[:2])] == [0o700] * 3
    assert mode(tmp_path / "there") == 0o755


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    """
    Is an error, and so is a link that leads nowhere.
    """
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")

    for name in ("file", "file/a", "link", "link/a"):
        with pytest.raises(OSError, match=r"exists|Not a directory"):
            make_folder(tmp_path / name)


@pytest.mark.usefixtures("any_umask")
@pytest.mark.parametrize("before", [None, 0o600, 0o644, 0o666, 0o640])
def test_a_file_is_closed_to_others(tmp_path: Path, before: int | None) -> None:
    """
    A new one and one that was open to them; what stood in it stays.
    """
    path = tmp_path / "events.jsonl"
    if before is not None:
        path.write_bytes(b"old\n")
        path.chmod(before)
    append(path, b"new\n")

    assert mode(path) == 0o600
    assert path.read_bytes() == (b"new\n" if before is None else b"old\nnew\n")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """
    Neither to a file nor to nothing: nothing is written, nothing is made.
    """
    target = tmp_path / "target"
    for existing in (True, False):
        target.write_bytes(b"x") if existing else target.unlink()
        link = tmp_path / f"link{existing}"
        link.symlink_to(target)
        with pytest.raises(OSError, match="symbolic link"):
            append(link, b"y")
        assert target.exists() == existing
    assert not target.exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, make: object) -> None:
    """
    At once: a pipe that nobody reads is not waited for.
    """
    assert callable(make)
    make(tmp_path / "x")

    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        append(tmp_path / "x", b"y")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_else_s_file_is_refused(tmp_path: Path) -> None:
    """
    They could read what is written to it.
    """
    path = tmp_path / "x"
    path.write_bytes(b"")
    os.chown(path, 12345, 12345)

    with pytest.raises(OSError, match="belongs to somebody else"):
        append(path, b"y")
    assert path.read_bytes() == b""


@pytest.mark.usefixtures("any_umask")
def test_a_new_file(tmp_path: Path) -> None:
    """
    Private, and not in the place of another.
    """
    write_new(tmp_path / "x", b"1")

    assert (mode(tmp_path / "x"), (tmp_path / "x").read_bytes()) == (0o600, b"1")
    (tmp_path / "link").symlink_to("y")
    for name in ("x", "link"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"2")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, any_umask: None) -> None:
    """
    The new file has mode 0600, and nothing else is left in the folder.
    """
    file = tmp_path / "folder" / "file"
    make_folder(file.parent)
    file.write_bytes(b"old")
    replace_file(file, b"new")

    assert (file.read_bytes(), mode(file)) == (b"new", 0o600)
    assert list(file.parent.iterdir()) == [file]


def test_what_cannot_be_replaced_stays(tmp_path: Path) -> None:
    """
    A folder in the place of the file is not replaced, and no partial file is left.
    """
    file = tmp_path / "folder" / "file"
    file.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        replace_file(file, b"new")

    assert list(file.parent.iterdir()) == [file]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """
    Another descriptor of the lock gets it after the block.
    """
    with locked(tmp_path / "file.json"):
        other = os.open(tmp_path / "file.lock", os.O_WRONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
