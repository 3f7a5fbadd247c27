"""
The sums of a running proxy: in total, by hour, by model, and by session with its sub-agents.

Rule of this file: its size is bounded. It holds a fixed number of hours, models, sessions and agents, however long the
proxy runs. The totals include everything; of the others the least recent ones are dropped.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from savemode_cli.core.cache.lifetimes import LIFETIMES
from savemode_cli.core.exchange.billed import billed_request
from savemode_cli.core.exchange.dearest import DearestMisses, dear_miss
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.histogram import Histogram
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.exchange.totals import BilledRequest, Totals
from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.sessions import named_session_key

SCHEMA_VERSION = 1
_HOUR = timedelta(hours=1)
_MOST_PRODUCTS = 32


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How much is kept.
    """

    hours: int = 14 * 24
    models: int = 50
    sessions: int = 200
    agents: int = 50
    """The sub-agents of each session."""


@dataclass(slots=True)
class SessionSums:
    """
    The sums of one session.
    """

    name: str
    """The ID that the client gives it; savemode's own key if the client gives none."""
    totals: Totals = field(default_factory=Totals)
    agents: "OrderedDict[str, Totals]" = field(default_factory=OrderedDict)
    """The sums by sub-agent ID, the least recent first."""
    agents_dropped: int = 0
    model: str | None = None
    """The model of its last request."""
    ttl: str | None = None
    """The TTL of the prefix of its main conversation; None if nothing is cached."""
    warm_until: datetime | None = None
    last_missed: BilledRequest | None = None

    def to_json(self) -> dict[str, Any]:
        """
        The session for machines.
        """
        missed = self.last_missed
        return {
            "session": self.name,
            "model": self.model,
            **self.totals.to_json(),
            "agents": [{"agent": agent, **totals.to_json()} for agent, totals in reversed(self.agents.items())],
            "agents_dropped": self.agents_dropped,
            "cache": None
            if self.warm_until is None
            else {"ttl": self.ttl, "warm_until": self.warm_until.isoformat(timespec="seconds")},
            "last_miss": None if missed is None else _miss_json(missed),
        }


def _miss_json(request: BilledRequest) -> dict[str, Any]:
    return {
        "at": request.at.isoformat(timespec="seconds"),
        "cause": request.missed[0].cause,
        "tokens": request.missed_tokens,
        **amounts(cost=request.missed_nusd),
    }


class RunningSummary:
    """
    Everything that the pages of a running proxy show.
    """

    def __init__(self, since: datetime, bounds: Bounds | None = None) -> None:
        """
        Create empty sums.

        Args:
            since: when the proxy started.
            bounds: how much is kept.
        """
        self.since = since
        self.summary = Summary()
        self.total = Totals()
        self.hours: OrderedDict[datetime, Totals] = OrderedDict()
        """By the start of the hour, in UTC."""
        self.models: OrderedDict[str, Totals] = OrderedDict()
        self.sessions: OrderedDict[str, SessionSums] = OrderedDict()
        self.dearest = DearestMisses()
        self.durations = Histogram()
        """The durations of model calls, in seconds."""
        self.first_bytes = Histogram()
        """The times until the first byte of the upstream's answer, in seconds."""
        self._bounds = bounds or Bounds()
        self._products: set[str] = set()

    def add(self, exchange: Exchange, ended_at: datetime, caller: Caller | None = None) -> BilledRequest | None:
        """
        Count one exchange.

        Args:
            exchange: the exchange.
            ended_at: when its answer was complete.
            caller: who sent it; None if unknown.

        Returns:
            What it adds to the sums; None if it was not billed.
        """
        self.summary.count(exchange)
        self._time(exchange)
        session = None if caller is None else caller.session_id
        request = billed_request(exchange, session=session, agent=None if caller is None else caller.agent_id or "")
        if request is None:
            return None
        if len(self._products) < _MOST_PRODUCTS:
            self._products.add(exchange.call.product)
        self.total.add(request)
        missed = dear_miss(exchange, session=request.session, agent=request.agent or "")
        if missed is not None:
            self.dearest.add(missed)
        hour = request.at.replace(minute=0, second=0, microsecond=0)
        _held(self.hours, hour, self._bounds.hours, Totals).add(request)
        _held(self.models, request.model or "", self._bounds.models, Totals).add(request)
        if request.session is not None:
            self._add_to_session(request, ended_at)
        return request

    def _time(self, exchange: Exchange) -> None:
        answer = exchange.answer
        if exchange.call.is_model_call and answer.outcome != "refused":
            self.durations.add(answer.duration_ms / 1000)
            if answer.first_byte_ms is not None:
                self.first_bytes.add(answer.first_byte_ms / 1000)

    def _add_to_session(self, request: BilledRequest, ended_at: datetime) -> None:
        name = request.session or ""
        session = _held(self.sessions, name, self._bounds.sessions, lambda: SessionSums(name))
        session.totals.add(request)
        session.model = request.model
        if request.missed:
            session.last_missed = request
        if request.agent:
            known = len(session.agents) if request.agent not in session.agents else 0
            session.agents_dropped += known >= self._bounds.agents
            _held(session.agents, request.agent, self._bounds.agents, Totals).add(request)
            return
        tokens = request.tokens
        if tokens.cached:
            if tokens.written or session.ttl is None:
                session.ttl = "1h" if tokens.write_1h else "5m"
            session.warm_until = ended_at + LIFETIMES["1h" if session.ttl == "1h" else "5m"]

    def session(self, name: str) -> SessionSums | None:
        """
        A session by the ID that its client gives it; None if it is not kept.
        """
        keys = (name, *(named_session_key(product, "", name) for product in sorted(self._products)))
        return next((self.sessions[key] for key in keys if key in self.sessions), None)

    def to_json(self, now: datetime) -> dict[str, Any]:
        """
        All sums for machines: units in the keys, times in UTC, the newest session first, the newest hour last.
        """
        return {
            **self._head_json(now),
            "total": self.total.to_json(),
            "counts": self.summary.to_json(),
            "dearest_misses": [miss.to_json() for miss in self.dearest.of_week(now)],
            "hours": [{"hour": hour.isoformat(), **totals.to_json()} for hour, totals in sorted(self.hours.items())],
            "models": [{"model": model or None, **totals.to_json()} for model, totals in reversed(self.models.items())],
            "sessions": [session.to_json() for session in reversed(self.sessions.values())],
        }

    def session_json(self, name: str, now: datetime) -> dict[str, Any]:
        """
        One session for machines, in the same form. The list of sessions is empty if it is not kept.
        """
        session = self.session(name)
        return {**self._head_json(now), "sessions": [] if session is None else [session.to_json()]}

    def _head_json(self, now: datetime) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "at": now.isoformat(timespec="milliseconds"),
            "since": self.since.isoformat(timespec="milliseconds"),
        }


def _held(held: "OrderedDict[Any, Any]", key: object, most: int, make: Any) -> Any:
    """
    The value of a key, which becomes the most recent one. If the key is new, a value is made and the least recent one
    is dropped.
    """
    if key in held:
        held.move_to_end(key)
        return held[key]
    if len(held) >= most:
        held.popitem(last=False)
    value = held[key] = make()
    return value
