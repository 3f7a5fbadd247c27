"""
Divides a lane into segments: what each TTL would have cost between two moments at which it may be chosen again.

Rule of this file: a TTL is chosen when nothing of the lane is cached any more, because only then a change costs nothing
extra. A 5-minute cache has expired after a pause of more than five minutes, and a 1-hour cache after more than an hour.
So a lane is divided at every pause of more than five minutes, and each segment is priced for both TTLs, and for 5 minutes
with keep-warm requests. After a pause of up to an hour it is also priced for a 1-hour cache that was kept since the
previous segment, and for one that was kept warm.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Literal

from savemode_cli.core.money.pricing import InputRates, nusd_of
from savemode_cli.core.replay.inference import LaneRequest
from savemode_cli.core.replay.policies import Counterfactual, Counterfactuals, kept_warm_tokens
from savemode_cli.core.replay.prompt_tokens import PromptTokens
from savemode_cli.core.replay.recording import Recorded
from savemode_cli.core.upgrade.policy import PING_AFTER

SegmentStart = Literal["cold", "pause"]
"""
How a segment begins. `cold`: nothing is cached under either TTL. `pause`: a 1-hour cache has survived, and a 5-minute
cache has not.
"""


@dataclass(slots=True)
class PolicySum:
    """
    What some requests use and cost under one policy.
    """

    tokens: PromptTokens = field(default_factory=PromptTokens)
    """The tokens if no rescuable token were read."""
    rescuable_tokens: int = 0
    """1-hour writes in `tokens` that would be reads if no pause had changed a prefix."""
    rescuable_5m_tokens: int = 0
    """The same of 5-minute writes."""
    kept_warm_tokens: int = 0
    """What keep-warm requests read; not part of `tokens`."""
    ausd: int = 0
    """What `tokens` and the additionally billed tokens cost, in atto-dollars."""
    rescuable_ausd: int = 0
    """How much less it would cost if all rescuable tokens were read."""

    def add(self, other: "PolicySum") -> None:
        """
        Add the amounts of another.
        """
        self.tokens.add(other.tokens)
        self.rescuable_tokens += other.rescuable_tokens
        self.rescuable_5m_tokens += other.rescuable_5m_tokens
        self.kept_warm_tokens += other.kept_warm_tokens
        self.ausd += other.ausd
        self.rescuable_ausd += other.rescuable_ausd

    def subtract(self, other: "PolicySum") -> None:
        """
        Take away the amounts of another.
        """
        ours, theirs = self.tokens, other.tokens
        ours.input_tokens -= theirs.input_tokens
        ours.write_5m_tokens -= theirs.write_5m_tokens
        ours.write_1h_tokens -= theirs.write_1h_tokens
        ours.read_tokens -= theirs.read_tokens
        self.rescuable_tokens -= other.rescuable_tokens
        self.rescuable_5m_tokens -= other.rescuable_5m_tokens
        self.kept_warm_tokens -= other.kept_warm_tokens
        self.ausd -= other.ausd
        self.rescuable_ausd -= other.rescuable_ausd

    def expected_nusd(self, changed: Fraction) -> int:
        """
        The expected cost in nano-dollars.

        Args:
            changed: the share of pauses after which the prefix has changed.
        """
        kept = changed.denominator - changed.numerator
        return nusd_of(self.ausd - self.rescuable_ausd * kept // changed.denominator)

    def expected_tokens(self, changed: Fraction) -> PromptTokens:
        """
        The expected tokens.

        Args:
            changed: the share of pauses after which the prefix has changed.
        """
        hour, five = (
            tokens - tokens * changed.numerator // changed.denominator
            for tokens in (self.rescuable_tokens, self.rescuable_5m_tokens)
        )
        tokens = PromptTokens(0, -five, -hour, hour + five)
        tokens.add(self.tokens)
        return tokens

    def count(self, plain: int, result: Counterfactual, rates: InputRates | None, beside_ausd: int) -> None:
        """
        Add one request.

        Args:
            plain: its uncached input tokens.
            result: what it would have used.
            rates: what its tokens cost; None if its model has no price.
            beside_ausd: what was billed beside the answer, in atto-dollars.
        """
        write_5m, write_1h, read = result.used
        tokens = self.tokens
        tokens.input_tokens += plain
        tokens.write_5m_tokens += write_5m
        tokens.write_1h_tokens += write_1h
        tokens.read_tokens += read
        if rates is not None:
            self.ausd += (
                plain * rates.input
                + write_5m * rates.write_5m
                + write_1h * rates.write_1h
                + read * rates.read
                + beside_ausd
            )
        if result.kept_warm_tokens:
            self.kept_warm_tokens += result.kept_warm_tokens
            self.ausd += 0 if rates is None else result.kept_warm_tokens * rates.read
        if result.rescuable_tokens:
            self._count_rescuable(result, rates)

    def _count_rescuable(self, result: Counterfactual, rates: InputRates | None) -> None:
        is_hour = result.rescuable_ttl == "1h"
        self.rescuable_tokens += result.rescuable_tokens if is_hour else 0
        self.rescuable_5m_tokens += 0 if is_hour else result.rescuable_tokens
        if rates is not None:
            written = rates.write_1h if is_hour else rates.write_5m
            self.rescuable_ausd += result.rescuable_tokens * (written - rates.read)


@dataclass(slots=True)
class Segment:
    """
    The requests of one lane between two pauses of more than five minutes.
    """

    start: SegmentStart
    is_agent: bool
    """Whether a sub-agent sent them."""
    started_at: datetime
    ended_at: datetime
    """The end of the last answer."""
    requests: int = 0
    short_pauses: int = 0
    """How many pauses in it were long enough for a keep-warm request."""
    five: PolicySum = field(default_factory=PolicySum)
    """With a 5-minute cache."""
    hour_kept: PolicySum = field(default_factory=PolicySum)
    """With a 1-hour cache that was kept since the previous segment; the same as `hour` after a cold start."""
    warm_kept: PolicySum = field(default_factory=PolicySum)
    """
    With a 5-minute cache that keep-warm requests renew, and have renewed since the previous segment; the same as `warm` after
    a cold start. It is empty for sub-agents, for which none are sent.
    """
    _hour_start: PolicySum = field(default_factory=PolicySum)
    """What the first request uses with `hour`, minus what it uses with `hour_kept`."""
    _warm_start: PolicySum = field(default_factory=PolicySum)

    @property
    def hour(self) -> PolicySum:
        """
        With a 1-hour cache that was chosen at the start of this segment.
        """
        return total_of((self.hour_kept, self._hour_start))

    @property
    def warm(self) -> PolicySum:
        """
        With a 5-minute cache that keep-warm requests renew from the start of this segment on.
        """
        return total_of((self.warm_kept, self._warm_start)) if not self.is_agent else self.five

    def count(
        self,
        request: Recorded,
        pause: SegmentStart | None,
        results: Counterfactuals,
        rates: InputRates | None,
        beside_ausd: int,
    ) -> None:
        """
        Add one request. For the arguments see `Segments.count`.
        """
        self.short_pauses += bool(self.requests) and request.started_at - self.ended_at >= PING_AFTER
        self.ended_at = max(self.ended_at, request.ended_at)
        self.requests += 1
        plain, five, hour = request.usage.tokens.input, results["5m"], results["1h"]
        write_5m, _, read = five.used
        self.five.count(plain, five, rates, beside_ausd)
        self.hour_kept.count(plain, hour, rates, beside_ausd)
        if pause == "pause":
            self._hour_start.count(plain, Counterfactual((0, write_5m, read)), rates, beside_ausd)
            self._hour_start.subtract(_single(plain, hour, rates, beside_ausd))
        if self.is_agent:
            return
        warm = results["keep-warm"]
        self.warm_kept.count(plain, warm, rates, beside_ausd)
        if pause == "pause":
            fresh = five._replace(kept_warm_tokens=kept_warm_tokens(request.usage.cached_tokens, 0, None))
            self._warm_start.count(plain, fresh, rates, beside_ausd)
            self._warm_start.subtract(_single(plain, warm, rates, beside_ausd))


def _single(plain: int, result: Counterfactual, rates: InputRates | None, beside_ausd: int) -> PolicySum:
    total = PolicySum()
    total.count(plain, result, rates, beside_ausd)
    return total


def total_of(parts: Iterable[PolicySum]) -> PolicySum:
    """
    The sum of several.
    """
    total = PolicySum()
    for part in parts:
        total.add(part)
    return total


def segment_start(item: LaneRequest) -> SegmentStart | None:
    """
    How a segment begins with a request; None if the request belongs to the current segment.
    """
    if item.survives("5m"):
        return None
    return "pause" if item.survives("1h") else "cold"


def new_segment(request: Recorded, start: SegmentStart) -> Segment:
    """
    A segment that begins with this request, which is not counted yet.
    """
    return Segment(start, bool(request.agent), request.started_at, request.ended_at)


@dataclass(slots=True)
class Segments:
    """
    The segments of one session by lane, while its requests are counted in order.
    """

    lanes: dict[str, list[Segment]] = field(default_factory=dict)

    def count(
        self,
        lane: str,
        request: Recorded,
        pause: SegmentStart | None,
        results: Counterfactuals,
        rates: InputRates | None,
        beside_ausd: int,
    ) -> None:
        """
        Add one request.

        Args:
            lane: its lane.
            request: the request.
            pause: how a segment begins with it; None if it belongs to the last one.
            results: what it would have used under each policy.
            rates: what its tokens cost; None if its model has no price.
            beside_ausd: what was billed beside the answer, in atto-dollars.
        """
        segments = self.lanes.setdefault(lane, [])
        if pause is not None or not segments:
            segments.append(new_segment(request, pause if pause is not None and segments else "cold"))
        segments[-1].count(request, pause, results, rates, beside_ausd)
