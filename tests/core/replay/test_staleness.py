"""
The newest sessions of a model are graded apart.
"""

from datetime import timedelta
from fractions import Fraction

from msgspec import structs

from savemode_cli.core.replay.recording import Session
from savemode_cli.core.replay.report import summed
from savemode_cli.core.replay.staleness import stale_sessions
from savemode_cli.core.wire.usage import Usage
from tests.support.replayed import MODEL, NOON, a_session, replayed
from tests.support.values import replace

DAY = timedelta(days=1)


def on_day(session: Session, day: int) -> Session:
    """
    The same session on a later day.
    """
    later = day * DAY
    return replace(
        session,
        requests=tuple(
            replace(request, started_at=request.started_at + later, ended_at=request.ended_at + later)
            for request in session.requests
        ),
    )


def forgetful(session: Session) -> Session:
    """
    The same session with a provider that keeps nothing for an hour any more: after ten minutes all is written again.
    """

    def forgotten(usage: Usage) -> Usage:
        return structs.replace(usage, tokens=structs.replace(usage.tokens, write_1h=usage.cached_tokens, read=0))

    requests = list(session.requests)
    for place in range(1, len(requests)):
        if requests[place].started_at - requests[place - 1].ended_at > timedelta(minutes=5):
            requests[place] = replace(requests[place], usage=forgotten(requests[place].usage))
    return replace(session, requests=tuple(requests))


WEEK = [on_day(a_session(f"day {day}", [10] * 25 + [600] * 5, hour=True), day) for day in range(10)]


def test_sessions_that_behave_alike_are_all_fresh() -> None:
    """
    Nothing is left out.
    """
    assert stale_sessions(replayed(*WEEK)) == []
    assert summed(replayed(*WEEK)).stale == ()


def test_the_newest_sessions_are_left_out_when_the_provider_has_changed() -> None:
    """
    From the first session on that behaves differently; the older ones are quoted, and the bill is the whole bill.
    """
    sessions = [*WEEK[:6], *map(forgetful, WEEK[6:])]
    replay = summed(replayed(*sessions))
    (stale,) = replay.stale
    whole = sum(session.total["recorded"].expected_nusd(Fraction(1)) for session in replayed(*sessions))

    assert (stale.model, stale.since, len(stale.sessions)) == (MODEL, NOON + 6 * DAY, 4)
    assert "after more than 4 minutes" in stale.problem or "of the outcomes right" in stale.problem
    assert replay.grade.problem == ""
    assert replay.grade == summed(replayed(*WEEK[:6])).grade
    assert replay.estimates == summed(replayed(*WEEK[:6])).estimates
    assert (replay.sessions, replay.bill.prompts_nusd) == (10, whole)


def test_a_record_that_was_never_predicted_is_not_stale() -> None:
    """
    Its grade is poor altogether, so it is refused altogether.
    """
    replay = summed(replayed(*map(forgetful, WEEK)))

    assert replay.stale == ()
    assert replay.grade.problem


def test_few_sessions_have_no_newest_ones() -> None:
    """
    There must be a hundred requests on both sides.
    """
    assert stale_sessions(replayed(*WEEK[:2], *map(forgetful, WEEK[2:5]))) == []
