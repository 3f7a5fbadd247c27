"""
Recorded traffic: one request as a file contains it, and the session to which it belongs.

Rule of this file: it contains what was recorded, and judges nothing. Readers make these values.
"""

from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from savemode_cli.core.money.refusals import is_billed
from savemode_cli.core.wire.diagnostics import CacheDiagnosis
from savemode_cli.core.wire.messages import MESSAGES_PATH
from savemode_cli.core.wire.usage import Usage


class Recorded(Struct, frozen=True, gc=False):
    """
    One answered request, with the usage that it was billed for.
    """

    session: str
    """The ID of its session."""
    agent: str
    """The ID of its sub-agent, "" for the main conversation. Each has a separate cache."""
    model: str
    started_at: datetime
    """When the request was sent."""
    ended_at: datetime
    """When its answer was complete."""
    usage: Usage
    opens_turn: bool = True
    """Whether a person's message precedes it; False after a tool result."""
    copy: bool = False
    """
    Whether it is counted elsewhere, because a resumed session repeats the lines of its origin. It shows what was
    cached, and is not counted again.
    """
    partial_output: bool = False
    """Whether it was recorded before the answer was complete. Then `output_tokens` is too low, often a placeholder."""
    thinks: bool | None = None
    """Whether its answer has thinking; None if the record does not show it."""
    instructed: bool = False
    """Whether text of the client precedes it directly, such as the instructions of a skill or a command."""
    restarted: bool = False
    """Whether the record shows that the client was started again since the answer before it."""

    @property
    def billed(self) -> bool:
        """
        Whether the API billed it. The API does not bill it if the model declined before any output.
        """
        return is_billed(self.usage.declined, self.started_at)


@dataclass(frozen=True, slots=True)
class StatedCost:
    """
    The cost of a session up to some time, by the client's own counter.
    """

    total_nusd: int
    """In nano-dollars."""
    at: datetime
    """The time of the previous record, because the line itself has none; if there is none, that of the next record."""
    after: datetime | None
    """The end of the last answer of the main conversation before it; None without one."""
    until: datetime | None
    """The time of the first record after it; None if it is the last."""
    counter: float | None
    """When the counter began, according to the client. Sessions that continue a counter have the same value."""
    certain: bool = True
    """False if the client did not know the price of a model."""


@dataclass(frozen=True, slots=True)
class Session:
    """
    The requests of one session and of its sub-agents, in the order in which they were sent.
    """

    id: str
    requests: tuple[Recorded, ...]
    repeated: int = 0
    """How many copies within the session, as in side chains, were left out."""
    sharing: int = 0
    """How many requests have the same message ID as another one and are different requests."""
    copied: tuple[tuple[str, datetime], ...] = ()
    """The sessions whose answers the main conversation repeats, each with the end of the last of them."""
    stated: tuple[StatedCost, ...] = ()
    """The client's own counter readings, in the order of the file."""
    records_requests: bool = False
    """Whether its transcript records requests, and not only answers."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which requests count. The others still show what was cached.
    """

    since: datetime | None = None
    until: datetime | None = None
    """The first time that no longer counts."""
    session: str | None = None
    """The beginning of a session's ID."""
    model: str | None = None
    """A part of a model's ID."""

    def takes(self, request: Recorded) -> bool:
        """
        Whether the request counts.
        """
        return (
            not request.copy
            and request.billed
            and (self.since is None or request.started_at >= self.since)
            and (self.until is None or request.started_at < self.until)
            and (self.session is None or request.session.startswith(self.session))
            and (self.model is None or self.model in request.model)
        )


@dataclass(frozen=True, slots=True)
class Call:
    """
    One recorded request with its body. Values that were not recorded are None.
    """

    place: str
    """Where the record is, for messages."""
    body: bytes
    """The body without its content encoding."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """The headers as they were received, with lower-case names."""
    path: str = MESSAGES_PATH
    started_at: datetime | None = None
    ended_at: datetime | None = None
    usage: Usage | None = None
    """What it was billed for."""
    session: str | None = None
    """The key of its session; None if it must be read from the body."""
    subscription: bool = False
    """Whether the record shows OAuth traffic, although it contains no credential."""
    answered: bool = True
    """False if the record shows that it was refused or failed. Then nothing of it was cached or billed."""
    encoded: bool = False
    """Whether the client compressed the body. `serve` does not edit such a request."""
    diagnosis: CacheDiagnosis | None = None
    """What the API says of it beside the request before it; None if it was not asked."""


@dataclass(frozen=True, slots=True)
class SessionWay:
    """
    How a session of a transcript was replayed.
    """

    session: str
    """Its ID."""
    by_requests: bool
    """Whether its requests were rebuilt, and replayed breakpoint by breakpoint; otherwise its usage and times were."""
    why: str = ""
    """Why its requests were not replayed; "" if they were."""
    is_recorded: bool = True
    """Whether it records any request."""
