"""
The clock of the simulated upstream, which clients can advance.

Rule of this file: time only moves forward.
"""

from datetime import UTC, datetime, timedelta

MAX_ADVANCE_S = 366 * 86_400


class Clock:
    """
    A clock: call it to get the time. It shows real time plus the time by which it was advanced. With a `start`, it stands
    still except when it is advanced, so that a run gives the same result each time.
    """

    def __init__(self, start: datetime | None = None) -> None:
        """
        Args:
            start: the time at which the clock stands still; None: it follows real time.
        """
        self.turned_s = 0.0
        self._start = start

    def __call__(self) -> datetime:
        """
        The time now.
        """
        return (datetime.now(UTC) if self._start is None else self._start) + timedelta(seconds=self.turned_s)

    def advance(self, seconds: float) -> datetime:
        """
        Move the clock forward.

        Args:
            seconds: by how much, from 0 to one year.

        Returns:
            The new time.

        Raises:
            ValueError: the number is negative, not a number (NaN), or larger than a year.
        """
        if not 0 <= seconds <= MAX_ADVANCE_S:
            raise ValueError(f"a number of seconds from 0 to {MAX_ADVANCE_S}")
        self.turned_s += seconds
        return self()
