"""
The guard: signs that a run has run away, in time to stop it.

Rule of this file: it judges by what it is told, `now` is a parameter, and it keeps numbers only. What it keeps of a
conversation is bounded, and so is the number of conversations.

Budgets stop a run at an amount. The guard looks at how it gets there: one tool call again and again, much money in a few
minutes, many sub-agents at once. Each sign has a limit. The defaults are from recorded sessions (docs/guard.md).
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from savemode_cli.core.budget.choices import GuardLimits
from savemode_cli.core.money.amounts import dollars, exact_usd

GUARD_HEADER = b"x-savemode-guard"
"""The header of an answer that names the sign."""

Sign = Literal["identical_calls", "usd_per_minute", "agents"]
"""
Identical calls: one tool call with one input in a row, or a round of two or three such calls. Dollars per minute: the mean of the
last five minutes. Agents: sub-agents that work at the same time.
"""

MINUTES = 5
_WINDOW = timedelta(minutes=MINUTES)
AGENT_IDLE = timedelta(minutes=1)
"""How long after its last request a sub-agent still counts as at work: it runs tools between its requests."""

_MOST_CONVERSATIONS = 1000
_MOST_AGENTS = 200
"""Of one conversation, while none of their requests is under way. A caller names its agents, and so could name any number."""


class Alarm(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    A sign that a request shows.
    """

    sign: Sign
    seen: int
    """How many calls, nano-USD per minute, or agents."""
    limit: int
    """From how many on it counts, in the same unit."""
    refused: bool = False
    """Whether the request was refused for it."""
    tool: str = ""
    """The name of the tool that was called, or of several that were called in turn; empty for other signs."""

    def words(self) -> str:
        """
        What was seen, for people.
        """
        match self.sign:
            case "identical_calls":
                what = _calls(self.tool.split(", "), self.seen)
            case "usd_per_minute":
                what = f"it spent {dollars(self.seen)} per minute in the last {MINUTES} minutes"
            case "agents":
                what = f"it runs {self.seen} sub-agents at the same time"
        return f"{what} (limit: {dollars(self.limit) if self.sign == 'usd_per_minute' else self.limit})"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """
        The header of the answer.
        """
        return [(GUARD_HEADER, self.sign.encode())]

    def to_json(self) -> dict[str, Any]:
        """
        The alarm for machines.
        """
        if self.sign == "usd_per_minute":
            amounts: dict[str, Any] = {"seen_usd": exact_usd(self.seen), "limit_usd": exact_usd(self.limit)}
        else:
            amounts = {"seen": self.seen, "limit": self.limit}
        return {"sign": self.sign, "refused": self.refused, **amounts, "tool": self.tool or None}


@dataclass(slots=True)
class _Conversation:
    charges: deque[tuple[datetime, int]] = field(default_factory=deque)
    """What was charged in the last five minutes, at most one entry per second, with the time of its last charge."""
    spent_nusd: int = 0
    """The sum of it."""
    agents: dict[str, datetime] = field(default_factory=dict)
    """Until when each sub-agent counts as at work, while it has no request under way; the first to stop first."""
    running: dict[str, int] = field(default_factory=dict)
    """How many requests each sub-agent has under way."""
    accepted: dict[Sign, int] = field(default_factory=dict)
    """What was seen when a sign was warned of, or was let through."""

    def add(self, now: datetime, nusd: int) -> None:
        """
        Add a charge.
        """
        self.spent_nusd += nusd
        if self.charges and self.charges[-1][0].replace(microsecond=0) == now.replace(microsecond=0):
            now, nusd = max(now, self.charges[-1][0]), nusd + self.charges.pop()[1]
        self.charges.append((now, nusd))


def _calls(tools: list[str], times: int) -> str:
    """
    What was called so often, for people.
    """
    names = [name or "a tool" for name in tools]
    if len(names) == 1:
        return f"it called {names[0]} {times} times in a row with the same input"
    return f"it called {', '.join(names[:-1])} and {names[-1]} in turn {times} times, each time with the same inputs"


class Guard:
    """
    Watches the conversations of one proxy. Used by one event loop.
    """

    def __init__(self, limits: GuardLimits) -> None:
        """
        Args:
            limits: from where on a sign counts, and what happens then.
        """
        self.limits = limits
        self._conversations: dict[str, _Conversation] = {}
        self._requests: dict[str, tuple[str, str]] = {}

    def judge(self, conversation: str, agent: str, repeated: int, tool: str, now: datetime) -> Alarm | None:
        """
        The sign that a request shows, the first of those in `Sign`; None if it shows none, or one that is accepted.

        Args:
            conversation: which one, its sub-agents included.
            agent: the sub-agent that sends the request; empty for the main conversation.
            repeated: how often in a row the last round of tool calls stands in the request's history.
            tool: the names of the tools in it, see `RepeatedCall`.
            now: the time.
        """
        limits = self.limits
        if limits.action == "off":
            return None
        known = self._conversation(conversation, now)
        working = len(known.running | known.agents)
        is_new = bool(agent) and agent not in known.running and agent not in known.agents
        signs: tuple[tuple[Sign, int, int, bool], ...] = (
            ("identical_calls", repeated, limits.identical_calls, repeated >= limits.identical_calls),
            ("usd_per_minute", known.spent_nusd // MINUTES, limits.nusd_per_minute, True),
            ("agents", working + is_new, limits.agents, is_new),
        )
        for sign, seen, limit, shows in signs:
            accepted = known.accepted.get(sign, 0)
            if 2 * seen <= limit:
                known.accepted.pop(sign, None)  # it is over; the next time is a new one
            past = seen >= limit if sign == "identical_calls" else seen > limit
            if limit and shows and past and seen >= 2 * accepted:
                return Alarm(sign, seen, limit, limits.action == "refuse", tool if sign == "identical_calls" else "")
        return None

    def accept(self, conversation: str, alarm: Alarm, now: datetime) -> None:
        """
        Let a sign pass from now on, until twice as much of it is seen, or until it is over: it was warned of, or a person
        has let the request through.

        Args:
            conversation: which one.
            alarm: the sign.
            now: the time.
        """
        self._conversation(conversation, now).accepted[alarm.sign] = alarm.seen

    def begin(self, request_id: str, conversation: str, agent: str, now: datetime) -> None:
        """
        A request starts.

        Args:
            request_id: its ID.
            conversation: as in `judge`.
            agent: as in `judge`.
            now: the time.
        """
        if self.limits.action == "off":
            return
        self._requests[request_id] = (conversation, agent)
        if agent:
            known = self._conversation(conversation, now)
            known.running[agent] = known.running.get(agent, 0) + 1

    def end(self, request_id: str, nusd: int, now: datetime) -> None:
        """
        A request is charged. One that never began changes nothing.

        Args:
            request_id: its ID.
            nusd: what it cost.
            now: the time.
        """
        conversation, agent = self._requests.pop(request_id, ("", ""))
        if not conversation:
            return
        known = self._conversation(conversation, now)
        if agent:
            left = known.running.pop(agent, 1) - 1
            if left:
                known.running[agent] = left
            known.agents.pop(agent, None)
            known.agents[agent] = now + AGENT_IDLE
            if len(known.agents) > max(_MOST_AGENTS, 4 * self.limits.agents):
                del known.agents[next(iter(known.agents))]
        if nusd:
            known.add(now, nusd)

    def _conversation(self, key: str, now: datetime) -> _Conversation:
        """
        What is known of a conversation, without what is too old to count.
        """
        known = self._conversations.pop(key, None) or _Conversation()
        self._conversations[key] = known  # so that the dictionary is ordered by last use
        if len(self._conversations) > _MOST_CONVERSATIONS:
            del self._conversations[next(iter(self._conversations))]
        while known.charges and known.charges[0][0] <= now - _WINDOW:
            known.spent_nusd -= known.charges.popleft()[1]
        while known.agents and next(iter(known.agents.values())) <= now:
            del known.agents[next(iter(known.agents))]
        return known
