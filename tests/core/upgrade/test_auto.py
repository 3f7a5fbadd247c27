"""
The policy `auto`: what it decides from what is known, and when it may change its mind.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.upgrade.auto import (
    MOST_RUNS,
    SITUATIONS,
    Decision,
    History,
    KeepWarmTerms,
    LaneChoice,
    Run,
    Situation,
    choose,
    decide,
    is_warm,
)
from tests.support.examples import examples

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DOLLAR = 1_000_000_000


def a_run(number: int, five: float, hour: float, situation: Situation = "start") -> Run:
    """
    A run that ended so many hours after noon, and what it cost in dollars with each TTL.
    """
    return Run(f"r{number}", situation, NOON + number * HOUR, round(five * DOLLAR), round(hour * DOLLAR))


def known(*costs: tuple[float, float], situation: Situation = "start") -> History:
    """
    Runs one after the other.
    """
    return History(a_run(number, five, hour, situation) for number, (five, hour) in enumerate(costs))


@pytest.mark.parametrize(("is_agent", "ttl"), [(False, "1h"), (True, "5m")])
def test_without_history(is_agent: bool, ttl: str) -> None:
    """
    1 hour for a conversation, 5 minutes for a sub-agent, with an expectation as soon as the prompt is known.
    """
    guess = choose(None, History(), NOON, is_agent=is_agent)
    priced = choose(None, History(), NOON, is_agent=is_agent, prompt_nusd=DOLLAR)

    assert (guess.ttl, guess.expected_saving_nusd) == (ttl, None)
    assert priced.ttl == ttl
    assert priced.expected_saving_nusd is not None
    assert 0 < priced.expected_saving_nusd < DOLLAR
    assert guess.reason


@pytest.mark.parametrize(
    ("costs", "ttl"),
    [
        pytest.param([(1, 1.4)], "5m", id="the first conversation teaches already"),
        pytest.param([(1, 1.01)], "1h", id="a small difference does not outweigh what is usual"),
        pytest.param([(10, 8)] * 3, "1h", id="long pauses"),
        pytest.param([(1, 0.5)] * 20 + [(1, 1.4)] * 12, "5m", id="recent ones count more"),
        pytest.param([(1, 1.4)] * 20 + [(1, 0.5)] * 12, "1h", id="in both directions"),
        pytest.param([(0.1, 0.14)] * 9 + [(50, 30)], "1h", id="dollars count, not conversations"),
    ],
)
def test_history_decides(costs: list[tuple[float, float]], ttl: str) -> None:
    """
    By what was cheaper for this person.
    """
    assert choose(None, known(*costs), NOON, is_agent=False).ttl == ttl


def test_situations_do_not_mix() -> None:
    """
    What sub-agents cost says nothing about conversations.
    """
    history = known((1, 0.5), (1, 0.5), situation="agent")

    assert choose(None, history, NOON, is_agent=True).ttl == "1h"
    assert choose(None, history, NOON, is_agent=False) == choose(None, History(), NOON, is_agent=False)


def test_the_expected_saving_is_in_dollars() -> None:
    """
    Of a run of usual cost, with the TTL that is chosen; the reason names what was seen.
    """
    decision = choose(None, known(*[(10, 8)] * 12), NOON, is_agent=False)

    assert decision.expected_saving_nusd == pytest.approx(2 * DOLLAR, rel=0.1)
    assert decision.reason == "your last 12 conversations, recent ones counting more, cost 20.0 % less with 1h"
    outweighed = choose(None, known((1, 1.01)), NOON, is_agent=False)
    assert outweighed.reason == "your last conversation cost 1.0 % less with 5m, too few to outweigh what is usual"


FIVE = Decision("5m", "start", None, "")
ONE = Decision("1h", "start", None, "")


@pytest.mark.parametrize(
    ("before", "idle", "kept", "situation"),
    [
        pytest.param(FIVE, 1 * MINUTE, True, "start", id="5m, warm"),
        pytest.param(FIVE, timedelta(seconds=315), True, "start", id="5m, perhaps warm"),
        pytest.param(FIVE, 6 * MINUTE, False, "pause", id="5m, cold"),
        pytest.param(FIVE, 61 * MINUTE, False, "start", id="5m, cold for long"),
        pytest.param(ONE, 6 * MINUTE, True, "start", id="1h, warm"),
        pytest.param(ONE, 60 * MINUTE, True, "start", id="1h, just warm"),
        pytest.param(ONE, 61 * MINUTE, False, "start", id="1h, cold"),
    ],
)
def test_a_lane_changes_its_ttl_only_when_it_is_cold(
    before: Decision, idle: timedelta, kept: bool, situation: str
) -> None:
    """
    However much the history has changed meanwhile.
    """
    decision = choose(LaneChoice(before, NOON), known((1, 9)), NOON + idle, is_agent=False)

    assert (decision is before) == kept
    assert decision.situation == situation


def with_warm(*costs: tuple[float, float, float]) -> History:
    """
    Runs one after the other, with what each would have cost kept warm.
    """
    return History(
        replace(a_run(number, five, hour), warm_nusd=round(warm * DOLLAR))
        for number, (five, hour, warm) in enumerate(costs)
    )


@pytest.mark.parametrize(
    ("costs", "ttl", "keeps_warm"),
    [
        pytest.param([(10, 11, 8)] * 3, "5m", True, id="minutes"),
        pytest.param([(10, 7, 8)] * 3, "1h", False, id="long pauses"),
        pytest.param([(10, 13, 12)] * 3, "5m", False, id="no pauses"),
        pytest.param([(10, 12, 10.1)], "5m", True, id="the prior outweighs one run"),
    ],
)
def test_keep_warm_is_a_third_choice(costs: list[tuple[float, float, float]], ttl: str, keeps_warm: bool) -> None:
    """
    Only where keep-warm requests can be sent.
    """
    decision = choose(None, with_warm(*costs), NOON, is_agent=False, keep_warm=KeepWarmTerms())
    without = choose(None, with_warm(*costs), NOON, is_agent=False)

    assert (decision.ttl, decision.keeps_warm) == (ttl, keeps_warm)
    assert (without.ttl, without.keeps_warm) == (ttl, False)
    assert decision.reason
    assert (decision.expected_saving_nusd or 0) >= 0


def test_what_keep_warm_is_expected_to_save() -> None:
    """
    Against the best other choice; the reason names what was seen.
    """
    terms = KeepWarmTerms()
    decision = choose(None, with_warm(*[(10, 9, 6)] * 12), NOON, is_agent=False, keep_warm=terms)
    outweighed = choose(None, with_warm((10, 12, 10.1)), NOON, is_agent=False, keep_warm=terms)
    unknown = choose(None, known((10, 12)), NOON, is_agent=False, keep_warm=terms)

    assert decision.expected_saving_nusd == pytest.approx(3 * DOLLAR, rel=0.15)
    expected = "your last 12 conversations, recent ones counting more, cost 40.0 % less with 5m kept warm than without"
    assert decision.reason == expected
    assert outweighed.reason.endswith(
        "cost 1.0 % more with 5m kept warm than without, too few to outweigh what is usual"
    )
    assert unknown.keeps_warm
    assert unknown.reason.startswith("what keeping 5m warm costs you is not known yet")


def test_an_hour_is_chosen_while_nothing_is_known_with_keep_warm_too() -> None:
    """
    A sub-agent is never kept warm.
    """
    history = History(replace(a_run(0, 10, 12, "agent"), warm_nusd=DOLLAR) for _ in range(1))

    assert choose(None, History(), NOON, is_agent=False, keep_warm=KeepWarmTerms()).ttl == "1h"
    assert not choose(None, history, NOON, is_agent=True, keep_warm=KeepWarmTerms()).keeps_warm


@pytest.mark.parametrize(("minutes", "is_kept"), [(23, True), (24, False)])
def test_a_lane_that_is_kept_warm_keeps_its_choice(minutes: int, is_kept: bool) -> None:
    """
    Until its last keep-warm request has expired.
    """
    warm = Decision("5m", "start", None, "", keeps_warm=True)
    lane = LaneChoice(warm, NOON, NOON + 23 * MINUTE)
    decision = choose(lane, known((1, 9)), NOON + minutes * MINUTE, is_agent=False, keep_warm=KeepWarmTerms())

    assert (decision is warm) == is_kept


def test_a_sub_agent_stays_one() -> None:
    """
    After a pause too.
    """
    assert choose(LaneChoice(FIVE, NOON), History(), NOON + 6 * MINUTE, is_agent=True).situation == "agent"


def test_warmth() -> None:
    """
    Five minutes with the grace that recorded caches show, an hour without.
    """
    assert [is_warm(320, "5m"), is_warm(321, "5m"), is_warm(3600, "1h"), is_warm(3601, "1h")] == [
        True,
        False,
        True,
        False,
    ]


def test_a_run_replaces_what_was_known_of_it() -> None:
    """
    A run is put again when it has cost more; the same traffic learned twice counts once.
    """
    history = known((1, 2))
    history.put(a_run(0, 3, 1))

    assert (len(history), history.runs("start")) == (1, [a_run(0, 3, 1)])


def test_a_history_is_bounded() -> None:
    """
    The oldest run of a situation is dropped, whatever the order in which they were put.
    """
    runs = [a_run(number, 1, 1) for number in range(MOST_RUNS + 5)]
    history = History(reversed(runs))

    assert len(history) == MOST_RUNS
    assert history.runs("start") == list(reversed(runs))[:MOST_RUNS]


runs = st.lists(
    st.tuples(st.integers(1, 10**12), st.integers(1, 10**12)).map(
        lambda pair: Run(str(pair), "start", NOON, pair[0], pair[1])
    ),
    max_size=50,
)


@examples(100)
@given(runs, st.sampled_from(SITUATIONS))
def test_any_history(history: list[Run], situation: Situation) -> None:
    """
    A decision is always one of two, expects to save something, and depends on nothing but its arguments.
    """
    decision = decide(situation, history, DOLLAR)

    assert decision.ttl in ("5m", "1h")
    assert decision.expected_saving_nusd is not None
    assert decision.expected_saving_nusd >= 0
    assert decide(situation, list(history), DOLLAR) == decision


@examples(100)
@given(runs)
def test_a_dearer_hour_never_speaks_for_it(history: list[Run]) -> None:
    """
    If 5 minutes are chosen, they are chosen too when each run would have cost more with 1 hour.
    """
    dearer = [replace(run, hour_nusd=run.hour_nusd + 10**9) for run in history]

    if decide("start", history).ttl == "5m":
        assert decide("start", dearer).ttl == "5m"
