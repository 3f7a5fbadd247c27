"""
A command run in this process, as a person would run it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from savemode_cli.cli import main


@dataclass(frozen=True)
class Done:
    """
    How it left, and what it said where.
    """

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """
    A function that runs `savemode` with the words given.
    """

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["savemode", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        assert "Traceback" not in said.err
        return Done(left.value.code, said.out, said.err)

    return run


_WIDEST_WORD = 64
"""A wider word, such as a path, is not broken; a label may stand before it."""


def lines(text: str) -> list[str]:
    """
    The lines without the blanks that fill them up, all within 80 columns. A line with a word that is too wide may be wider, and
    so may a line of JSON, which is never wrapped.
    """
    found = [line.rstrip() for line in text.splitlines()]
    wide = [line for line in found if len(line) > 80 and max(map(len, line.split())) <= _WIDEST_WORD]
    assert [line for line in wide if not line.lstrip().startswith('"')] == []
    return found


def error_line(done: Done) -> str:
    """
    The one `error:` line of a command that could not be done.
    """
    assert (done.code, done.out) == (2, "")
    first, *hints = done.err.splitlines()
    assert first.startswith("error: ")
    assert all(hint.startswith("  ") for hint in hints)
    return first
