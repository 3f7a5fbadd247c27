"""
Recorded traffic: one request as somebody's file has it, and the session it belongs to.

Rule of this file: it holds what was recorded and judges nothing. Whoever reads a file makes these values.
"""

from dataclasses import dataclass
from datetime import datetime

from savemode_cli.core.messages import MESSAGES_PATH
from savemode_cli.core.pricing import Usage


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    One answered request: when, by which model, and the usage it was billed for.

    `agent` names a sub-agent, "" is the main conversation: each has a cache of its own. `opens_turn` is False for a
    request that goes on with a tool's result. A `copy` was counted elsewhere already (a resumed session repeats the
    lines of its origin): it tells how the cache stood, and is not counted again.
    """

    session: str
    agent: str
    model: str
    started_at: datetime
    ended_at: datetime
    usage: Usage
    opens_turn: bool = True
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """
    The requests of one session and its sub-agents, in the order in which they were sent.
    """

    id: str
    requests: tuple[Recorded, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which requests are counted; the others still tell how the cache stood. `session` is the beginning of an id, `model`
    a part of one; `until` is the first moment that no longer counts.
    """

    since: datetime | None = None
    until: datetime | None = None
    session: str | None = None
    model: str | None = None

    def takes(self, request: Recorded) -> bool:
        """
        Whether the request is counted.
        """
        return (
            not request.copy
            and (self.since is None or request.started_at >= self.since)
            and (self.until is None or request.started_at < self.until)
            and (self.session is None or request.session.startswith(self.session))
            and (self.model is None or self.model in request.model)
        )


@dataclass(frozen=True, slots=True)
class Call:
    """
    One recorded request with its body. `place` says where it stands, for people; what was not recorded is None.

    `headers` are as they came, names in lower case. `subscription` says that the record shows OAuth traffic though it
    holds no credential. `usage` is the bill, None if none was recorded. `answered` is False where the record shows that
    it was refused or failed: nothing of it was cached, and nothing billed.
    """

    place: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    path: str = MESSAGES_PATH
    started_at: datetime | None = None
    ended_at: datetime | None = None
    usage: Usage | None = None
    session: str | None = None
    subscription: bool = False
    answered: bool = True
