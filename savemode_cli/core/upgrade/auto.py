"""
The policy `auto`: it chooses 5 minutes, 1 hour or, if keep-warm is on, 5 minutes kept warm for a cache lane, by expected
cost, from what is known at that moment.

Rule of this file: a decision depends on its arguments alone, and uses nothing that happens later.

Theory of operation. A 1-hour cache costs more to write (2 instead of 1.25 times the input price) and avoids a rewrite of
the whole prompt at each pause of 5 minutes to 1 hour. When the TTL is chosen, nobody knows whether such a pause follows. The
best predictor is what this person's conversations cost so far, so the decision compares that cost with 5 minutes and
with 1 hour. Keep-warm requests (see `keep_warm`) are a third way: they cost a read of the prompt each, and avoid the rewrite
at pauses of up to some minutes more.

A run is a part of a lane. It begins at a moment at which the cache was cold, and ends when the cache is cold under every
TTL, which is after a pause of more than an hour. Runs are compared with runs of the same situation:

    start     a conversation begins, or continues after more than an hour
    pause     a conversation with a 5-minute cache continues after 5 minutes to 1 hour: its cache is cold
    agent     a sub-agent begins: it rarely waits for a person

Recent runs count more. A prior counts as much as one run, so that the first decision is the better guess and the second one
already learns. A lane keeps its TTL while its cache may be warm: a change would write the prefix again, or, if the TTL
is part of the cache's key, lose it.
Source of the priors: nine sets of recorded traffic with 265 sessions; see `docs/replay.md`. The prior of keep-warm has another
source, see `KeepWarmTerms`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from savemode_cli.core.cache.lifetimes import GRACE, LIFETIMES, Lifetime
from savemode_cli.core.upgrade.pauses import Pauses

Situation = Literal["start", "pause", "agent"]
SITUATIONS: tuple[Situation, ...] = ("start", "pause", "agent")

MOST_RUNS = 40
"""How many runs of each situation are kept. The latest are kept."""

_HALF_LIFE_RUNS = 10
"""After this many newer runs, a run counts half."""

_PRIOR_RUNS = 1
"""The prior counts as much as this many runs of average cost."""

_PRIOR_SAVING: dict[Situation, float] = {"start": 0.05, "pause": 0.05, "agent": -0.15}
"""How much less a run is expected to cost with 1 hour than with 5 minutes, before any run was observed."""

_TYPICAL_COST: dict[Situation, float] = {"start": 4.0, "pause": 3.0, "agent": 2.0}
"""The expected cost of a run as a multiple of writing its first prompt for 5 minutes, before any run was observed."""


@dataclass(frozen=True, slots=True)
class Run:
    """
    What one run has cost so far with each TTL.
    """

    key: str
    """Identifies the run. It contains nothing of the traffic except a digest."""
    situation: Situation
    ended_at: datetime
    """When its last answer ended."""
    five_nusd: int
    """The cost with a 5-minute cache, in nano-dollars."""
    hour_nusd: int
    """The cost with a 1-hour cache, in nano-dollars."""
    warm_nusd: int | None = None
    """
    The cost with a 5-minute cache that keep-warm requests renew, in nano-dollars, with their price; None if it was not
    computed.
    """
    returned: tuple[int, ...] | None = None
    """How many of its pauses ended in each window of 4.5 minutes (see `pauses`); None if they were not counted."""

    @property
    def saving_nusd(self) -> int:
        """
        How much less it cost with 1 hour, in nano-dollars; negative if it cost more.
        """
        return self.five_nusd - self.hour_nusd


@dataclass(frozen=True, slots=True)
class KeepWarmTerms:
    """
    What is assumed of keep-warm where it is on.
    """

    prior_saving: float = 0.02
    """
    How much less a run is expected to cost with 5 minutes kept warm than with 5 minutes, before any run was observed.
    Source: the published pauses of TraceLab (43 developers, 140,338 requests; see `pauses`), where misses after pauses
    are 14.4 % of the cost of prompts: two keep-warm requests in each pause win 2.1 % at a read price of a tenth.
    """


class History:
    """
    The latest runs of one person, by situation.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs: dict[Situation, dict[str, Run]] = {situation: {} for situation in SITUATIONS}
        for run in runs:
            self.put(run)

    def put(self, run: Run) -> None:
        """
        Add a run, or replace it if it is known. If a situation has too many runs, its oldest one is dropped.
        """
        runs = self._runs[run.situation]
        runs[run.key] = run
        if len(runs) > MOST_RUNS:
            del runs[min(runs, key=lambda key: (runs[key].ended_at, key))]

    def runs(self, situation: Situation) -> list[Run]:
        """
        The runs of a situation, the latest first.
        """
        return sorted(self._runs[situation].values(), key=lambda run: (run.ended_at, run.key), reverse=True)

    def pauses(self) -> Pauses:
        """
        How the pauses in and after these conversations ended.
        """
        pauses = Pauses()
        for run in self._runs["start"].values():
            if run.returned is not None:
                pauses.stayed_away += 1  # a run ends with a pause of more than an hour
                for window, count in enumerate(run.returned[: len(pauses.returned)]):
                    pauses.returned[window] += count
        return pauses

    def __len__(self) -> int:
        """
        How many runs there are.
        """
        return sum(map(len, self._runs.values()))


@dataclass(frozen=True, slots=True)
class Decision:
    """
    The TTL of a lane, with its reason.
    """

    ttl: Lifetime
    situation: Situation
    expected_saving_nusd: int | None
    """
    How much less the run is expected to cost with this choice than with the best other one, in nano-dollars; None if
    there is no basis for an estimate.
    """
    reason: str
    """One sentence, for people."""
    is_warm_upgrade: bool = False
    """Whether the lane goes from 5 minutes to 1 hour while its cache is warm."""
    keeps_warm: bool = False
    """Whether keep-warm requests renew the 5 minutes."""

    @property
    def expected_difference_nusd(self) -> int | None:
        """
        How much more the run is expected to cost than with the best other choice: negative, or None if that is unknown.
        """
        return None if self.expected_saving_nusd is None else -self.expected_saving_nusd


@dataclass(frozen=True, slots=True)
class LaneChoice:
    """
    What was decided for a lane, and when its cache was last used.
    """

    decision: Decision
    last_ended_at: datetime
    """When the lane's last answer ended."""
    kept_warm_until: datetime | None = None
    """When the cache expires after all keep-warm requests, if they do not count as answers of the lane."""


def choose(
    lane: LaneChoice | None,
    history: History,
    now: datetime,
    *,
    is_agent: bool,
    prompt_nusd: int | None = None,
    keep_warm: KeepWarmTerms | None = None,
) -> Decision:
    """
    Choose the TTL of a request. While the lane's cache may be warm, this is the lane's TTL; otherwise it is a new
    decision.

    Args:
        lane: what was decided for the lane before; None for its first request.
        history: the person's runs that are known so far.
        now: when the request is sent.
        is_agent: whether a sub-agent sends it.
        prompt_nusd: what it costs to write its prompt for 5 minutes, in nano-dollars; None if unknown.
        keep_warm: what is assumed of keep-warm; None if no keep-warm requests can be sent for it.
    """
    situation: Situation = "agent" if is_agent else "start"
    if lane is not None:
        idle = now - lane.last_ended_at
        is_kept = lane.kept_warm_until is not None and now <= lane.kept_warm_until
        if is_kept or is_warm(idle.total_seconds(), lane.decision.ttl):
            return lane.decision
        if not is_agent and idle <= LIFETIMES["1h"]:
            situation = "pause"
    return decide(situation, history.runs(situation), prompt_nusd, None if is_agent else keep_warm)


def warm_upgrade(before: Decision) -> Decision:
    """
    The decision for a long prompt whose cache is warm at 5 minutes, where an experiment has shown that it carries over.

    Args:
        before: the decision to stay at 5 minutes.
    """
    reason = "the prompt is long, and an experiment has shown that its warm cache is read with 1h too"
    return Decision("1h", before.situation, None, reason, is_warm_upgrade=True)


def is_warm(idle_s: float, ttl: Lifetime) -> bool:
    """
    Whether a cache may still be warm after a pause.

    Args:
        idle_s: the pause in seconds.
        ttl: the cache's TTL.
    """
    grace = GRACE if ttl == "5m" else GRACE * 0
    return idle_s <= (LIFETIMES[ttl] + grace).total_seconds()


def decide(
    situation: Situation,
    runs: Iterable[Run],
    prompt_nusd: int | None = None,
    keep_warm: KeepWarmTerms | None = None,
) -> Decision:
    """
    Make the choice that is expected to cost less for a run that begins now.

    Args:
        situation: how it begins.
        runs: earlier runs of this situation, the latest first.
        prompt_nusd: what it costs to write its prompt for 5 minutes, in nano-dollars; None if unknown.
        keep_warm: what is assumed of keep-warm; None if no keep-warm requests can be sent for it.
    """
    runs = tuple(runs)
    hour = _Saving.of((run.five_nusd, run.saving_nusd) for run in runs)
    if not hour.five:
        return _without_history(situation, prompt_nusd)
    hour_share = hour.expected_share(_PRIOR_SAVING[situation])
    shares = {"5m": 0.0, "1h": hour_share}
    warm = None
    if keep_warm is not None:
        warm = _Saving.of((run.five_nusd, run.five_nusd - run.warm_nusd) for run in runs if run.warm_nusd is not None)
        shares["warm"] = warm.expected_share(keep_warm.prior_saving)
    best = max(shares, key=lambda choice: (shares[choice], choice == "5m"))
    saved = shares.pop(best) - max(shares.values())
    expected = round(saved * hour.usual)
    if warm is not None and best == "warm":
        return Decision("5m", situation, expected, _reason(situation, warm.runs, warm.share, "warm"), keeps_warm=True)
    ttl: Lifetime = "1h" if best == "1h" else "5m"
    return Decision(ttl, situation, expected, _reason(situation, hour.runs, hour.share, ttl))


@dataclass(frozen=True, slots=True)
class _Saving:
    """
    What earlier runs have cost with 5 minutes, and how much less with another choice. Recent runs count more.
    """

    five: float
    saving: float
    weights: float
    runs: int

    @classmethod
    def of(cls, runs: Iterable[tuple[int, int]]) -> "_Saving":
        """
        Args:
            runs: of each run, the cost with 5 minutes and the saving, the latest first.
        """
        weights = five = saving = 0.0
        count = 0
        for count, (run_five, run_saving) in enumerate(runs, 1):
            weight = 0.5 ** ((count - 1) / _HALF_LIFE_RUNS)
            weights += weight
            five += weight * run_five
            saving += weight * run_saving
        return cls(five, saving, weights, count)

    @property
    def usual(self) -> float:
        """
        What a run costs with 5 minutes; 0 without runs.
        """
        return self.five / self.weights if self.weights else 0.0

    @property
    def share(self) -> float:
        """
        The observed saving as a share of the cost; 0 without runs.
        """
        return self.saving / self.five if self.five else 0.0

    def expected_share(self, prior: float) -> float:
        """
        The share with the prior, which counts as much as some runs of usual cost.
        """
        if not self.five:
            return prior
        return (self.saving + _PRIOR_RUNS * self.usual * prior) / (self.five + _PRIOR_RUNS * self.usual)


def _without_history(situation: Situation, prompt_nusd: int | None) -> Decision:
    share = _PRIOR_SAVING[situation]
    expected = None if prompt_nusd is None else round(abs(share) * _TYPICAL_COST[situation] * prompt_nusd)
    if situation == "agent":
        return Decision("5m", situation, expected, "sub-agents rarely pause for more than 5 minutes")
    return Decision("1h", situation, expected, "nothing is known of your pauses yet, and 1h is cheaper for most people")


_RUNS: dict[Situation, tuple[str, str]] = {
    "start": ("your last conversation", "your last {count} conversations"),
    "pause": (
        "your last conversation after such a pause",
        "your last {count} conversations after such a pause",
    ),
    "agent": ("your last sub-agent", "your last {count} sub-agents"),
}


def _reason(situation: Situation, count: int, share: float, choice: str) -> str:
    one, many = _RUNS[situation]
    runs = one if count == 1 else f"{many.format(count=count)}, recent ones counting more,"
    if choice == "warm":
        if not count:
            return "what keeping 5m warm costs you is not known yet, and it is cheaper than 5m for most people"
        words = f"{runs} cost {abs(share) * 100:.1f} % {'less' if share > 0 else 'more'} with 5m kept warm than without"
        return words if share > 0 else f"{words}, too few to outweigh what is usual"
    cheaper, percent = ("1h", share) if share > 0 else ("5m", -share)
    words = f"{runs} cost {percent * 100:.1f} % less with {cheaper}"
    return words if cheaper == choice else f"{words}, too few to outweigh what is usual"
