"""
The charges of one key with a rolling window, in memory.

Rule of this file: a charge that leaves the window is subtracted once, so that a balance does not read the whole window
again.
"""

from bisect import insort
from collections.abc import Iterable
from datetime import datetime, timedelta


class RollingCharges:
    """
    Charges in the order of their times, and their sum.
    """

    __slots__ = ("_charges", "_nusd", "_span")

    def __init__(self, span: timedelta) -> None:
        """
        Create an empty window.

        Args:
            span: how long a charge counts.
        """
        self._span = span
        self._charges: list[tuple[datetime, int]] = []
        self._nusd = 0

    def add(self, settled_at: datetime, nusd: int) -> None:
        """
        Add a charge of `nusd` nano-USD.
        """
        insort(self._charges, (settled_at, nusd))
        self._nusd += nusd

    def drop_left(self, now: datetime) -> None:
        """
        Forget the charges that have left the window.
        """
        count = self._left(now)
        self._nusd -= sum(nusd for _, nusd in self._charges[:count])
        del self._charges[:count]

    def settled_nusd(self, now: datetime) -> int:
        """
        The sum of the charges in the window, in nano-USD.
        """
        return self._nusd - sum(nusd for _, nusd in self._charges[: self._left(now)])

    def leaving(self, now: datetime) -> list[tuple[datetime, int]]:
        """
        When each charge in the window leaves it, the first to leave first.
        """
        return [(settled_at + self._span, nusd) for settled_at, nusd in self._charges[self._left(now) :]]

    def _left(self, now: datetime) -> int:
        """
        How many charges have left the window: those that are at least as old as the window is long.
        """
        count = 0
        while count < len(self._charges) and self._charges[count][0] + self._span <= now:
            count += 1
        return count


def frees_at(leaving: Iterable[tuple[datetime, int]], too_much_nusd: int) -> datetime | None:
    """
    When more than `too_much_nusd` will have left a window; None if all charges in it are not more.

    Args:
        leaving: when each amount leaves, the first to leave first.
        too_much_nusd: by how much the spend is at or above the limit, 0 or more, in nano-USD.
    """
    left = 0
    for moment, nusd in leaving:
        left += nusd
        if left > too_much_nusd:
            return moment
    return None
