"""
How certain a difference is: bootstrap intervals over sessions.

Rule of this file: the same data and seed give the same interval on every machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from random import Random
from statistics import quantiles

from savemode_cli.core.money.pricing import nusd_of
from savemode_cli.core.replay.losses import TurnCounts

LEAST_SESSIONS = 5
"""With fewer sessions, no interval is computed."""

_MOST_DRAWS = 300_000
_RESAMPLES = 1000
_LEAST_RESAMPLES = 200

Interval = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    By how much a policy changes the cost of one session, in nano-dollars.
    """

    nusd: int
    """The difference if every pause changes the prefix."""
    rescuable_nusd: int
    """How much lower it is if no pause changes the prefix."""


def difference(ausd: int, rescuable_ausd: int) -> Difference:
    """
    A difference from an amount in atto-dollars.
    """
    return Difference(nusd_of(ausd), nusd_of(rescuable_ausd))


def intervals(turns: Sequence[TurnCounts], rows: Mapping[str, Sequence[Difference]], seed: int) -> dict[str, Interval]:
    """
    The 5th and the 95th percentile of each policy's difference, over sessions drawn with replacement.

    The share of pauses that change a prefix is computed again in every draw, so the interval includes its uncertainty.

    Args:
        turns: for each session, the counts from which the share is computed.
        rows: the differences of each policy, session by session.
        seed: the seed of the random numbers.
    """
    count = len(turns)
    if count < LEAST_SESSIONS:
        return dict.fromkeys(rows, (None, None))
    random = Random(seed)  # noqa: S311 - statistics, not security
    samples: dict[str, list[int]] = {name: [] for name in rows}
    # Sums of one column after the other are several times as fast as sums of objects.
    amounts = {
        name: ([one.nusd for one in differences], [one.rescuable_nusd for one in differences])
        for name, differences in rows.items()
    }
    columns = [[turn.short for turn in turns], [turn.short_changed for turn in turns]]
    columns += [[turn.long for turn in turns], [turn.long_changed for turn in turns]]
    for _ in range(max(_LEAST_RESAMPLES, min(_RESAMPLES, _MOST_DRAWS // count))):
        # `random()` gives the same numbers in every version of Python, which other methods do not promise.
        drawn = [int(random.random() * count) for _ in range(count)]
        pick = itemgetter(*drawn)
        kept = 1 - TurnCounts(*(sum(pick(column)) for column in columns)).changed_share
        for name, (every_nusd, every_rescuable_nusd) in amounts.items():
            nusd, rescuable_nusd = sum(pick(every_nusd)), sum(pick(every_rescuable_nusd))
            samples[name].append(nusd - rescuable_nusd * kept.numerator // kept.denominator)
    return {name: _percentiles(values) for name, values in samples.items()}


def _percentiles(values: list[int]) -> tuple[int, int]:
    cuts = quantiles(values, n=20, method="inclusive")
    return round(cuts[0]), round(cuts[-1])
