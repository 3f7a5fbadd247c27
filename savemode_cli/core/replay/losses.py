"""
Prompts that are written again within their TTL, because the client changed something near their beginning.

Rule of this file: such losses are random events. Their expected amount is a rate times the tokens at stake, with a
variance. The rate of a class of turns is computed from the record itself, so it is not a prediction. Which turn loses
its prefix is one.

Turns differ. After a tool result a client appends to the prompt and changes almost nothing. When a person opens a turn,
settings, tools or instructions may have changed too. This happens more often after longer pauses.
Source of the priors: nine sets of recorded traffic with 24,700 requests. After tool results 0.1 % of the prompts were
written again; in new turns 1 to 4 % after less than a minute, 2 to 13 % after up to five minutes, 5 to 19 % after up to
an hour.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from savemode_cli.core.replay.inference import LaneRequest

TURNS = (
    "tool",
    "turn_to_1m",
    "turn_to_5m",
    "turn_over_5m",
    "changed_tool",
    "changed_turn_to_5m",
    "changed_turn_over_5m",
)
"""
The classes of requests by what precedes them: a tool result, or a message of a person after a pause of this length. The
client has probably changed the prompt of those that begin with `changed`; see `changes`.
"""


@dataclass(frozen=True, slots=True)
class Prior:
    """
    What is assumed before the first request is counted.
    """

    rate: Fraction
    """The share of the tokens at stake that is lost."""
    requests: int
    """It counts as much as this many requests."""


_CHANGED_PRIOR = Prior(Fraction(2, 3), 2)
"""Such a prompt loses its messages, and still reads its head."""

PRIORS: dict[str, Prior] = {
    "tool": Prior(Fraction(1, 1000), 1000),
    "turn_to_1m": Prior(Fraction(25, 1000), 2),
    "turn_to_5m": Prior(Fraction(60, 1000), 2),
    "turn_over_5m": Prior(Fraction(120, 1000), 2),
    "changed_tool": _CHANGED_PRIOR,
    "changed_turn_to_5m": _CHANGED_PRIOR,
    "changed_turn_over_5m": _CHANGED_PRIOR,
}


def turn_of(item: LaneRequest) -> str:
    """
    The class of a request that follows another.
    """
    gap = item.gap
    if item.change is not None:
        if not item.request.opens_turn:
            return "changed_tool"
        return "changed_turn_to_5m" if gap in ("to_1m", "to_5m") else "changed_turn_over_5m"
    if not item.request.opens_turn:
        return "tool"
    return f"turn_{gap}" if gap in ("to_1m", "to_5m") else "turn_over_5m"


@dataclass(slots=True)
class Loss:
    """
    The requests of one class that should have read their whole reach. Amounts are atto-dollars.
    """

    requests: int = 0
    reach_5m_tokens: int = 0
    """What should have been read and would otherwise be written for 5 minutes."""
    reach_1h_tokens: int = 0
    reach_ausd: int = 0
    """What it would cost to write all of that instead of reading it."""
    reach_squares: float = 0.0
    """The sum of the squares of these amounts, over all requests."""
    lost_requests: int = 0
    """How many requests read less than nine tenths."""
    lost_tokens: int = 0
    """What was not read."""
    lost_ausd: int = 0

    @property
    def reach_tokens(self) -> int:
        """
        All that should have been read.
        """
        return self.reach_5m_tokens + self.reach_1h_tokens

    def add(self, other: "Loss") -> None:
        """
        Add the counts of another.
        """
        self.requests += other.requests
        self.reach_5m_tokens += other.reach_5m_tokens
        self.reach_1h_tokens += other.reach_1h_tokens
        self.reach_ausd += other.reach_ausd
        self.reach_squares += other.reach_squares
        self.lost_requests += other.lost_requests
        self.lost_tokens += other.lost_tokens
        self.lost_ausd += other.lost_ausd


Losses = dict[str, Loss]
"""By class of turn; classes without requests are absent."""


@dataclass(slots=True)
class ExpectedLoss:
    """
    What is expected to be lost.
    """

    tokens_5m: int = 0
    tokens_1h: int = 0
    ausd: int = 0
    variance: float = 0.0
    """In squared atto-dollars."""


def summed_losses(sessions: Iterable[Losses]) -> Losses:
    """
    The losses of all sessions together.
    """
    total: Losses = {}
    for losses in sessions:
        for turn, loss in losses.items():
            total.setdefault(turn, Loss()).add(loss)
    return total


def expected_loss(losses: Losses) -> ExpectedLoss:
    """
    What some sessions are expected to lose, at the rates of their own turns.

    Each request loses all of its reach or nothing, with the probability of its class.

    Args:
        losses: the losses of the sessions together. Of single requests only the tokens at stake are used.
    """
    expected = ExpectedLoss()
    for turn, loss in losses.items():
        rate = _rate(turn, loss)
        expected.tokens_5m += _part(rate, loss.reach_5m_tokens)
        expected.tokens_1h += _part(rate, loss.reach_1h_tokens)
        expected.ausd += _part(rate, loss.reach_ausd)
        expected.variance += float(rate * (1 - rate)) * loss.reach_squares
    return expected


def _rate(turn: str, loss: Loss) -> Fraction:
    """
    The share of the tokens at stake that a class of turns loses, from the record and the prior.
    """
    prior = PRIORS[turn]
    weight = prior.requests * loss.reach_tokens // loss.requests
    tokens = loss.reach_tokens + weight
    return (loss.lost_tokens + prior.rate * weight) / tokens if tokens else prior.rate


def _part(rate: Fraction, amount: int) -> int:
    return amount * rate.numerator // rate.denominator


_SHORT_PRIOR = Prior(Fraction(4, 100), 20)
"""For turns after pauses of up to five minutes."""
_LONG_PRIOR_REQUESTS = 10
_MOST_RATIO = 3


@dataclass(slots=True)
class TurnCounts:
    """
    Requests that open a turn and whose cache had survived the pause, and how many of them had a changed prefix.
    """

    short: int = 0
    """After pauses of up to five minutes."""
    short_changed: int = 0
    long: int = 0
    """After pauses of more than five minutes. Only a 1-hour cache survives these."""
    long_changed: int = 0

    def add(self, other: "TurnCounts") -> None:
        """
        Add another session's counts.
        """
        self.short += other.short
        self.short_changed += other.short_changed
        self.long += other.long
        self.long_changed += other.long_changed

    @property
    def changed_share(self) -> Fraction:
        """
        The share of pauses of 5 to 60 minutes after which the prefix has changed.

        It is computed from such pauses with a 1-hour cache, if the record has any. A record without them shows only how
        often the prefix changes in shorter pauses; the prior is scaled by that.
        """
        prior = PRIORS["turn_over_5m"]
        short = (self.short_changed + _SHORT_PRIOR.rate * _SHORT_PRIOR.requests) / (self.short + _SHORT_PRIOR.requests)
        ratio = min(max(short / _SHORT_PRIOR.rate, Fraction(1, _MOST_RATIO)), Fraction(_MOST_RATIO))
        return (self.long_changed + prior.rate * ratio * _LONG_PRIOR_REQUESTS) / (self.long + _LONG_PRIOR_REQUESTS)


def turn_counts(losses: Losses) -> TurnCounts:
    """
    The counts of a session's losses.
    """
    short = [losses[turn] for turn in ("turn_to_1m", "turn_to_5m", "changed_turn_to_5m") if turn in losses]
    long = [losses[turn] for turn in ("turn_over_5m", "changed_turn_over_5m") if turn in losses]
    return TurnCounts(
        sum(loss.requests for loss in short),
        sum(loss.lost_requests for loss in short),
        sum(loss.requests for loss in long),
        sum(loss.lost_requests for loss in long),
    )
