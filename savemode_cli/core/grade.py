"""
How far to believe a replay: the model predicts what was recorded, and is told how often it was right.

Rule of this file: the prediction sees the TTL that was written, times and the sizes of prompts, never what was read.

Outcomes, of a request that follows another in its chain; `reach` is what it could have read of that chain's prefix:

    full      at least nine tenths of the reach were read
    cold      at most the head was read, which other sessions share and may keep warm: no more than the chain's first prompt
    partial   what lies between

Predicted is `full` where the pause is within the TTL and the prompt was not cut below nine tenths of the prefix, else
`cold`. A chain's first request has no prefix of its own: what it reads is up to other sessions, which no single record
holds. It is counted apart and not graded.

Tokens and dollars. The rule alone knows nothing of changed content: some prompts within the TTL are written anew all the
same, because the client changed something near their beginning. How much of what should be read is lost that way is a
rate, taken for each session from all *other* sessions, and the prediction that is compared with the bill includes it.
Both are shown, alone and with the rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import Literal

from savemode_cli.core.pricing import InputRates
from savemode_cli.core.session_cache import Seen

Outcome = Literal["full", "partial", "cold"]

LONG_GAP = timedelta(minutes=4)
"""From here on a TTL begins to matter; shorter pauses are easy to get right."""

LEAST_RIGHT = Fraction(95, 100)
MOST_OFF = Fraction(5, 100)
LEAST_REQUESTS = 20

_HEAD_SHARE = 2
"""A cut conversation reads its head. Recorded heads were 30 to 75 % of first prompts: half of it is assumed."""

_USUAL_RATE = Fraction(6, 1000)
"""Of the reach, lost to changed content; where there is no other session to learn it from. From the public sets."""


def outcome(one: Seen) -> Outcome:
    """
    What became of a request that follows another.
    """
    if one.reads_all:
        return "full"
    return "cold" if one.request.usage.cache_read_tokens <= one.first_tokens else "partial"


def predicted(one: Seen) -> Outcome:
    """
    What the model says about it.
    """
    return "full" if one.survives(one.left_ttl) and not one.shrunk else "cold"


@dataclass(slots=True)
class Kinds:
    """
    Tokens of prompts by how they are billed.
    """

    input_tokens: int = 0
    write_5m_tokens: int = 0
    write_1h_tokens: int = 0
    read_tokens: int = 0

    def add(self, other: "Kinds") -> None:
        """
        Take another's counts in.
        """
        self.input_tokens += other.input_tokens
        self.write_5m_tokens += other.write_5m_tokens
        self.write_1h_tokens += other.write_1h_tokens
        self.read_tokens += other.read_tokens


@dataclass(slots=True)
class Tally:
    """
    What one session contributes to the grade. Amounts are atto-dollars, of requests at known prices only.

    `reach_*` is what should have been read where `full` was predicted, `reach_ausd` what it would cost to write it all
    anew, `lost_*` what was not read of it. `pauses` counts pauses over 4 minutes that the cache survived, `pauses_lost`
    those after which the prefix had changed.
    """

    outcomes: dict[tuple[Outcome, Outcome], int] = field(default_factory=dict)
    long_outcomes: dict[tuple[Outcome, Outcome], int] = field(default_factory=dict)
    firsts: int = 0
    recorded: Kinds = field(default_factory=Kinds)
    alone: Kinds = field(default_factory=Kinds)
    billed_ausd: int = 0
    alone_ausd: int = 0
    reach_5m_tokens: int = 0
    reach_1h_tokens: int = 0
    reach_ausd: int = 0
    lost_requests: int = 0
    lost_tokens: int = 0
    lost_ausd: int = 0
    pauses: int = 0
    pauses_lost: int = 0

    def add(self, one: Seen, rates: InputRates | None) -> None:
        """
        Grade one request; without rates it is in no dollars.
        """
        usage = one.request.usage
        counts = usage.input_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.cache_read_tokens
        self.recorded.add(Kinds(*counts))
        guess = counts if one.idle is None else self._judge(one, rates)
        self.alone.add(Kinds(*guess))
        if rates is not None:
            self.billed_ausd += rates.cost_ausd(*counts)
            self.alone_ausd += rates.cost_ausd(*guess)
        if one.idle is None:
            self.firsts += 1

    def _judge(self, one: Seen, rates: InputRates | None) -> tuple[int, int, int, int]:
        """
        Count the outcome; the prediction as input, 5m writes, 1h writes and reads.
        """
        pair = (predicted(one), outcome(one))
        self.outcomes[pair] = self.outcomes.get(pair, 0) + 1
        survived = one.survives(one.left_ttl)
        if one.idle is not None and one.idle > LONG_GAP:
            self.long_outcomes[pair] = self.long_outcomes.get(pair, 0) + 1
            if survived and not one.shrunk:
                self.pauses += 1
                self.pauses_lost += pair[1] != "full"
        usage = one.request.usage
        cached = usage.prompt_tokens - usage.input_tokens
        if pair[0] == "full":
            read = one.reach_tokens
            self._expect(one, rates)
        else:
            read = min(one.first_tokens // _HEAD_SHARE, cached) if survived else 0
        written = cached - read
        return usage.input_tokens, *((written, 0) if one.ttl == "5m" else (0, written)), read

    def _expect(self, one: Seen, rates: InputRates | None) -> None:
        reach = one.reach_tokens
        lost = max(reach - one.request.usage.cache_read_tokens, 0)
        if one.ttl == "5m":
            self.reach_5m_tokens += reach
        else:
            self.reach_1h_tokens += reach
        self.lost_tokens += lost
        self.lost_requests += not one.reads_all
        if rates is not None:
            dearer = rates.cache_write_5m_ausd if one.ttl == "5m" else rates.cache_write_1h_ausd
            self.reach_ausd += reach * (dearer - rates.cache_read_ausd)
            self.lost_ausd += lost * (dearer - rates.cache_read_ausd)

    @property
    def reach_tokens(self) -> int:
        """
        All that should have been read.
        """
        return self.reach_5m_tokens + self.reach_1h_tokens


@dataclass(frozen=True, slots=True)
class Grade:
    """
    The mark. `alone_ausd` is the rule's prediction, `predicted_ausd` the same with the rate of changed content.
    """

    requests: int
    right: int
    long_requests: int
    long_right: int
    firsts: int
    outcomes: dict[tuple[Outcome, Outcome], int]
    recorded: Kinds
    predicted: Kinds
    billed_ausd: int
    alone_ausd: int
    predicted_ausd: int
    lost_requests: int
    lost_tokens: int
    lost_ausd: int
    pauses: int
    pauses_lost: int

    @property
    def right_share(self) -> Fraction | None:
        """
        Of all graded requests; None without any.
        """
        return Fraction(self.right, self.requests) if self.requests else None

    @property
    def long_right_share(self) -> Fraction | None:
        """
        Of those after a pause of more than 4 minutes.
        """
        return Fraction(self.long_right, self.long_requests) if self.long_requests else None

    @property
    def dollar_error(self) -> Fraction | None:
        """
        Predicted less billed, as a share of what was billed; None where nothing was.
        """
        return Fraction(self.predicted_ausd - self.billed_ausd, self.billed_ausd) if self.billed_ausd else None

    @property
    def alone_error(self) -> Fraction | None:
        """
        The same of the rule alone.
        """
        return Fraction(self.alone_ausd - self.billed_ausd, self.billed_ausd) if self.billed_ausd else None

    @property
    def problem(self) -> str:
        """
        Why no savings may be quoted, or "".
        """
        right, off = self.right_share, self.dollar_error
        if right is None or self.requests < LEAST_REQUESTS:
            return f"only {self.requests} requests follow another; {LEAST_REQUESTS} are needed to grade the model"
        if right < LEAST_RIGHT:
            return f"the model got {_percent(right)} of the outcomes right, under {_percent(LEAST_RIGHT)}"
        if off is None:
            return "no request has a known price"
        if abs(off) > MOST_OFF:
            return f"the model's dollars are {_percent(abs(off))} off the bill, more than {_percent(MOST_OFF)}"
        return ""


def _percent(share: Fraction) -> str:
    return f"{float(share) * 100:.3g} %"


def grade(tallies: Sequence[Tally]) -> Grade:
    """
    The mark of all sessions together, each predicted with the rate of changed content of the others.
    """
    lost = sum(one.lost_tokens for one in tallies)
    reach = sum(one.reach_tokens for one in tallies)
    recorded, guess = Kinds(), Kinds()
    outcomes: dict[tuple[Outcome, Outcome], int] = {}
    long_outcomes: dict[tuple[Outcome, Outcome], int] = {}
    predicted_ausd = 0
    for one in tallies:
        others = reach - one.reach_tokens
        rate = Fraction(lost - one.lost_tokens, others) if others else _USUAL_RATE
        recorded.add(one.recorded)
        guess.add(one.alone)
        moved = Kinds(
            write_5m_tokens=_part(rate, one.reach_5m_tokens), write_1h_tokens=_part(rate, one.reach_1h_tokens)
        )
        moved.read_tokens = -moved.write_5m_tokens - moved.write_1h_tokens
        guess.add(moved)
        predicted_ausd += one.alone_ausd + _part(rate, one.reach_ausd)
        for total, part in ((outcomes, one.outcomes), (long_outcomes, one.long_outcomes)):
            for pair, count in part.items():
                total[pair] = total.get(pair, 0) + count
    return Grade(
        requests=sum(outcomes.values()),
        right=sum(count for (said, was), count in outcomes.items() if said == was),
        long_requests=sum(long_outcomes.values()),
        long_right=sum(count for (said, was), count in long_outcomes.items() if said == was),
        firsts=sum(one.firsts for one in tallies),
        outcomes=outcomes,
        recorded=recorded,
        predicted=guess,
        billed_ausd=sum(one.billed_ausd for one in tallies),
        alone_ausd=sum(one.alone_ausd for one in tallies),
        predicted_ausd=predicted_ausd,
        lost_requests=sum(one.lost_requests for one in tallies),
        lost_tokens=lost,
        lost_ausd=sum(one.lost_ausd for one in tallies),
        pauses=sum(one.pauses for one in tallies),
        pauses_lost=sum(one.pauses_lost for one in tallies),
    )


def _part(rate: Fraction, amount: int) -> int:
    return amount * rate.numerator // rate.denominator
