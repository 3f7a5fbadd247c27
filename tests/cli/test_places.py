"""
Whether something could be written somewhere.
"""

from pathlib import Path

import pytest

from savemode_cli.cli.places import why_not_writable


@pytest.mark.parametrize("path", [".", "new", "new/folder/below"])
def test_folders_that_could_be_made(path: str) -> None:
    """
    Nothing is left behind by the trial.
    """
    assert why_not_writable(Path(path)) == ""
    assert list(Path().iterdir()) == []


def test_files_that_could_be_made() -> None:
    """
    In a folder that is there, new or to be written again.
    """
    assert why_not_writable(Path("new"), makes_folders=False) == ""
    Path("old").write_text("x")
    assert why_not_writable(Path("old"), makes_folders=False) == ""
    assert why_not_writable(Path("folder/new"), makes_folders=False) == "there is no folder folder"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/proc/nowhere/x", "/proc: "),
        ("a_file", "a_file is not a folder"),
        ("a_file/below/it", "a_file is not a folder"),
    ],
)
def test_folders_that_cannot_be_made(path: str, reason: str) -> None:
    """
    The reason names the place that stands in the way.
    """
    Path("a_file").write_text("")

    assert reason in why_not_writable(Path(path))
