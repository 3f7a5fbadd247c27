"""
Sums of billed requests: in total, and by day, project, model, session or agent.

Rule of this file: it adds integers. Prices, receipts and the causes of cache misses are computed elsewhere. Every
report, page and status line takes its sums from here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, get_args

from msgspec import Struct

from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.wire.usage import NO_TOKENS, Tokens, Usage

By = Literal["day", "week", "month", "project", "model", "session", "agent"]
DIMENSIONS: tuple[By, ...] = get_args(By)
"""What requests can be grouped by."""

PERIODS: tuple[By, ...] = ("day", "week", "month")
"""The dimensions that are periods. Their groups are listed by time, those of other dimensions by cost."""


class MissedRead(Struct, frozen=True, gc=False):
    """
    Tokens of a prompt that were cached before and were not read from the cache.
    """

    cause: str
    """The cause, as the diagnosis names it: `expired`, `compacted`, `unknown` and so on."""
    tokens: int
    nusd: int
    """How much more it cost to write them than to read them, in nano-dollars."""


class BilledRequest(Struct, frozen=True, gc=False, kw_only=True):
    """
    One request that was billed. What its record does not tell is None.
    """

    at: datetime
    """When it was sent, in UTC. For a charge in a ledger, when it was settled."""
    cost_nusd: int
    """In nano-dollars. For a model without a price, at the highest known price."""
    requests: int = 1
    """0 for a cost that the client counted and for which no answer is recorded."""
    model: str | None = None
    project: str | None = None
    session: str | None = None
    agent: str | None = None
    """The ID of the sub-agent; "" for the main conversation."""
    tokens: Tokens = NO_TOKENS
    """The counters that the API reports for the answer."""
    beside: Tokens = NO_TOKENS
    """What was billed in addition: compactions, advisors, attempts of other models."""
    web_searches: int = 0
    is_priced: bool = True
    """Whether every model that was billed has a price."""
    is_partial: bool = False
    """Whether the answer was recorded before it was complete, so that its count of output tokens is too low."""
    missed: tuple[MissedRead, ...] = ()
    """One for each cause, the largest first."""
    difference_nusd: int | None = None
    """
    How much more it cost because of upgrades of cache TTLs, in nano-dollars; negative if less. None without a receipt.
    """

    @property
    def missed_nusd(self) -> int:
        """
        The cost of all missed reads, in nano-dollars.
        """
        return sum(read.nusd for read in self.missed) if self.missed else 0

    @property
    def missed_tokens(self) -> int:
        """
        The tokens of all missed reads.
        """
        return sum(read.tokens for read in self.missed)


def beside(usage: Usage) -> Tokens:
    """
    The tokens that were billed in addition to the totals of an answer.
    """
    return sum((extra.usage.tokens for extra in usage.extra), NO_TOKENS) if usage.extra else NO_TOKENS


@dataclass(slots=True)
class Missed:
    """
    The missed reads of one cause.
    """

    requests: int = 0
    tokens: int = 0
    nusd: int = 0


@dataclass(slots=True)
class Totals:
    """
    The sums over some requests. Amounts are nano-dollars.
    """

    requests: int = 0
    tokens: Tokens = NO_TOKENS
    beside: Tokens = NO_TOKENS
    web_searches: int = 0
    cost_nusd: int = 0
    unlisted_nusd: int = 0
    """The part of the cost for which no answer is recorded."""
    unpriced_requests: int = 0
    partial_requests: int = 0
    difference_nusd: int = 0
    receipts: int = 0
    """How many requests have a receipt. Only these are part of the difference."""
    missed: dict[str, Missed] = field(default_factory=dict)
    """The missed reads by cause."""
    first_at: datetime | None = None
    last_at: datetime | None = None

    def add(self, request: BilledRequest) -> None:
        """
        Count one request.
        """
        self.requests += request.requests
        self.tokens += request.tokens
        if request.beside is not NO_TOKENS:
            self.beside += request.beside
        self.web_searches += request.web_searches
        self.cost_nusd += request.cost_nusd
        self.unlisted_nusd += 0 if request.requests else request.cost_nusd
        self.unpriced_requests += not request.is_priced
        self.partial_requests += request.is_partial
        if request.difference_nusd is not None:
            self.difference_nusd += request.difference_nusd
            self.receipts += 1
        for read in request.missed:
            missed = self.missed.setdefault(read.cause, Missed())
            missed.requests += 1
            missed.tokens += read.tokens
            missed.nusd += read.nusd
        at = request.at
        if self.last_at is None or at > self.last_at:
            self.last_at = at
        if self.first_at is None or at < self.first_at:
            self.first_at = at

    @property
    def missed_nusd(self) -> int:
        """
        The cost of all missed reads, in nano-dollars.
        """
        return sum(missed.nusd for missed in self.missed.values())

    @property
    def read_permille(self) -> int | None:
        """
        The share of all prompt tokens that was read from the cache, in thousandths; None if there are no prompt tokens.
        """
        return self.tokens.read * 1000 // self.tokens.prompt if self.tokens.prompt else None

    def to_json(self) -> dict[str, Any]:
        """
        The sums for machines, with units in the keys.
        """
        return {
            "requests": self.requests,
            **tokens_json(self.tokens),
            "beside": tokens_json(self.beside),
            "web_searches": self.web_searches,
            **amounts(cost=self.cost_nusd, unlisted=self.unlisted_nusd, missed=self.missed_nusd),
            "missed": {
                cause: {"requests": missed.requests, "tokens": missed.tokens, **amounts(cost=missed.nusd)}
                for cause, missed in sorted(self.missed.items())
            },
            "receipts": self.receipts,
            **amounts(difference=self.difference_nusd),
            "unpriced_requests": self.unpriced_requests,
            "partial_requests": self.partial_requests,
            "first_at": None if self.first_at is None else self.first_at.isoformat(),
            "last_at": None if self.last_at is None else self.last_at.isoformat(),
        }


def tokens_json(tokens: Tokens) -> dict[str, int]:
    """
    The counters for machines, with the names that all output of savemode uses.
    """
    return {
        "input_tokens": tokens.input,
        "cache_write_5m_tokens": tokens.write_5m,
        "cache_write_1h_tokens": tokens.write_1h,
        "cache_read_tokens": tokens.read,
        "output_tokens": tokens.output,
    }


class Breakdown:
    """
    Sums of requests: in total, and for each group of some dimensions.
    """

    def __init__(self, dimensions: Iterable[By], zone: tzinfo | None = UTC) -> None:
        """
        Create empty sums.

        Args:
            dimensions: what to group by.
            zone: the time zone in which days, weeks and months begin; None for that of the system.
        """
        self.total = Totals()
        self.groups: dict[By, dict[str | None, Totals]] = {dimension: {} for dimension in dimensions}
        """The sums by dimension and key. The key None has the requests whose record does not tell it."""
        self.projects: dict[str, str] = {}
        """The project of each session."""
        self.unpriced_models: set[str] = set()
        self.dearest_miss: BilledRequest | None = None
        """The request whose missed reads cost most."""
        self._keys = [(self.groups[dimension], _key(dimension, zone)) for dimension in self.groups]

    def add(self, request: BilledRequest) -> None:
        """
        Count one request.
        """
        self.total.add(request)
        for groups, key_of in self._keys:
            key = key_of(request)
            totals = groups.get(key)
            if totals is None:
                totals = groups[key] = Totals()
            totals.add(request)
        if request.session is not None and request.project is not None:
            self.projects.setdefault(request.session, request.project)
        if not request.is_priced and request.model is not None:
            self.unpriced_models.add(request.model)
        if _missed_nusd(request) > _missed_nusd(self.dearest_miss):
            self.dearest_miss = request

    def sorted(self, dimension: By) -> list[tuple[str | None, Totals]]:
        """
        The groups of a dimension: periods by time, others by cost, the highest first.
        """
        groups = self.groups[dimension].items()
        if dimension in PERIODS:
            return sorted(groups, key=lambda group: group[0] or "")
        return sorted(groups, key=lambda group: (-group[1].cost_nusd, group[0] or ""))


def _missed_nusd(request: BilledRequest | None) -> int:
    return 0 if request is None else request.missed_nusd


def period_of(at: datetime, dimension: By, zone: tzinfo | None) -> str:
    """
    The period of a time: a day, the Monday of a week (`2026-11-23`), or a month (`2026-11`).
    """
    day = at.astimezone(zone).date()
    if dimension == "month":
        return f"{day:%Y-%m}"
    return (day - timedelta(days=day.weekday()) if dimension == "week" else day).isoformat()


def _key(dimension: By, zone: tzinfo | None) -> Callable[[BilledRequest], str | None]:
    if dimension in PERIODS:
        return lambda request: period_of(request.at, dimension, zone)
    return _KEYS[dimension]


_KEYS: Mapping[By, Callable[[BilledRequest], str | None]] = {
    "project": lambda request: request.project,
    "model": lambda request: request.model,
    "session": lambda request: request.session,
    "agent": lambda request: request.agent,
}
