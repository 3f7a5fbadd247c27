"""
How the pauses of a person end: what keep-warm expects of the next one.

Rule of this file: it counts pauses and knows no content, no times and no prices.

Source of what is assumed before a person's own pauses are known: the published figures of TraceLab (43 developers, 4,265
sessions, 140,338 requests to Claude). Of the waits for a person, half are over after 79 seconds, 79.6 % after 5 minutes, 90 %
after 20.6 minutes and 96.4 % after an hour. A session has 9.2 messages of a person, so one of 9.2 waits is its end. Between
these points the share of longer waits is taken for a power of the time.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from savemode_cli.core.upgrade.policy import MOST_PINGS, PING_AFTER

_RETURNED = (67, 28, 17, 15, 15, 11, 8, 6, 5, 4, 4, 3)
"""
Of 341 pauses of more than 4.5 minutes, how many ended in each further window of 4.5 minutes. The others ended later, or
never.
"""

_STAYED_AWAY = 158
_PRIOR_PAUSES = 20
"""The published pauses count as much as so many pauses of this person."""


def window_of(pause: timedelta) -> int | None:
    """
    The window of 4.5 minutes in which a pause ends. The first one begins after 4.5 minutes and is 0; None before it.
    `MOST_PINGS` stands for all times after the last window.
    """
    window = int(pause / PING_AFTER) - 1
    return None if window < 0 else min(window, MOST_PINGS)


@dataclass(slots=True)
class Pauses:
    """
    How the long pauses of one person ended.
    """

    returned: list[int] = field(default_factory=lambda: [0] * MOST_PINGS)
    """By window of 4.5 minutes, the first one begins after 4.5 minutes."""
    stayed_away: int = 0
    """How many were longer than all windows."""

    def note(self, pause: timedelta) -> None:
        """
        Count a pause. One that a 5-minute cache survives says nothing.
        """
        window = window_of(pause)
        if window == MOST_PINGS:
            self.stayed_away += 1
        elif window is not None:
            self.returned[window] += 1

    def shares(self) -> tuple[list[float], float]:
        """
        The share of pauses that end in each window, and the share of those that do not end in any.
        """
        prior = _PRIOR_PAUSES / (sum(_RETURNED) + _STAYED_AWAY)
        counts = [own + published * prior for own, published in zip(self.returned, _RETURNED, strict=True)]
        away = self.stayed_away + _STAYED_AWAY * prior
        total = sum(counts) + away
        return [count / total for count in counts], away / total
