"""
When to connect again, and how far the clock of a server is ahead.
"""

import random
from collections.abc import Callable
from datetime import timedelta

from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class Backoff:
    """
    The pauses between attempts to connect: each is twice as long as the last one, and a random part of it is left out, so that
    many proxies do not connect at the same moment.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """
        Args:
            clock: seconds that only grow, like `time.monotonic`.
        """
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._until: float | None = None
        self.why = ""
        """Why the last attempt failed."""

    @property
    def waits(self) -> bool:
        """
        Whether it is too early for another attempt.
        """
        return self._until is not None and self._clock() < self._until

    def failed(self, why: str) -> None:
        """
        An attempt failed.
        """
        self.why = why
        self._until = self._clock() + self._pause_s * random.uniform(0.5, 1)  # noqa: S311 - no secret depends on it
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)

    def succeeded(self) -> None:
        """
        The server answered.
        """
        self._until = None
        self._pause_s = FIRST_PAUSE_S


class Contact:
    """
    Whether a server answers.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """
        Args:
            clock: seconds that only grow, like `time.monotonic`.
        """
        self.is_connected = False
        """Whether the server answered, and nothing went wrong since."""
        self._backoff = Backoff(clock)

    def check(self) -> None:
        """
        Nothing, if it is time to ask the server.

        Raises:
            NotAsked: it did not answer a moment ago.
        """
        if not self.is_connected and self._backoff.waits:
            raise NotAsked(self._backoff.why)

    def made(self) -> None:
        """
        The server answered.
        """
        self.is_connected = True
        self._backoff.succeeded()

    def lost(self, failed: NotAsked) -> None:
        """
        Something went wrong. A connection that worked before may be made anew at once.
        """
        self.is_connected = False
        if not (isinstance(failed, NoAnswer) and failed.is_stale):
            self._backoff.failed(failed.why)


class ServerClock:
    """
    How far the clock of a server is ahead of the clock of this machine, from the times of its answers.

    The server took its time between the question and the answer, so each answer gives bounds. What is within them is kept:
    clocks that agree have no offset, however long an answer takes.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """
        Args:
            clock: the clock of this machine, in seconds since 1970.
        """
        self._clock = clock
        self.offset = timedelta()

    def now_us(self) -> int:
        """
        The time of this machine, in microseconds since 1970.
        """
        return round(self._clock() * 1_000_000)

    def learn(self, server_us: int, sent_us: int) -> None:
        """
        Learn from an answer that has just come.

        Args:
            server_us: the time of the server in the answer, in microseconds since 1970.
            sent_us: `now_us` when the question was sent.
        """
        least, most = server_us - self.now_us(), server_us - sent_us
        present = self.offset // timedelta(microseconds=1)
        self.offset = timedelta(microseconds=max(least, min(most, present)))
