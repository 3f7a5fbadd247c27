"""
How many connections a server keeps open, and how long it waits for the bytes of a client.

Rule of this file: it counts connections and closes those that wait for their clients; it does not read or write.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from savemode_cli.serving.incoming import DEFAULT_MB, IncomingBodies

MAX_CONNECTIONS = 8_192
"""
The most connections that a server keeps open, even if more files may be open. 8,192 idle ones use about 100 MB of memory.
"""

_OTHER_FILES = 128
"""How many files are open besides connections: the ledger, captures, the event loop, connections to PostHog."""

_MIN_CONNECTIONS = 16
_CHECK_INTERVAL_S = 1.0
_CLOSED_AT_ONCE_SHARE = 64
"""
When the server is full, it closes up to one 64th of all connections at once, because it checks every connection to find
the idle ones.
"""


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """
    How long the server waits for a client, in seconds.

    Attributes:
        head_s: from the connection, or from the first byte of a request, to the end of the request's head.
        body_s: between two parts of a request's body.
        probe_s: from the moment at which a client closes its side to the first check whether it still reads.
    """

    head_s: float = 30.0
    body_s: float = 60.0
    probe_s: float = 2.0


class Connection(Protocol):
    """
    The methods of a connection that `Connections` uses.
    """

    @property
    def idle_since(self) -> tuple[int, float] | None:
        """
        None if the server is working on an answer for the client. Otherwise a rank (0: no part of a request has come, 1:
        a part of the head, 2: a part of the body) and the time of the event loop at which the last byte came.
        """

    def close_if_timed_out(self, now: float, timeouts: ClientTimeouts) -> bool:
        """
        Close the connection if its client has exceeded a timeout.

        Returns:
            Whether the connection was closed.
        """

    def close_idle(self) -> None:
        """
        Close the connection, so that the server can accept another one.
        """


class Connections:
    """
    The open connections of a server.
    """

    def __init__(
        self,
        limit: int = MAX_CONNECTIONS,
        timeouts: ClientTimeouts | None = None,
        announce: Callable[[str, str], None] = lambda _event, _text: None,
        incoming_mb: int = DEFAULT_MB,
    ) -> None:
        """
        Args:
            limit: how many connections may be open at once. `limit_to_open_files` can lower this number.
            timeouts: how long the server waits for clients.
            announce: receives an event and a text when the server first closes idle connections, and when it first
                refuses a new one.
            incoming_mb: see `IncomingBodies`.
        """
        self.bodies = IncomingBodies(incoming_mb, announce)
        self.limit = limit
        self.timeouts = timeouts or ClientTimeouts()
        self._announce = announce
        self._open: set[Connection] = set()
        self._next_check = 0.0
        self._closed_idle = 0
        self._refused = 0
        self._timed_out = 0

    def limit_to_open_files(self, files: int) -> None:
        """
        Lower the limit to what the process can open. Each connection may need a second one, to the upstream.

        Args:
            files: how many files the process may have open.
        """
        self.limit = max(_MIN_CONNECTIONS, min(self.limit, (files - _OTHER_FILES) // 2))

    def add(self, connection: Connection) -> bool:
        """
        Register a new connection. If the limit is reached, close idle connections first.

        Returns:
            Whether the connection may stay. False: the limit is reached and no other connection is idle.
        """
        if len(self._open) >= self.limit and not self._make_room():
            self._refused += 1
            self._announce_first(self._refused, "none of them is idle, so new ones are refused")
            return False
        self._open.add(connection)
        return True

    def remove(self, connection: Connection) -> None:
        """
        Forget a connection that has ended.
        """
        self._open.discard(connection)

    def close_timed_out(self, now: float) -> None:
        """
        Close the connections whose clients have exceeded a timeout. A call within a second of the last check does
        nothing.

        Args:
            now: the time of the event loop, in seconds.
        """
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_INTERVAL_S
        for connection in list(self._open):
            if connection.close_if_timed_out(now, self.timeouts):
                self._timed_out += 1
                self._open.discard(connection)

    def to_json(self) -> dict[str, Any]:
        """
        The figures for `/-/health`.
        """
        return {
            "open": len(self._open),
            "most": self.limit,
            "timed_out": self._timed_out,
            "closed_idle": self._closed_idle,
            "refused": self._refused,
        }

    def _make_room(self) -> bool:
        idle = ((since, connection) for connection in self._open if (since := connection.idle_since) is not None)
        longest = heapq.nsmallest(max(1, self.limit // _CLOSED_AT_ONCE_SHARE), idle, key=lambda pair: pair[0])
        for _, connection in longest:
            self._open.discard(connection)
            connection.close_idle()
        self._closed_idle += len(longest)
        if longest:
            self._announce_first(
                self._closed_idle - len(longest) + 1, "the longest idle ones are closed to accept new ones"
            )
        return bool(longest)

    def _announce_first(self, count: int, what: str) -> None:
        if count == 1:
            self._announce("connections", f"the limit of {self.limit:,} open connections is reached; {what}")
