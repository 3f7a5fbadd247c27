"""
What `auto` learns from requests as they are answered: the same as from a record of them, and not before a segment is over.
"""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.learning import KNOWN_AFTER, MOST_LANES, LaneLearner, run_key, runs_of
from savemode_cli.core.upgrade.auto import Run
from savemode_cli.core.wire.usage import Usage
from tests.support.examples import examples
from tests.support.replayed import NOON, RATES, a_session, replayed
from tests.support.values import replace

PAUSES = st.lists(st.sampled_from([5, 290, 310, 400, 700, 3500, 5000]), max_size=8)


def by_key(runs: list[Run]) -> dict[str, Run]:
    """
    The last that is known of each run.
    """
    return {run.key: run for run in runs}


@examples(60)
@given(PAUSES, st.booleans(), st.sampled_from(["", "a1"]))
def test_live_and_recorded_requests_teach_the_same(pauses: list[float], hour: bool, agent: str) -> None:
    """
    Whatever TTL was billed, and whoever sent them.
    """
    session = a_session("s", pauses, hour=hour, agent=agent)
    learner = LaneLearner(RATES)
    known: list[Run] = []
    for request in session.requests:
        known += learner.known(request.started_at) + learner.answered(request)
    known += learner.rest()
    (replay,) = replayed(session)

    assert by_key(known) == by_key(list(runs_of(replay)))
    assert {run.situation for run in known} <= ({"agent"} if agent else {"start", "pause"})


def test_a_segment_is_known_when_it_is_over() -> None:
    """
    Not while a 5-minute cache of it lives, for the conversation may go on; and once.
    """
    learner = LaneLearner(RATES)
    for request in a_session("s", [10, 10]).requests:
        assert learner.answered(request) == []
    over = NOON + timedelta(seconds=20) + KNOWN_AFTER

    assert learner.known(over - timedelta(seconds=1)) == []
    (run,) = learner.known(over)
    assert (run.situation, run.ended_at) == ("start", NOON + timedelta(seconds=20))
    assert run.five_nusd < run.hour_nusd
    assert learner.known(over + timedelta(days=1)) == learner.rest() == []


def test_a_run_goes_on_after_a_pause() -> None:
    """
    A pause of ten minutes: the run that began before it grows, and a second one begins. An hour was cheaper for the first.
    """
    learner = LaneLearner(RATES)
    first, second = a_session("s", [600]).requests
    learner.answered(first)
    (before,) = learner.answered(second)
    after, pause = learner.rest()

    assert before.key == after.key != pause.key
    assert (after.situation, pause.situation) == ("start", "pause")
    assert before.saving_nusd < 0 < after.saving_nusd


def test_what_has_no_price_teaches_nothing() -> None:
    """
    Nor what was not billed.
    """
    learner = LaneLearner(RATES)
    (request,) = a_session("s", []).requests

    assert learner.answered(replace(request, model="claude-unheard-of")) == []
    assert learner.answered(replace(request, usage=Usage(declined="policy"))) == []
    assert learner.rest() == []


def test_lanes_are_bounded() -> None:
    """
    The oldest are forgotten.
    """
    learner = LaneLearner(RATES)
    (request,) = a_session("s", []).requests
    for number in range(MOST_LANES + 5):
        learner.answered(replace(request, session=f"s{number}"))

    assert len(learner.rest()) == MOST_LANES


def test_keys_are_digests() -> None:
    """
    Nothing of a session's ID is in them.
    """
    key = run_key("secret", " claude", 0)

    assert "secret" not in key
    assert len({key, run_key("secret", " claude", 1), run_key("other", " claude", 0), run_key("secret", "a", 0)}) == 4
