"""
Requests whose prompt a client has probably changed: whether the model predicts that their prefix is lost.

Rule of this file: a prediction uses what other sessions show, and never the session that it is for.

The record shows a reason for a change (see `Change` in `inference`). Whether a reason does change the prompt depends on
the client and its version. So a prefix is predicted to be lost if it was lost after the same reason in most of the
other sessions of the record. As long as there are few, it is predicted to be lost. Dollars are priced at a rate, as for all
changed prompts (see `losses`).
Source: in the two public sets of `python -m tests.benchmarks.replay`, 57 of 57 such prefixes were lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from savemode_cli.core.replay.inference import Change, Outcome

_PRIOR_LOST = 2
"""So many lost prefixes are assumed before any was observed."""


@dataclass(slots=True)
class ChangeTally:
    """
    The requests of one session with the same reason, whose cache had survived the pause.
    """

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    """How many had each recorded outcome."""
    long_outcomes: dict[Outcome, int] = field(default_factory=dict)
    """The same after pauses of more than 4 minutes."""

    @property
    def requests(self) -> int:
        """
        How many there are.
        """
        return sum(self.outcomes.values())

    @property
    def lost(self) -> int:
        """
        How many read less than nine tenths of their prefix.
        """
        return self.requests - self.outcomes.get("full", 0)


Changes = dict[Change, ChangeTally]
"""By reason; reasons without requests are absent."""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What some sessions show of one reason.
    """

    requests: int = 0
    lost: int = 0

    def expects_loss(self, own: ChangeTally) -> bool:
        """
        Whether a session's prefixes are predicted to be lost.

        Args:
            own: the session's requests with this reason. They are part of what was seen, and do not count.
        """
        lost = self.lost - own.lost + _PRIOR_LOST
        return lost * 2 > self.requests - own.requests + _PRIOR_LOST


def seen(sessions: Iterable[Changes]) -> dict[Change, Seen]:
    """
    What all sessions together show of each reason.
    """
    total: dict[Change, Seen] = {}
    for changes in sessions:
        for change, own in changes.items():
            before = total.get(change, Seen())
            total[change] = Seen(before.requests + own.requests, before.lost + own.lost)
    return total
