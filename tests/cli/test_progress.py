"""
The progress bar: after a second, on a terminal, and gone at the end.
"""

import io
from pathlib import Path

import pytest

from savemode_cli.cli.progress import opened, progress


class Terminal(io.StringIO):
    """
    A screen that keeps what is written.
    """

    def isatty(self) -> bool:
        return True


def test_it_appears_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing is drawn of what is over before.
    """
    monkeypatch.setattr("sys.stderr", watched := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress(10, quiet_s=3600) as advance:
        advance(5)
    assert watched.getvalue() == ""

    with progress(10, quiet_s=0) as advance:
        advance(4)
        advance(6)
    assert "10/10 bytes" in watched.getvalue()


def test_only_a_terminal_is_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file gets nothing.
    """
    monkeypatch.setattr("sys.stderr", file := io.StringIO())
    with progress(10, quiet_s=0) as advance:
        advance(10)

    assert file.getvalue() == ""


def test_the_lines_of_a_file_under_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On a terminal there is a progress bar, and the same lines.
    """
    file = tmp_path / "trace.jsonl"
    file.write_text("1\n2\n")
    monkeypatch.setattr("sys.stderr", Terminal())
    with opened(str(file)) as lines:
        assert list(lines) == [b"1\n", b"2\n"]
