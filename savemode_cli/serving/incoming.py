"""
How much memory the bodies take that clients have begun to send and not yet completed.

Rule of this file: it counts bytes and names the body that is refused; it does not read or write.

A body has to be complete before it can be judged, so its bytes wait in memory. A client that sends a part of a large one and
stops is closed after a minute; until then, many of them together must not take all memory. The body that is refused is the one
that has gone longest without 64 KB more: one that still arrives is never refused in the place of one that has stopped.
"""

from collections.abc import Callable
from typing import Any

DEFAULT_MB = 512
BYTES_PER_MB = 1024 * 1024
_STEP_BYTES = 64 * 1024
_WHY = (
    "the proxy is receiving more unfinished request bodies than it keeps in memory ({most} MB), and this one came slowest; "
    "send it again, or raise incoming_mb"
)


class IncomingBodies:
    """
    The bodies of one server that are not complete. Used by one event loop.

    Attributes:
        size: how many bytes of them are in memory.
        refused: how many were refused.
    """

    def __init__(
        self,
        most_mb: int = DEFAULT_MB,
        announce: Callable[[str, str], None] = lambda _event, _text: None,
    ) -> None:
        """
        Args:
            most_mb: how many megabytes they may take together; 0 for no limit. One alone is never refused.
            announce: receives an event and a text when the first one is refused.
        """
        self.size = 0
        self.refused = 0
        self._most_mb = most_mb
        self._announce = announce
        self._open: dict[IncomingBody, None] = {}  # the one that has gone longest without progress is the first

    def begin(self, refuse: Callable[[str], None]) -> "IncomingBody":
        """
        A body begins.

        Args:
            refuse: refuses its request, for the reason given. Called at most once.
        """
        body = IncomingBody(self, refuse)
        self._open[body] = None
        return body

    def to_json(self) -> dict[str, Any]:
        """
        The figures for `/-/health`.
        """
        return {"open": len(self._open), "bytes": self.size, "most_mb": self._most_mb, "refused": self.refused}

    def count(self, body: "IncomingBody", size: int) -> None:
        """
        Count bytes of a body; refuse the slowest if they are too many.
        """
        if body not in self._open:
            return
        body.size += size
        body.since_step += size
        self.size += size
        if body.since_step >= _STEP_BYTES:
            body.since_step = 0
            del self._open[body]
            self._open[body] = None
        while self._most_mb and self.size > self._most_mb * BYTES_PER_MB and len(self._open) > 1:
            self._refuse(next(iter(self._open)))

    def forget(self, body: "IncomingBody") -> None:
        """
        A body is complete, or its client has left.
        """
        if body in self._open:
            del self._open[body]
            self.size -= body.size

    def _refuse(self, body: "IncomingBody") -> None:
        self.forget(body)
        self.refused += 1
        if self.refused == 1:
            self._announce(
                "incoming_bodies",
                f"unfinished request bodies take more than {self._most_mb} MB of memory; the slowest are refused",
            )
        body.refuse(_WHY.format(most=self._most_mb))


class IncomingBody:
    """
    One body that is being received.
    """

    __slots__ = ("_bodies", "refuse", "since_step", "size")

    def __init__(self, bodies: IncomingBodies, refuse: Callable[[str], None]) -> None:
        """
        Args:
            bodies: those of the server.
            refuse: see `IncomingBodies.begin`.
        """
        self._bodies = bodies
        self.refuse = refuse
        self.size = 0
        self.since_step = 0

    def add(self, size: int) -> None:
        """
        So many bytes of it have come. This may refuse another body, or this one.
        """
        self._bodies.count(self, size)

    def end(self) -> None:
        """
        It is complete, or no longer kept. Harmless when repeated.
        """
        self._bodies.forget(self)
