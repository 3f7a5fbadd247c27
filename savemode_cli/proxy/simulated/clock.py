"""
The clock of the simulated upstream, which can be turned.

Rule of this file: time only goes forward.
"""

from datetime import UTC, datetime, timedelta

LONGEST_TURN_S = 366 * 86_400


class Clock:
    """
    Real time plus all that it was turned by; called, it tells the time. One that is given a `start` stands still there
    and moves only by being turned, so that what is played on it is the same each time.
    """

    def __init__(self, start: datetime | None = None) -> None:
        """
        Not turned yet.
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
        Turn it forward; the time then.

        Raises:
            ValueError: backwards, not a number, or by more than a year.
        """
        if not 0 <= seconds <= LONGEST_TURN_S:
            raise ValueError(f"a number of seconds from 0 to {LONGEST_TURN_S}")
        self.turned_s += seconds
        return self()
