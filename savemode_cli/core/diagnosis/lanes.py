"""
The recent requests of each cache lane, without their text.

Rule of this file: it remembers and forgets, and judges nothing. A lane is what shares a growing prefix: one session,
one agent, one model. Memory is bounded in three ways: by lanes, by requests of a lane, and by bytes. The entries that
were unused longest are dropped first.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest

from savemode_cli.core.diagnosis.fingerprint import FIXED_BYTES, OBJECT_BYTES, Fingerprint
from savemode_cli.core.wire.usage import Usage


@dataclass(frozen=True, slots=True)
class Lane:
    """
    Identifies the requests that share a growing prefix.
    """

    session: str
    agent: str
    """The ID of a sub-agent, "" for the main conversation."""
    model: str


@dataclass(slots=True)
class SentPrompt:
    """
    One request of a lane, while it waits for its answer and afterwards.
    """

    id: str
    """The ID of the request, for people and for finding its body."""
    lane: Lane
    fingerprint: Fingerprint
    started_at: datetime
    named: bool = True
    """Whether the client has named the session."""
    payer: str = ""
    """Identifies the key with which it was sent; "" if unknown."""
    betas: frozenset[str] = frozenset()
    began_at: datetime | None = None
    """When its answer began; None until then. From that time on, other requests can read what it wrote."""
    ended_at: datetime | None = None
    """When its answer was complete; None until then."""
    usage: Usage | None = None
    """The usage that it was billed for; None until then, or if that is unknown."""
    failed: bool = False
    """Whether it was refused or ended before an answer, so that it wrote nothing."""


class Lanes:
    """
    The recent requests, by lane.
    """

    def __init__(self, *, max_lanes: int = 64, max_prompts: int = 32, max_bytes: int = 20_000_000) -> None:
        """
        Create an empty memory.

        Args:
            max_lanes: the most lanes.
            max_prompts: the most requests of a lane.
            max_bytes: the most memory of all fingerprints, in bytes.
        """
        self._lanes: OrderedDict[Lane, OrderedDict[int, SentPrompt]] = OrderedDict()
        self._holders: Counter[int] = Counter()
        self._count = 0
        self._max_lanes = max_lanes
        self._max_prompts = max_prompts
        self._max_bytes = max_bytes
        self._bytes = 0

    def __len__(self) -> int:
        """
        How many requests are remembered.
        """
        return self._count

    @property
    def bytes(self) -> int:
        """
        About how much memory the fingerprints take, in bytes.
        """
        return self._bytes

    def fingerprints(self, lane: Lane) -> list[Fingerprint]:
        """
        The fingerprints of a lane. A new one of the lane shares memory with them.
        """
        return [sent.fingerprint for sent in self._lanes.get(lane, {}).values()]

    def add(self, sent: SentPrompt) -> None:
        """
        Remember a request.
        """
        prompts = self._lanes.setdefault(sent.lane, OrderedDict())
        self._lanes.move_to_end(sent.lane)
        prompts[id(sent)] = sent
        self._hold(sent)
        while len(prompts) > self._max_prompts or (
            self._bytes > self._max_bytes and len(self._lanes) == 1 < len(prompts)
        ):
            self._release(prompts.popitem(last=False)[1])
        while len(self._lanes) > self._max_lanes or (self._bytes > self._max_bytes and len(self._lanes) > 1):
            for old in self._lanes.popitem(last=False)[1].values():
                self._release(old)

    def used(self, sent: SentPrompt) -> None:
        """
        Keep a request longer, because a later one continues it.
        """
        prompts = self._lanes.get(sent.lane)
        if prompts is not None and id(sent) in prompts:
            prompts.move_to_end(id(sent))

    def before(self, sent: SentPrompt) -> list[SentPrompt]:
        """
        The other requests of the same session and agent that were not sent later, in the order in which they were sent.

        They include requests for other models: a prompt shares its content with these, but not its cache. For the first
        request of a session without a name, they are the latest requests in all sessions, because the key of such a
        session is made from its system prompt and changes with it.
        """
        own = [other for other in self._siblings(sent.lane) if _is_before(other, sent)]
        if own or sent.named:
            return sorted(own, key=_started)
        others = (other for prompts in self._lanes.values() for other in prompts.values())
        near = (other for other in others if _is_before(other, sent) and _may_share(other, sent))
        return sorted(nlargest(self._max_prompts, near, key=_started), key=_started)

    def _siblings(self, lane: Lane) -> Iterable[SentPrompt]:
        for other, prompts in self._lanes.items():
            if (other.session, other.agent) == (lane.session, lane.agent):
                yield from prompts.values()

    def _hold(self, sent: SentPrompt) -> None:
        self._count += 1
        self._bytes += FIXED_BYTES
        for segment in sent.fingerprint.segments():
            if not self._holders[id(segment)]:
                self._bytes += len(segment) + OBJECT_BYTES
            self._holders[id(segment)] += 1

    def _release(self, sent: SentPrompt) -> None:
        self._count -= 1
        self._bytes -= FIXED_BYTES
        for segment in sent.fingerprint.segments():
            self._holders[id(segment)] -= 1
            if not self._holders[id(segment)]:
                del self._holders[id(segment)]
                self._bytes -= len(segment) + OBJECT_BYTES


def _is_before(other: SentPrompt, sent: SentPrompt) -> bool:
    return other is not sent and not other.failed and other.started_at <= sent.started_at


def _may_share(other: SentPrompt, sent: SentPrompt) -> bool:
    """
    Whether the requests of two sessions may share a part of the cache. Requests with different keys may belong to
    different workspaces.
    """
    return other.payer == sent.payer and bool(other.lane.agent) == bool(sent.lane.agent)


def _started(sent: SentPrompt) -> datetime:
    return sent.started_at
