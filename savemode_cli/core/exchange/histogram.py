"""
How values are distributed: how many are at most as large as each bound.

Rule of this file: its size is fixed. It only adds.
"""

from bisect import bisect_left

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds for the durations of model calls, in seconds."""


class Histogram:
    """
    Counts of values by their size.
    """

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        """
        Create an empty histogram.

        Args:
            bounds: the upper bounds of the classes, ascending. Values above the last bound are counted too.
        """
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        """
        Count a value.
        """
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def cumulative(self) -> list[int]:
        """
        How many values are at most as large as each bound; the last number is the count of all values.
        """
        total, sums = 0, []
        for count in self._counts:
            total += count
            sums.append(total)
        return sums
