"""
Limits the time that optional work may take from requests.

Rule of this file: it measures time. Its callers decide which work is optional.
"""

import time
from collections.abc import Callable

SHARE = 0.05
"""The share of the event loop's time that optional work may take."""

BURST_S = 1.0
"""How much time optional work may take at once after an idle period, in seconds: about 80 bodies of 1 MB."""


class TimeShare:
    """
    A time budget that refills with the clock, up to a limit. Optional work is done in a `with` block of it.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """
        Args:
            clock: returns seconds and never runs backwards.
        """
        self._clock = clock
        self._left_s = BURST_S
        self._asked_at = self._began = clock()

    def is_left(self) -> bool:
        """
        Whether optional work may run now.
        """
        now = self._clock()
        self._left_s = min(BURST_S, self._left_s + (now - self._asked_at) * SHARE)
        self._asked_at = now
        return self._left_s > 0

    def __enter__(self) -> None:
        """
        From now on, time is subtracted from the budget, also if the block raises.
        """
        self._began = self._clock()

    def __exit__(self, *_raised: object) -> None:
        """
        Subtract the duration of the block.
        """
        self._left_s -= self._clock() - self._began
