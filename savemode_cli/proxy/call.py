"""
A request from the client, and what is known of it while it is served.

Rule of this file: it stores facts and makes no decisions.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import datetime

from savemode_cli.core.wire.call import Call
from savemode_cli.core.wire.caller import UNKNOWN_CALLER, Caller
from savemode_cli.core.wire.facts import NO_FACTS, Facts
from savemode_cli.core.wire.prefixes import Beginning
from savemode_cli.core.wire.sessions import conversation_key
from savemode_cli.serving.headers import RawHeaders


@dataclass(slots=True)
class Inbound:
    """
    A request from the client.

    Attributes:
        method: the HTTP method.
        raw_path: the path as it was sent.
        query: the query string.
        headers: the headers as they were sent.
        body: the bytes of a model call; otherwise it may be a stream that is only forwarded. The relay replaces it by
            what it sends.
        finish_anyway: set by the relay: the call continues if the client hangs up, because it is billed anyway.
        gone: set by the server: the client hung up before its body was complete.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: RawHeaders
    body: bytes | AsyncIterable[bytes]
    finish_anyway: bool = False
    gone: bool = False
    keep_warm: bool = False
    """Whether savemode sends it itself, to keep a cache warm."""

    @property
    def path(self) -> str:
        """
        The path as text, in its original spelling.
        """
        return self.raw_path.decode("latin-1")


@dataclass(slots=True)
class CallInProgress:
    """
    The first part of an exchange, filled as the request is read.
    """

    id: str
    """The ID of the request, which becomes the ID of its hold."""
    started_at: datetime
    inbound: Inbound
    body_bytes: int
    """The size of the body, as the client sent it."""
    caller: Caller = UNKNOWN_CALLER
    facts: Facts = NO_FACTS
    session: str | None = None
    """The key of the session; None if it is not known."""
    conversation: str = ""
    """The conversation, its sub-agents included; empty if it is not known."""
    trace_id: str | None = None
    beginning: Beginning | None = None
    """Which beginning of the body was seen before; None if that is not known."""

    @property
    def cache(self) -> str:
        """
        The key of the cache that the call uses. Models do not share a cache.
        """
        return f"{self.session} {self.facts.model}"

    def named_conversation(self) -> str:
        """
        The conversation; what the headers and the body name if it is not known.
        """
        return self.conversation or conversation_key(self.caller, self.facts)

    def finished(self) -> Call:
        """
        The part of the finished exchange.
        """
        inbound, facts = self.inbound, self.facts
        return Call(
            inbound.method,
            inbound.path,
            self.caller.product,
            facts.model,
            facts.stream,
            self.body_bytes,
            self.session,
            self.trace_id,
            facts.opens_turn,
            inbound.keep_warm,
        )
