"""
`savemode init`: from options, from a terminal, and over nothing.
"""

import os
import pty
import subprocess
import tomllib
from pathlib import Path

import pytest

from savemode_cli.config.folders import user_config
from savemode_cli.config.trust import FILE_NAME
from tests.support.command import Run, error_line
from tests.support.processes import SAVEMODE, environment
from tests.support.waiting import LONG_S


def own_file() -> Path:
    """
    The person's file.
    """
    folder = user_config()
    assert folder is not None
    return folder / FILE_NAME


@pytest.mark.parametrize(
    ("words", "expected", "command"),
    [
        ((), {}, "savemode run --save -- claude"),
        (("--budget", "none", "--no-save"), {}, "savemode run --save -- claude"),
        (("--save",), {"save": True}, "savemode run -- claude"),
        (("--budget", "$20"), {"budget": "20", "warn_at": 0.7}, "savemode run --save -- claude"),
        (
            ("--budget", "5.40", "--warn-at", ".5", "--save"),
            {"budget": "5.40", "warn_at": 0.5, "save": True},
            "savemode run -- claude",
        ),
    ],
)
def test_from_options(savemode: Run, words: tuple[str, ...], expected: dict[str, object], command: str) -> None:
    """
    Without a terminal nothing is asked, and what no option gives is a comment.
    """
    done = savemode("init", *words)

    assert (done.code, done.out) == (0, "")
    assert tomllib.loads(own_file().read_text()) == expected
    assert done.err.splitlines() == [f"wrote {own_file()}", f"next: {command}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "much"), "--budget is 'much'"),
        (("--budget", "-1"), "--budget is '-1'"),
        (("--budget", "9", "--warn-at", "2"), "--warn-at is '2'"),
        (("--budget", "9", "--warn-at", "0.9"), "warn_at 0.9 is above engage_at"),
        (("--warn-at", "0.5"), "--warn-at is a share of a budget"),
    ],
)
def test_wrong_option(savemode: Run, words: tuple[str, ...], said: str) -> None:
    """
    One error, and no file.
    """
    assert said in error_line(savemode("init", *words))
    assert not own_file().exists()


def test_existing_file(savemode: Run) -> None:
    """
    It stays; with `--force` the new one takes its place, and the old one is kept.
    """
    savemode("init", "--budget", "1")
    before = own_file().read_text()

    assert "exists already" in error_line(savemode("init", "--budget", "2"))
    assert own_file().read_text() == before
    assert savemode("init", "--budget", "2", "--force").code == 0
    assert tomllib.loads(own_file().read_text())["budget"] == "2"
    assert own_file().with_name("savemode.toml.old").read_text() == before


@pytest.mark.process
def test_on_a_terminal() -> None:
    """
    Three questions; an answer that cannot be used is asked for again.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen([*SAVEMODE, "init"], stdin=theirs, stderr=subprocess.PIPE, env=environment()) as running:
        os.close(theirs)
        os.write(ours, b"much\n20\n\ny\n")
        _, said = running.communicate(timeout=LONG_S)
        os.close(ours)

    assert running.returncode == 0
    assert "--budget is 'much'" in said.decode()
    assert tomllib.loads(own_file().read_text()) == {"budget": "20", "warn_at": 0.7, "save": True}
