"""
What many requests missed: the most expensive misses, and the sums for each cause.

Rule of this file: it adds and sorts. The sum over all causes is the sum of what was missed.
"""

from dataclasses import dataclass, field
from datetime import datetime

from savemode_cli.core.diagnosis.agreement import agrees
from savemode_cli.core.diagnosis.causes import Cause, Miss, Verdict
from savemode_cli.core.wire.diagnostics import CacheDiagnosis


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """
    A request and its verdict.
    """

    place: str
    """Where it is recorded: a line of a file, a number in a store, or the ID of a request."""
    session: str
    """The name of its session, including sub-agents."""
    model: str
    started_at: datetime
    verdict: Verdict
    cost_nusd: int
    """What the whole request cost."""
    session_key: str = ""
    """The key under which the proxy shows its session. Each sub-agent has a key of its own."""
    is_inferred: bool = False
    """Whether only its usage and its time are known, not its body."""
    diagnosis: CacheDiagnosis | None = None
    """What the API says of it; None if it was not asked."""

    @property
    def agreed(self) -> bool | None:
        """
        Whether the API names the same cause; None if it was not asked, or nobody can say.
        """
        return None if self.diagnosis is None else agrees(self.verdict, self.diagnosis)


@dataclass(slots=True)
class Sum:
    """
    The sums of one cause.
    """

    requests: int = 0
    tokens: int = 0
    cost_nusd: int = 0

    def add(self, miss: Miss) -> None:
        """
        Add a miss.
        """
        self.requests += 1
        self.tokens += miss.tokens
        self.cost_nusd += miss.cost_nusd


@dataclass(slots=True)
class Report:
    """
    All requests that were judged.
    """

    requests: int = 0
    inferred: int = 0
    """How many of them were judged without a body."""
    cost_nusd: int = 0
    """What all of them cost."""
    expected_tokens: int = 0
    read_tokens: int = 0
    unexplained_tokens: int = 0
    """Missed tokens that were too few to count as a miss."""
    diagnosed: int = 0
    """How many of them the API has compared with the one before."""
    agreed: int = 0
    """Of how many of those it names the same cause as we do."""
    disputed: list[Diagnosed] = field(default_factory=list)
    """Those of which it names another one."""
    missed: list[Diagnosed] = field(default_factory=list)
    """The requests that missed something."""
    causes: dict[Cause, Sum] = field(default_factory=dict)

    def add(self, request: Diagnosed) -> None:
        """
        Add a request.
        """
        verdict = request.verdict
        self.requests += 1
        self.inferred += request.is_inferred
        self.cost_nusd += request.cost_nusd
        self.expected_tokens += verdict.expected_tokens
        self.read_tokens += verdict.read_tokens
        self.unexplained_tokens += verdict.unexplained_tokens
        if verdict.misses:
            self.missed.append(request)
        if request.agreed is not None:
            self.diagnosed += 1
            self.agreed += request.agreed
            self.disputed += [] if request.agreed else [request]
        for miss in verdict.misses:
            self.causes.setdefault(miss.cause, Sum()).add(miss)

    @property
    def missed_tokens(self) -> int:
        """
        All tokens that were expected and not read.
        """
        return self.expected_tokens - self.read_tokens

    @property
    def missed_nusd(self) -> int:
        """
        How much more the misses cost than reading their tokens from the cache.
        """
        return sum(cause.cost_nusd for cause in self.causes.values())

    def dearest(self, most: int | None = None) -> list[Diagnosed]:
        """
        The requests that missed something, the most expensive first.

        Args:
            most: how many at most; None for all.
        """
        ordered = sorted(self.missed, key=lambda request: (-request.verdict.cost_nusd, request.started_at))
        return ordered[:most]

    def by_cause(self) -> list[tuple[Cause, Sum]]:
        """
        The sums by cause, the most expensive first.
        """
        return sorted(self.causes.items(), key=lambda row: (-row[1].cost_nusd, -row[1].tokens, row[0]))
