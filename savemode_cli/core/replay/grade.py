"""
How reliable a replay is: the model predicts what was recorded, and the prediction is compared with the record.

Rule of this file: a prediction may use TTLs, times, lengths of prompts, and what earlier requests read. It may not use what
the request itself read.

Outcomes of a request that follows another in its lane; `reach` is what it could have read of that lane's prefix:

    full      at least nine tenths of the reach were read
    cold      at most the head was read: no more than the lane's first prompt
    partial   anything between

The prediction is `full` if the pause is within the TTL, the prompt was not cut below nine tenths of the prefix, and the
client has probably not changed it (see `changes`). Otherwise it is `cold`. The first request of a lane has no prefix of
its own, and what it reads depends on other sessions. It is counted separately.

Tokens and dollars. The TTL alone does not predict changed content: some prompts within their TTL are written again, because
the client changed something near their beginning. No TTL avoids that. Such losses are random events, so they are priced at a
rate, with an interval (see `losses`). A model is rejected if the bill is far outside the interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from math import sqrt
from typing import TypeVar

from savemode_cli.core.money.pricing import InputRates
from savemode_cli.core.replay.changes import Changes, ChangeTally, seen
from savemode_cli.core.replay.inference import LaneRequest, Outcome
from savemode_cli.core.replay.losses import Loss, Losses, expected_loss, summed_losses, turn_of
from savemode_cli.core.replay.prompt_tokens import PromptTokens, cost_ausd

Pair = tuple[Outcome, Outcome]
"""The predicted and the recorded outcome."""

LONG_GAP = timedelta(minutes=4)
"""From this pause on the TTL begins to matter. Outcomes after shorter pauses are easy to predict."""

LEAST_RIGHT = Fraction(95, 100)
MOST_OFF = Fraction(5, 100)
LEAST_REQUESTS = 20

_HEAD_SHARE = 2
"""
A cut conversation reads its head. Recorded heads were 30 to 75 % of first prompts, so half is assumed until one was
observed.
"""


def outcome_of(item: LaneRequest) -> Outcome:
    """
    The outcome of a request that follows another one.
    """
    if item.reads_all:
        return "full"
    return "cold" if item.read_tokens <= item.first_tokens else "partial"


def predicted(item: LaneRequest) -> Outcome:
    """
    The outcome that times and lengths predict for it, if the client has not changed its prompt.
    """
    return "full" if item.survives(item.left_ttl) and not item.shrunk else "cold"


@dataclass(slots=True)
class Tally:
    """
    What one session contributes to the grade. Amounts are atto-dollars, and include only requests at known prices.
    """

    outcomes: dict[Pair, int] = field(default_factory=dict)
    """How many requests had each pair of outcomes. Only requests that follow another one count."""
    long_outcomes: dict[Pair, int] = field(default_factory=dict)
    """The same after pauses of more than 4 minutes."""
    changes: Changes = field(default_factory=dict)
    """
    The requests that should have read their whole prefix, unless their client has changed it. They are not in the
    outcomes above, because other sessions decide what is predicted for them.
    """
    firsts: int = 0
    """How many requests were the first of their lane."""
    recorded: PromptTokens = field(default_factory=PromptTokens)
    alone: PromptTokens = field(default_factory=PromptTokens)
    """The prediction without changed content."""
    billed_ausd: int = 0
    alone_ausd: int = 0
    losses: Losses = field(default_factory=dict)
    """What should have been read if `full` was predicted, and what of it was lost because content changed."""
    pauses: int = 0
    """How many pauses of more than 4 minutes before a message of a person the cache survived."""
    pauses_lost: int = 0
    """After how many of these pauses the prefix had changed."""
    rescuable: int = 0
    """How many pauses of 5 to 60 minutes before a message of a person only a longer TTL would have survived."""

    def book(
        self,
        recorded: PromptTokens,
        alone: PromptTokens,
        rates: InputRates | None,
        pair: Pair | None,
        *,
        after_long_pause: bool = False,
        change: ChangeTally | None = None,
    ) -> None:
        """
        Count one request.

        Args:
            recorded: its tokens as they were billed.
            alone: its tokens as they were predicted without changed content.
            rates: what they cost; None if the model has no price.
            pair: its outcomes; None if it is the first of its lane.
            after_long_pause: whether a pause of more than 4 minutes precedes it.
            change: the requests to which it belongs, if its client may have changed the prompt.
        """
        self.recorded.add(recorded)
        self.alone.add(alone)
        if rates is not None:
            billed_ausd = cost_ausd(rates, recorded)
            self.billed_ausd += billed_ausd
            self.alone_ausd += billed_ausd if alone is recorded else cost_ausd(rates, alone)
        if pair is None:
            self.firsts += 1
            return
        if change is not None:
            _count(change.outcomes, pair[1])
            if after_long_pause:
                _count(change.long_outcomes, pair[1])
            return
        _count(self.outcomes, pair)
        if after_long_pause:
            _count(self.long_outcomes, pair)

    def add(self, item: LaneRequest, rates: InputRates | None) -> None:
        """
        Predict one request of a transcript, compare the prediction with the record, and count both.
        """
        usage = item.request.usage
        recorded = PromptTokens(usage.tokens.input, usage.tokens.write_5m, usage.tokens.write_1h, usage.tokens.read)
        if item.idle is None:
            self.book(recorded, recorded, rates, None)
            return
        pair = (predicted(item), outcome_of(item))
        is_long = item.idle > LONG_GAP
        change = None
        if pair[0] == "full" and item.change is not None:
            change = self.changes.setdefault(item.change, ChangeTally())
        self.book(recorded, _alone(item, pair[0]), rates, pair, after_long_pause=is_long, change=change)
        if pair[0] == "full":
            turn = turn_of(item)
            loss = self.losses.get(turn)
            if loss is None:
                loss = self.losses[turn] = Loss()
            _count_loss(loss, item, rates)
            if is_long and item.request.opens_turn:
                self.pauses += 1
                self.pauses_lost += pair[1] != "full"
        elif item.request.opens_turn and item.survives("1h") and not item.survives(item.left_ttl):
            self.rescuable += not item.shrunk and not item.reads_all

    @property
    def graded(self) -> int:
        """
        How many requests follow another one.
        """
        return sum(self.outcomes.values()) + sum(change.requests for change in self.changes.values())


Counted = TypeVar("Counted")


def _count(counts: dict[Counted, int], key: Counted) -> None:
    counts[key] = counts.get(key, 0) + 1


def _alone(item: LaneRequest, outcome: Outcome) -> PromptTokens:
    """
    The tokens that a request with this outcome uses, without changed content.
    """
    usage = item.request.usage
    cached = usage.tokens.prompt - usage.tokens.input
    if outcome == "full":
        own = item.reach_tokens
    elif item.survives(item.left_ttl):
        own = min(item.own_head_tokens or item.head_tokens or item.first_tokens // _HEAD_SHARE, item.cached_tokens)
    else:
        own = min(item.head_tokens, item.cached_tokens)
    read = own + usage.repeated_tokens
    five = cached - read if item.ttl == "5m" else 0
    return PromptTokens(usage.tokens.input, five, cached - read - five, read)


def _count_loss(loss: Loss, item: LaneRequest, rates: InputRates | None) -> None:
    reach = item.reach_tokens
    lost = max(reach - item.read_tokens, 0)
    loss.requests += 1
    if item.ttl == "5m":
        loss.reach_5m_tokens += reach
    else:
        loss.reach_1h_tokens += reach
    loss.lost_tokens += lost
    loss.lost_requests += not item.reads_all
    if rates is not None:
        written_ausd = rates.write_5m if item.ttl == "5m" else rates.write_1h
        dearer_ausd = written_ausd - rates.read
        reach_ausd = reach * dearer_ausd
        loss.reach_ausd += reach_ausd
        loss.reach_squares += float(reach_ausd) ** 2
        loss.lost_ausd += lost * dearer_ausd


@dataclass(frozen=True, slots=True)
class Grade:
    """
    The model's predictions compared with the record. Amounts are atto-dollars.
    """

    requests: int
    """How many requests were graded: those that follow another one in their lane."""
    right: int
    """How many of them had the predicted outcome."""
    long_requests: int
    """How many followed a pause of more than 4 minutes."""
    long_right: int
    firsts: int
    """How many requests were not graded because they are the first of their lane."""
    outcomes: dict[Pair, int]
    recorded: PromptTokens
    predicted: PromptTokens
    """The prediction with the expected losses because of changed content."""
    billed_ausd: int
    alone_ausd: int
    """The prediction without changed content."""
    predicted_ausd: int
    """The prediction with the expected losses."""
    low_ausd: int
    """The cost with few losses: one bill in twenty is lower."""
    high_ausd: int
    """The cost with many losses: one bill in twenty is higher."""
    lost_requests: int
    lost_tokens: int
    lost_ausd: int
    """What was lost because content changed."""
    pauses: int
    pauses_lost: int

    @property
    def right_share(self) -> Fraction | None:
        """
        The share of graded requests with the predicted outcome; None if there are none.
        """
        return Fraction(self.right, self.requests) if self.requests else None

    @property
    def long_right_share(self) -> Fraction | None:
        """
        The same after pauses of more than 4 minutes.
        """
        return Fraction(self.long_right, self.long_requests) if self.long_requests else None

    @property
    def dollar_error(self) -> Fraction | None:
        """
        The predicted amount minus the billed amount, as a share of the billed amount; None if nothing was billed.
        """
        return self._error(self.predicted_ausd)

    @property
    def alone_error(self) -> Fraction | None:
        """
        The same without changed content.
        """
        return self._error(self.alone_ausd)

    @property
    def interval_error(self) -> Fraction | None:
        """
        The same for the end of the interval that is nearest to the bill; 0 if the bill is inside the interval.
        """
        return self._error(min(max(self.billed_ausd, self.low_ausd), self.high_ausd))

    def _error(self, ausd: int) -> Fraction | None:
        return Fraction(ausd - self.billed_ausd, self.billed_ausd) if self.billed_ausd else None

    @property
    def problem(self) -> str:
        """
        Why no other policy may be quoted; "" if they may be quoted.
        """
        right, off = self.right_share, self.interval_error
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


_DEVIATIONS = 1.645
"""Standard deviations to the 5th and the 95th percentile of a normal distribution."""


def grade(tallies: Sequence[Tally]) -> Grade:
    """
    The grade of some sessions together.
    """
    every = summed_losses(tally.losses for tally in tallies)
    expected = expected_loss(every)
    recorded, prediction = PromptTokens(), PromptTokens()
    for tally in tallies:
        recorded.add(tally.recorded)
        prediction.add(tally.alone)
    prediction.add(PromptTokens(0, expected.tokens_5m, expected.tokens_1h, -expected.tokens_5m - expected.tokens_1h))
    alone_ausd = sum(tally.alone_ausd for tally in tallies)
    spread = int(_DEVIATIONS * sqrt(expected.variance))
    outcomes, long_outcomes = _outcomes(tallies)
    return Grade(
        requests=sum(outcomes.values()),
        right=_right(outcomes),
        long_requests=sum(long_outcomes.values()),
        long_right=_right(long_outcomes),
        firsts=sum(tally.firsts for tally in tallies),
        outcomes=outcomes,
        recorded=recorded,
        predicted=prediction,
        billed_ausd=sum(tally.billed_ausd for tally in tallies),
        alone_ausd=alone_ausd,
        predicted_ausd=alone_ausd + expected.ausd,
        low_ausd=alone_ausd + max(expected.ausd - spread, 0),
        high_ausd=alone_ausd + expected.ausd + spread,
        lost_requests=sum(loss.lost_requests for loss in every.values()),
        lost_tokens=sum(loss.lost_tokens for loss in every.values()),
        lost_ausd=sum(loss.lost_ausd for loss in every.values()),
        pauses=sum(tally.pauses for tally in tallies),
        pauses_lost=sum(tally.pauses_lost for tally in tallies),
    )


def _outcomes(tallies: Sequence[Tally]) -> tuple[dict[Pair, int], dict[Pair, int]]:
    """
    How many requests had each pair of outcomes, and how many of those followed a pause of more than 4 minutes.
    """
    outcomes: dict[Pair, int] = {}
    long_outcomes: dict[Pair, int] = {}
    record = seen(tally.changes for tally in tallies)
    for tally in tallies:
        _add(outcomes, tally.outcomes)
        _add(long_outcomes, tally.long_outcomes)
        for reason, change in tally.changes.items():
            said: Outcome = "cold" if record[reason].expects_loss(change) else "full"
            _add(outcomes, {(said, was): count for was, count in change.outcomes.items()})
            _add(long_outcomes, {(said, was): count for was, count in change.long_outcomes.items()})
    return outcomes, long_outcomes


def _add(counts: dict[Pair, int], more: dict[Pair, int]) -> None:
    for pair, count in more.items():
        counts[pair] = counts.get(pair, 0) + count


def _right(outcomes: dict[Pair, int]) -> int:
    return sum(count for (said, was), count in outcomes.items() if said == was)
