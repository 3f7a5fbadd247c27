"""
Each file is found once, with any name.
"""

from pathlib import Path

import pytest

from savemode_cli.core.errors import BadInput
from savemode_cli.readers.files import walk


def test_each_file_is_found_once(tmp_path: Path) -> None:
    """
    Sorted by name, including subfolders, also if a file is named twice or linked.
    """
    for name in ("b/2", "a", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")

    found = [path.relative_to(tmp_path).as_posix() for path in walk([str(tmp_path), str(tmp_path / "a")])]
    assert found == ["a", "b/1", "b/2"]


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    """
    One error with a hint.
    """
    with pytest.raises(BadInput, match="no such file or folder"):
        list(walk([str(tmp_path / "nothing")]))


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If it were silently skipped, every figure would be too small.
    """

    def refused(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("savemode_cli.readers.files.os.scandir", refused)
    with pytest.raises(BadInput, match=r"cannot list .*permission denied"):
        list(walk([str(tmp_path)]))
