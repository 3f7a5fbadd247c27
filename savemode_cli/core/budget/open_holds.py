"""
The open holds of one key, in memory.

Rule of this file: a balance reads only the holds that have not expired. Holds that nobody settles or releases may be
many.
"""

from bisect import bisect_left, insort
from datetime import datetime

from savemode_cli.core.budget.admission import Hold


def is_expired(expires_at: datetime, now: datetime) -> bool:
    """
    Whether a hold has expired. It expires exactly at that time.
    """
    return expires_at <= now


class OpenHolds:
    """
    The holds, ordered by the time at which they expire.
    """

    __slots__ = ("_by_expiry", "nusd")

    def __init__(self) -> None:
        """
        Create an empty set.
        """
        self.nusd = 0
        """The sum of all holds, in nano-USD."""
        self._by_expiry: list[tuple[datetime, str, int]] = []

    def __bool__(self) -> bool:
        """
        Whether there are any holds.
        """
        return bool(self._by_expiry)

    def add(self, hold: Hold) -> None:
        """
        Add a hold.
        """
        insort(self._by_expiry, _place(hold))
        self.nusd += hold.ask_nusd

    def remove(self, hold: Hold) -> None:
        """
        Remove a hold that was added.
        """
        del self._by_expiry[bisect_left(self._by_expiry, _place(hold))]
        self.nusd -= hold.ask_nusd

    def held_nusd(self, now: datetime) -> int:
        """
        The sum of the holds that have not expired, in nano-USD.
        """
        held = 0
        for expires_at, _, ask_nusd in reversed(self._by_expiry):
            if is_expired(expires_at, now):
                break
            held += ask_nusd
        return held

    def left_nusd(self, until: datetime) -> int:
        """
        The sum of the holds that had expired by `until`, in nano-USD. They are no longer in a rolling window that
        begins after that.
        """
        left = 0
        for expires_at, _, ask_nusd in self._by_expiry:
            if not is_expired(expires_at, until):
                break
            left += ask_nusd
        return left


def _place(hold: Hold) -> tuple[datetime, str, int]:
    return hold.expires_at, hold.id, hold.ask_nusd
