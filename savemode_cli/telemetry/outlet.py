"""
Where events are delivered, and where they wait: the protocols that the queue uses.

Rule of this file: it only defines protocols and their error.
"""

from collections.abc import Sequence
from typing import Protocol

from savemode_cli.telemetry.event import Event


class Undelivered(Exception):
    """
    A batch was not delivered.
    """

    def __init__(self, reason: str, *, final: bool = False, after_s: float | None = None) -> None:
        """
        Args:
            reason: why, for people; without a key.
            final: whether another try would fail too.
            after_s: the shortest pause before the next try, in seconds; None: as usual.
        """
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.after_s = after_s


class Outlet(Protocol):
    """
    Where events go. Only one thread calls it.
    """

    @property
    def where(self) -> str:
        """
        Its name in a sentence.
        """

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:
        """
        Deliver a whole batch. If this raises, no event of the batch counts as delivered.

        Args:
            batch: the events.
            timeout_s: how long it may take, in seconds.

        Raises:
            Undelivered: the batch was not delivered.
        """


class Store(Protocol):
    """
    Where events are kept that could not be delivered before the process ended.
    """

    def claim(self) -> list[Event]:
        """
        Take the events of earlier processes. Until `forget` or `give_back` no other process gets them.
        """

    def forget(self) -> None:
        """
        Delete the claimed events: they were delivered.
        """

    def give_back(self) -> None:
        """
        Leave the claimed events to the next process: not all of them were delivered.
        """

    def save(self, events: Sequence[Event]) -> int:
        """
        Keep events for the next start.

        Returns:
            How many were kept, from the first on.
        """
