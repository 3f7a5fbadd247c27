"""
Whether the newest sessions of a model still behave as the older ones did.

Rule of this file: a provider may change its cache at any time. If the newest sessions of a model do not pass the grade
that the older ones pass, nothing is quoted for the newest ones, and results of older sessions are not applied to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from savemode_cli.core.replay.grade import Grade, grade
from savemode_cli.core.replay.sessions import SessionReplay

NEWEST_REQUESTS = 100
"""The newest sessions of a model are graded together once they have this many requests."""

LEAST_LONG_RIGHT = Fraction(70, 100)
LEAST_LONG_REQUESTS = 8
"""Outcomes after pauses of more than 4 minutes are judged if there are this many. A changed TTL shows there first."""


@dataclass(frozen=True, slots=True)
class Stale:
    """
    The newest sessions of a model, which behave differently from the older ones.
    """

    model: str
    since: datetime
    """When the first of them began."""
    sessions: tuple[SessionReplay, ...]
    grade: Grade
    problem: str
    """What is wrong with their grade."""


def stale_sessions(sessions: Sequence[SessionReplay]) -> list[Stale]:
    """
    The newest sessions of each model that no longer pass.

    Args:
        sessions: all sessions, by the time at which they began.
    """
    by_model: dict[str, list[SessionReplay]] = {}
    for session in sessions:
        by_model.setdefault(max(session.models, key=lambda name: (session.models[name], name)), []).append(session)
    found = (_stale(model, own) for model, own in by_model.items())
    return [stale for stale in found if stale is not None]


def _stale(model: str, sessions: list[SessionReplay]) -> Stale | None:
    cut = _newest(sessions)
    if not cut or _problem(sessions[:cut]):
        return None
    problem = _problem(sessions[cut:])
    if not problem:
        return None
    while cut > 1 and _graded(sessions[cut - 1]) and _problem([sessions[cut - 1]]):
        cut -= 1
    newest = tuple(sessions[cut:])
    return Stale(model, newest[0].first_at, newest, grade([one.tally for one in newest]), problem)


def _newest(sessions: Sequence[SessionReplay]) -> int:
    """
    The index of the first of the newest sessions; 0 if too few are older.
    """
    requests, place = 0, len(sessions)
    while place and requests < NEWEST_REQUESTS:
        place -= 1
        requests += _graded(sessions[place])
    older = sum(_graded(session) for session in sessions[:place])
    return place if requests >= NEWEST_REQUESTS and older >= NEWEST_REQUESTS else 0


def _graded(session: SessionReplay) -> int:
    return session.tally.graded


def _problem(sessions: Sequence[SessionReplay]) -> str:
    result = grade([session.tally for session in sessions])
    if result.problem:
        return result.problem
    share = result.long_right_share
    if share is not None and result.long_requests >= LEAST_LONG_REQUESTS and share < LEAST_LONG_RIGHT:
        return f"after more than 4 minutes the model got only {float(share) * 100:.3g} % of the outcomes right"
    return ""
