"""
What a sink has collected is written in a thread, and trouble with the file is announced once.
"""

import asyncio
import threading
from collections.abc import Sequence

from savemode_cli.core.errors import ConfigError
from savemode_cli.proxy.saver import Saver
from tests.support.waiting import until_in_loop


class File:
    """
    A file that fails while it is broken.
    """

    def __init__(self) -> None:
        """
        It can be written.
        """
        self.is_broken = False
        self.written: list[list[int]] = []
        self.threads: set[int] = set()

    def add(self, items: Sequence[int]) -> None:
        """
        Write items.
        """
        self.threads.add(threading.get_ident())
        if self.is_broken:
            raise ConfigError("cannot write the file: disk full", hint="make room")
        self.written.append(list(items))


def test_items_are_written_in_another_thread() -> None:
    """
    Items that come during a write are written after it, together.
    """
    file = File()
    saver: Saver[int] = Saver("trial", file.add, lambda *_: None)

    async def scenario() -> None:
        saver.add([1])
        saver.save_soon()
        saver.add([2])
        saver.save_soon()
        saver.add([3])
        await until_in_loop(lambda: sum(map(len, file.written)) == 3)

    asyncio.run(scenario())

    assert file.written == [[1], [2, 3]]
    assert threading.get_ident() not in file.threads


def test_the_rest_is_written_after_the_event_loop_has_ended() -> None:
    """
    Without an event loop, only `save_now` writes.
    """
    file = File()
    saver: Saver[int] = Saver("trial", file.add, lambda *_: None)
    saver.add([1])
    saver.save_soon()
    assert file.written == []

    saver.save_now()
    assert file.written == [[1]]


def test_trouble_is_announced_once_and_ends_with_a_write() -> None:
    """
    The sink's trouble is what the file's error says.
    """
    file, announced = File(), list[tuple[str, str]]()
    saver: Saver[int] = Saver("trial", file.add, lambda event, text: announced.append((event, text)))
    file.is_broken = True
    for number in range(2):
        saver.add([number])
        saver.save_now()

    assert saver.trouble == "cannot write the file: disk full"
    assert announced == [("trial", "cannot write the file: disk full; make room")]

    file.is_broken = False
    saver.add([3])
    saver.save_now()
    assert saver.trouble == ""


def test_without_a_file_nothing_is_written() -> None:
    """
    A simulated upstream leaves no file.
    """
    saver: Saver[int] = Saver("auto_history", None, lambda *_: None)
    saver.add([1])
    saver.save_now()

    assert saver.trouble == ""
