"""
Rows that choose between the TTLs: with hindsight, and without.
"""

from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.choices import REPLAY_CHOICES, Learner
from savemode_cli.core.replay.recording import Session
from savemode_cli.core.replay.report import Replay, summed
from savemode_cli.core.replay.segments import Segment
from tests.support.examples import examples
from tests.support.replayed import NOON, a_session, replayed
from tests.support.values import replace

DAY = timedelta(days=1)
NEVER = Fraction(0)


def later(session: Session, days: float) -> Session:
    """
    The same session so many days later.
    """
    moved = tuple(
        replace(one, started_at=one.started_at + days * DAY, ended_at=one.ended_at + days * DAY)
        for one in session.requests
    )
    return replace(session, requests=moved)


def daily(count: int, pauses_s: list[float], **more: object) -> list[Session]:
    """
    A session a day.
    """
    return [later(a_session(f"s{number}", pauses_s, **more), number) for number in range(count)]  # type: ignore[arg-type]


def costs(*sessions: Session) -> tuple[Replay, dict[str, int]]:
    """
    The replay, and the cost of each row.
    """
    replay = summed(replayed(*sessions))
    return replay, {estimate.name: estimate.nusd for estimate in replay.estimates}


def test_auto_learns_that_five_minutes_are_enough() -> None:
    """
    The first session is kept for an hour, as nothing is known; from the second one on it costs what 5 minutes cost.
    """
    replay, nusd = costs(*daily(10, [10] * 30))
    first = replay.by_session[0]

    assert nusd["auto"] - nusd["5m"] == first.hour_nusd - first.five_nusd
    assert nusd["5m"] < nusd["auto"] < nusd["1h"]


def test_auto_keeps_for_an_hour_what_pauses() -> None:
    """
    From the first session on.
    """
    _, nusd = costs(*daily(10, [600] * 8))

    assert nusd["auto"] == nusd["1h"] < nusd["5m"]


def test_sub_agents_are_kept_for_five_minutes() -> None:
    """
    They do not wait for a person.
    """
    _, nusd = costs(*daily(10, [10] * 30, agent="a1"))

    assert nusd["auto"] == nusd["5m"]


def test_auto_changes_its_mind_in_a_cold_conversation() -> None:
    """
    Somebody who made no pauses for days makes them now: at the first one the cache is cold, and history says nothing
    against an hour for a conversation that pauses.
    """
    pausing = later(a_session("now", [10] * 20 + [600] * 20), 10)
    replay, _ = costs(*daily(10, [10] * 30), pausing)
    session = replay.by_session[-1]
    auto = REPLAY_CHOICES["auto"].choose(replayed(*daily(10, [10] * 30), pausing), NEVER)[-1].expected_nusd(NEVER)

    assert auto < min(session.hour_nusd, session.five_nusd)


def test_auto_keeps_warm_what_pauses_for_minutes() -> None:
    """
    Only where keep-warm is on: the first session is kept for an hour, the others are kept warm. A keep-warm request reads for
    a twentieth of the price, and an hour costs more to write.
    """
    _, nusd = costs(*daily(10, [400, 10, 10, 10, 10] * 8, step=8000))

    assert nusd["auto"] == nusd["1h"] < nusd["5m"]
    assert nusd["keep-warm"] < nusd["auto-keep-warm"] < nusd["keep-warm"] + (nusd["1h"] - nusd["keep-warm"]) / 5


def test_auto_does_not_keep_warm_what_never_pauses() -> None:
    """
    A conversation that is over has keep-warm requests, and nothing comes of them.
    """
    sessions = daily(10, [10] * 30)
    _, nusd = costs(*sessions)

    assert nusd["5m"] < nusd["keep-warm"]
    assert nusd["auto-keep-warm"] == nusd["auto"]


@pytest.mark.parametrize("name", ["auto", "auto-keep-warm"])
@examples(15)
@given(st.lists(st.lists(st.sampled_from([5, 290, 400, 700, 3500, 5000]), max_size=5), min_size=2, max_size=6))
def test_auto_does_not_look_ahead(name: str, pauses: list[list[float]]) -> None:
    """
    What a session costs does not depend on what comes after it.
    """
    sessions = replayed(*(later(a_session(f"s{number}", one), number) for number, one in enumerate(pauses)))
    choose = REPLAY_CHOICES[name].choose
    whole = choose(sessions, NEVER)

    for count in range(1, len(sessions)):
        assert choose(sessions[:count], NEVER) == whole[:count]


@examples(30)
@given(st.lists(st.lists(st.sampled_from([5, 290, 400, 700, 3500, 5000]), max_size=5), min_size=1, max_size=6))
def test_every_choice_has_all_tokens(pauses: list[list[float]]) -> None:
    """
    It pays for each request once. Hindsight is never beaten by a fixed TTL.
    """
    replay, nusd = costs(*(later(a_session(f"s{number}", one), number) for number, one in enumerate(pauses)))
    totals = {
        one.tokens.read_tokens + one.tokens.write_5m_tokens + one.tokens.write_1h_tokens for one in replay.estimates
    }

    assert len(totals) == 1
    assert nusd["optimum"] <= min(nusd["recorded"], nusd["5m"], nusd["1h"]) + len(pauses)


def test_the_regret_is_that_to_the_better_ttl_of_each_session() -> None:
    """
    Known in hindsight; rows without a choice have none.
    """
    replay, nusd = costs(*daily(5, [10] * 9), later(a_session("long", [600] * 9), 9))
    best = sum(min(one.five_nusd, one.hour_nusd) for one in replay.by_session)

    assert replay.estimate("auto").regret_nusd == nusd["auto"] - best
    assert [one.name for one in replay.estimates if one.regret_nusd is not None] == ["auto", "auto-keep-warm"]
    assert replay.estimate("auto").low_nusd is not None
    assert replay.estimate("optimum").low_nusd is None


def a_segment(start: str, began: datetime, five: int, hour: int, kept: int) -> Segment:
    """
    A segment of a minute that costs so many nano-dollars.
    """
    segment = Segment(start, is_agent=False, started_at=began, ended_at=began + timedelta(minutes=1))  # type: ignore[arg-type]
    segment.five.ausd, segment.hour_kept.ausd = (10**9 * nusd for nusd in (five, kept))
    segment._hour_start.ausd = 10**9 * (hour - kept)
    return segment


def test_runs_grow_with_their_segments() -> None:
    """
    A run lasts until the cache is cold under every TTL; each pause in it begins a run of another situation too.
    """
    learner = Learner()
    minutes = timedelta(minutes=1)
    learner.take("lane", 0, a_segment("cold", NOON, 10, 20, 20))
    learner.take("lane", 1, a_segment("pause", NOON + 11 * minutes, 30, 50, 5))
    learner.take("lane", 2, a_segment("cold", NOON + 200 * minutes, 7, 9, 9))

    assert len(learner.history(NOON + 5 * minutes)) == 0
    assert [run.five_nusd for run in learner.history(NOON + 10 * minutes).runs("start")] == [10]
    history = learner.history(NOON + 100 * minutes)
    assert [(run.five_nusd, run.hour_nusd) for run in history.runs("start")] == [(40, 25)]
    assert [(run.five_nusd, run.hour_nusd) for run in history.runs("pause")] == [(30, 50)]
    assert [run.returned for run in history.runs("start")] == [(0, 1, *[0] * 10)], "ten minutes"
    assert [run.five_nusd for run in learner.history(NOON + 300 * minutes).runs("start")] == [7, 40]


@pytest.mark.parametrize("name", REPLAY_CHOICES)
def test_no_sessions_cost_nothing(name: str) -> None:
    """
    Under any choice.
    """
    assert REPLAY_CHOICES[name].choose([], NEVER) == []
