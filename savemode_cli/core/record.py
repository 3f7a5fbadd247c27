"""
What a sink is given of one finished request: the exchange, who called, and, only if asked for, what was said.

Rule of this file: content is apart from the exchange, and there is none unless the user asked for it. A sink that keeps
it picks the headers it keeps by name; nothing here has been cleaned of credentials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from savemode_cli.core.caller import Caller
from savemode_cli.core.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Content:
    """
    A request as the client sent it and its answer as the upstream gave it: raw headers, bodies in their own encoding.

    The body on the wire is the request's with the exchange's edits applied, unless it was observed or resent.
    `request_body` is None if it only passed through, `response_body` if it grew past what is kept; it may be incomplete
    where the exchange did not end well. Nothing of it is ever printed: it does not say what it holds.
    """

    request_headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    request_body: bytes | None = field(repr=False)
    response_headers: Sequence[tuple[bytes, bytes]] = field(repr=False, default=())
    response_body: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Record:
    """
    One exchange for the sinks. `caller` is None if the headers could not be read.

    `ended_at` is when it was settled, by the clock that it started by: what a receipt goes by. `answered_by` is the model
    that answered, None if that is not known.
    """

    exchange: Exchange
    caller: Caller | None = None
    content: Content | None = None
    ended_at: datetime | None = None
    answered_by: str | None = None

    def without_content(self) -> "Record":
        """
        The same for a sink that was not asked for content: another one may be there that was.
        """
        return self if self.content is None else replace(self, content=None)


class Part(Protocol):
    """
    Something whose health is shown.
    """

    @property
    def name(self) -> str:
        """
        What it is called in `/-/health`.
        """

    @property
    def trouble(self) -> str:
        """
        What is wrong with it now, in a sentence; "" if nothing is.
        """


class Sink(Part, Protocol):
    """
    Somebody who is told of every exchange: captures, telemetry. Reports of its own troubles are its own business.
    """

    @property
    def wants_content(self) -> bool:
        """
        Whether it needs to know what was said.
        """

    def keep(self, record: Record) -> None:
        """
        Take a record; called in the event loop, so it neither waits nor raises.
        """

    def close(self) -> None:
        """
        Finish what was taken, within a bound of its own. Harmless when repeated.
        """
