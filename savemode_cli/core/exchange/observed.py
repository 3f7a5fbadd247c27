"""
What a sink receives of a finished request: the exchange, the caller, and the content if a sink asked for it.

Rule of this file: content is separate from the exchange, and there is none unless the user asked for it. A sink that
stores headers selects them by name, because credentials have not been removed here.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.wire.caller import Caller


class Content(Struct, frozen=True):
    """
    A request as the client sent it, and its answer as the upstream sent it: raw headers, and bodies in their own
    encoding.

    The body that the upstream received is the request body with the exchange's edits, unless these were observed only
    or the original was sent again. The answer may be incomplete if the exchange did not end well.
    """

    request_headers: Sequence[tuple[bytes, bytes]]
    request_body: bytes | None
    """None if it was only passed through."""
    response_headers: Sequence[tuple[bytes, bytes]] = ()
    response_body: bytes | None = None
    """None if it was longer than the limit of what is recorded."""

    def __repr__(self) -> str:
        """
        Shows no content, because it may appear in a log.
        """
        return "Content(...)"


class Observed(Struct, frozen=True):
    """
    One exchange, as sinks receive it.
    """

    exchange: Exchange
    ended_at: datetime
    """When it was billed, by the same clock as `started_at`. A receipt depends on it."""
    caller: Caller | None = None
    """Who sent the request; None if its headers could not be read."""
    content: Content | None = None
    """The headers and bodies; None unless a sink asked for them."""

    def without_content(self) -> "Observed":
        """
        The same for a sink that did not ask for content. Another sink may have asked.
        """
        return self if self.content is None else replace(self, content=None)


class Part(Protocol):
    """
    A component whose health `/-/health` shows.
    """

    @property
    def name(self) -> str:
        """
        The name in `/-/health`.
        """

    @property
    def trouble(self) -> str:
        """
        The current problem in a sentence; "" if there is none.
        """


@runtime_checkable
class Counted(Protocol):
    """
    Something whose counters are shown in `/-/health`.
    """

    @property
    def counters(self) -> Mapping[str, int]:
        """
        What it has handled since the start, by what became of it, such as `delivered` and `lost`.
        """


class Sink(Part, Counted, Protocol):
    """
    A component that receives every exchange, such as captures and telemetry. It reports its own problems.
    """

    @property
    def wants_content(self) -> bool:
        """
        Whether it needs the headers and bodies.
        """

    def keep(self, observed: Observed) -> None:
        """
        Receive an exchange. The event loop calls it, so it does not wait, and it raises nothing.
        """

    def close(self) -> None:
        """
        Finish what it has received, within its own time limit. A second call has no effect.
        """
