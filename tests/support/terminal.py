"""
A command in a terminal of its own, for what is drawn on the full screen.
"""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.processes import SAVEMODE, environment
from tests.support.waiting import LONG_S


class Screen:
    """
    What a command draws, and the keys that it gets.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int) -> None:
        """
        Args:
            process: the command.
            terminal: our end of its terminal.
        """
        self._process = process
        self._terminal = terminal
        self.drawn = b""

    def wait_for(self, text: bytes) -> None:
        """
        Wait until a text was drawn.
        """
        while text not in self.drawn:
            self.drawn += os.read(self._terminal, 65536)

    def type(self, keys: bytes) -> None:
        """
        Press keys.
        """
        os.write(self._terminal, keys)

    def end(self) -> int:
        """
        Wait for its end, and return its exit code.
        """
        with suppress(OSError):  # the terminal has no other end any more
            while drawn := os.read(self._terminal, 65536):
                self.drawn += drawn
        return self._process.wait(LONG_S)


@contextmanager
def in_a_terminal(*words: str) -> Iterator[Screen]:
    """
    `savemode` with these words, in a terminal of 80 x 24.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*SAVEMODE, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color"),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
