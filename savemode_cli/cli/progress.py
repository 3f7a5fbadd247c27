"""
A progress bar for commands that take longer than a second.

Rule of this file: it draws on stderr, and only if that is a terminal.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from savemode_cli.cli.screen import progress_console
from savemode_cli.core.errors import BadInput, reason
from savemode_cli.views.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_S = 1.0
"""How long nothing is drawn, in seconds."""


@contextmanager
def progress(total_bytes: int, quiet_s: float = QUIET_S) -> Iterator[Callable[[int], None]]:
    """
    A function that takes the number of bytes that were read since its last call.

    Args:
        total_bytes: how many bytes there are to read.
        quiet_s: after how many seconds the bar appears.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = _Bar(total_bytes, time.monotonic() + quiet_s)
    try:
        yield bar.advance
    finally:
        bar.stop()


class _Bar:
    """
    A bar that appears after some time.
    """

    def __init__(self, total_bytes: int, appears_at: float) -> None:
        self._total_bytes = total_bytes
        self._appears_at = appears_at
        self._read_bytes = 0
        self._drawn: tuple[Progress, TaskID] | None = None

    def advance(self, count: int) -> None:
        self._read_bytes += count
        if self._drawn is None:
            if time.monotonic() < self._appears_at:
                return
            self._drawn = self._draw()
        bar, task = self._drawn
        bar.update(task, completed=self._read_bytes)

    def _draw(self) -> "tuple[Progress, TaskID]":
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        bar = Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=progress_console(), transient=True)
        task = bar.add_task("", total=self._total_bytes)
        bar.start()
        return bar, task

    def stop(self) -> None:
        if self._drawn is not None:
            self._drawn[0].stop()


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """
    The lines of a file or of stdin, with a progress bar if stderr is a terminal.

    Args:
        name: the path of the file; `-` is stdin.

    Raises:
        BadInput: the file cannot be opened.
    """
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below; the error text is about opening only
    except OSError as error:
        raise BadInput(f"cannot read {name}: {reason(error)}", hint="give a JSONL file, or - for stdin") from None
    with file:
        if not sys.stderr.isatty():
            yield file
            return
        from rich.markup import escape
        from rich.progress import wrap_file

        size = Path(name).stat().st_size
        # rich reads a description as markup, so a file name could contain a link.
        title = escape(printable(Path(name).name))
        with wrap_file(file, size, description=title, console=progress_console(), transient=True) as lines:
            yield lines
