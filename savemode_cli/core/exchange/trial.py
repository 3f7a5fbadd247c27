"""
The result of a trial: what sessions with the TTL policy cost beside sessions that were held out.

Rule of this file: sessions are the unit, for the requests of one session depend on each other. A difference is a result only
if its interval excludes zero; until then the answer is "not enough yet".

The measure is the cost of the prompts for each 1,000 prompt tokens: a TTL changes nothing else. The interval is a bootstrap:
sessions are drawn with replacement from each group, and the measure is computed anew for each draw.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from random import Random
from statistics import quantiles, stdev
from typing import Literal

from savemode_cli.core.upgrade.hold_out import GROUPS, Group

LEAST_SESSIONS = 5
"""With fewer sessions in a group nothing is compared."""

_RESAMPLES = 2000
_LEAST_RESAMPLES = 500
_MOST_DRAWS = 2_000_000

_POWER_ERRORS = 2.8
"""
A difference of so many standard errors is found in 8 of 10 trials at a confidence of 95 %: 1.96 for the confidence and 0.84
for the power.
"""


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """
    One billed request of a trial.
    """

    session: str
    """A digest of its session's ID."""
    group: Group
    at: datetime
    prompt_tokens: int
    prompt_nusd: int
    """The cost of the prompt in nano-dollars."""
    requests: int = 1
    """More than one for a sum."""


@dataclass(slots=True)
class GroupSum:
    """
    The sums of one group.
    """

    sessions: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    prompt_nusd: int = 0

    @property
    def nusd_per_1000(self) -> int:
        """
        The cost of 1,000 prompt tokens in nano-dollars; 0 without tokens.
        """
        return round(self.prompt_nusd * 1000 / self.prompt_tokens) if self.prompt_tokens else 0


TrialVerdict = Literal["few", "unclear", "cheaper", "dearer"]
"""
`few`: a group has fewer than `LEAST_SESSIONS` sessions. `unclear`: the interval includes zero. Otherwise what the policy is
beside the hold-out.
"""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """
    What a trial shows. A difference is the policy less the hold-out: negative if the policy is cheaper.
    """

    groups: dict[Group, GroupSum]
    verdict: TrialVerdict
    switched: int
    """How many sessions were in both groups, because the share was changed; they are left out."""
    first_at: datetime | None
    last_at: datetime | None
    difference_nusd: int | None = None
    """Of the cost of 1,000 prompt tokens in nano-dollars; None with too few sessions."""
    low_nusd: int | None = None
    """The lower bound of that difference with 95 % confidence."""
    high_nusd: int | None = None
    """The upper bound."""
    needed_sessions: int | None = None
    """How many sessions a difference of this size needs, both groups together; None if no number would show it."""

    def percent(self, nusd: int | None) -> float | None:
        """
        A difference in percent of what the hold-out costs; None if that is nothing.
        """
        base = self.groups["hold-out"].nusd_per_1000
        return None if nusd is None or not base else nusd * 100 / base


@dataclass(slots=True)
class _Session:
    groups: set[Group]
    first_at: datetime
    last_at: datetime
    requests: int = 0
    tokens: int = 0
    nusd: int = 0


def judge_trial(
    requests: Iterable[TrialRequest],
    since: datetime | None = None,
    until: datetime | None = None,
    seed: int = 0,
) -> TrialResult:
    """
    Compare both groups.

    Args:
        requests: the billed requests of the trial.
        since: only sessions that began then or later.
        until: only sessions that began before.
        seed: of the random numbers.
    """
    every = _sessions(requests).values()
    counted = [
        session
        for session in every
        if (since is None or session.first_at >= since) and (until is None or session.first_at < until)
    ]
    sessions = [session for session in counted if len(session.groups) == 1 and session.tokens]
    by_group = {group: [one for one in sessions if group in one.groups] for group in GROUPS}
    groups = {group: _sum(members) for group, members in by_group.items()}
    first_at = min((one.first_at for one in sessions), default=None)
    last_at = max((one.last_at for one in sessions), default=None)
    switched = sum(len(session.groups) > 1 for session in counted)
    if min(map(len, by_group.values())) < LEAST_SESSIONS:
        return TrialResult(groups, "few", switched, first_at, last_at)
    difference = groups["policy"].nusd_per_1000 - groups["hold-out"].nusd_per_1000
    drawn = _resampled(by_group["policy"], by_group["hold-out"], seed)
    cuts = quantiles(drawn, n=40, method="inclusive")
    low, high = round(cuts[0]), round(cuts[-1])
    verdict: TrialVerdict = "cheaper" if high < 0 else "dearer" if low > 0 else "unclear"
    needed = _needed(len(sessions), difference, stdev(drawn))
    return TrialResult(groups, verdict, switched, first_at, last_at, difference, low, high, needed)


def _sessions(requests: Iterable[TrialRequest]) -> dict[str, _Session]:
    sessions: dict[str, _Session] = {}
    for request in requests:
        session = sessions.get(request.session)
        if session is None:
            session = sessions[request.session] = _Session({request.group}, request.at, request.at)
        session.groups.add(request.group)
        session.first_at = min(session.first_at, request.at)
        session.last_at = max(session.last_at, request.at)
        session.requests += request.requests
        session.tokens += request.prompt_tokens
        session.nusd += request.prompt_nusd
    return sessions


def _sum(sessions: Sequence[_Session]) -> GroupSum:
    return GroupSum(
        len(sessions),
        sum(session.requests for session in sessions),
        sum(session.tokens for session in sessions),
        sum(session.nusd for session in sessions),
    )


def _resampled(policy: Sequence[_Session], held_out: Sequence[_Session], seed: int) -> list[float]:
    """
    The difference for 1,000 tokens in many draws.
    """
    random = Random(seed)  # noqa: S311 - statistics, not security
    count = max(_LEAST_RESAMPLES, min(_RESAMPLES, _MOST_DRAWS // (len(policy) + len(held_out))))
    return [_drawn(policy, random) - _drawn(held_out, random) for _ in range(count)]


def _drawn(sessions: Sequence[_Session], random: Random) -> float:
    """
    The cost of 1,000 tokens of as many sessions as there are, drawn with replacement.
    """
    tokens = nusd = 0
    count = len(sessions)
    for _ in range(count):
        # `random()` gives the same numbers in every version of Python, which other methods do not promise.
        session = sessions[int(random.random() * count)]
        tokens += session.tokens
        nusd += session.nusd
    return nusd * 1000 / tokens


def _needed(sessions: int, difference: int, error: float) -> int | None:
    """
    How many sessions would show this difference in 8 of 10 trials: a standard error shrinks with the root of their number.
    """
    return ceil(sessions * (_POWER_ERRORS * error / difference) ** 2) if difference else None
