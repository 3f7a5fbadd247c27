"""
Writes what a sink has collected to its file.

Rule of this file: a thread writes, so that the event loop does not wait for a disk. A file that cannot be used is announced
once, and is the trouble of the sink until a write succeeds.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from savemode_cli.core.errors import ConfigError

T = TypeVar("T")


class Saver(Generic[T]):
    """
    Collects items and writes them.
    """

    def __init__(
        self, event: str, write: Callable[[Sequence[T]], None] | None, announce: Callable[[str, str], None]
    ) -> None:
        """
        Args:
            event: the event under which trouble is announced.
            write: writes items to the file; raises a `ConfigError` if it cannot. None: nothing is written.
            announce: receives an event and a text for the user.
        """
        self.trouble = ""
        """Why the file cannot be used, in a sentence; "" if it can."""
        self._event = event
        self._write = write
        self._announce = announce
        self._unsaved: list[T] = []
        self._is_saving = False

    def add(self, items: Iterable[T]) -> None:
        """
        Collect items for the next write.
        """
        self._unsaved.extend(items)

    def save_soon(self) -> None:
        """
        Write what was collected, in a thread.
        """
        if self._write is None or not self._unsaved or self._is_saving:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the event loop has ended; `save_now` saves
        self._is_saving = True
        loop.run_in_executor(None, self._save, self._take()).add_done_callback(lambda _: self._saved())

    def save_now(self) -> None:
        """
        Write what was collected, and wait for it.
        """
        self._save(self._take())

    @contextmanager
    def telling_trouble(self) -> Iterator[None]:
        """
        Announce a `ConfigError` of the block instead of raising it.
        """
        try:
            yield
        except ConfigError as error:
            if not self.trouble:
                self._announce(self._event, f"{error.message}; {error.hint}")
            self.trouble = error.message

    def _take(self) -> list[T]:
        taken, self._unsaved = self._unsaved, []
        return taken

    def _saved(self) -> None:
        self._is_saving = False
        self.save_soon()

    def _save(self, items: Sequence[T]) -> None:
        if self._write is None or not items:
            return
        with self.telling_trouble():
            self._write(items)
            self.trouble = ""
