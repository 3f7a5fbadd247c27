"""
How much work reading one body may take.

Rule of this file: work is counted in steps and bytes, not in time, so that the same body is always read or never.
"""

_QUICK_PARSE_BYTES = 64 * 1024
"""The largest body that is parsed a second time in a quick reading. The parse and the walk take about 10 ms."""


class TooMuchWork(Exception):
    """
    The body takes more steps than allowed.
    """


class ReadingWork:
    """
    How much work may still be spent on a body.
    """

    __slots__ = ("_left", "_quick", "_steps")

    def __init__(self, steps: int, *, quick: bool) -> None:
        """
        Args:
            steps: how many items of lists may be looked at.
            quick: whether a second parse of a large body is too much.
        """
        self._left = steps
        self._quick = quick
        self._steps = steps

    @property
    def spent(self) -> int:
        """
        How many items were read.
        """
        return self._steps - self._left

    def spend(self, steps: int) -> None:
        """
        Count items before they are read. It raises `TooMuchWork` if there are more than allowed.
        """
        self._left -= steps
        if self._left < 0:
            raise TooMuchWork

    def parse_again(self, size_bytes: int) -> None:
        """
        Parse a body of this size a second time. It raises `TooMuchWork` if the body is too large for that.
        """
        if self._quick and size_bytes > _QUICK_PARSE_BYTES:
            raise TooMuchWork
