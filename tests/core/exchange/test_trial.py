"""
What a trial shows, and when it is too early to say.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from savemode_cli.core.exchange.trial import TrialRequest, judge_trial
from savemode_cli.core.upgrade.hold_out import Group

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def some(group: Group, count: int, price: float, spread: float, seed: int = 1) -> Iterator[TrialRequest]:
    """
    Sessions of two requests, whose tokens cost about that many nano-dollars each.
    """
    random = Random(seed)
    for number in range(count):
        tokens = random.randrange(50_000, 150_000)
        nusd = round(tokens * price * random.uniform(1 - spread, 1 + spread))
        for part in range(2):
            at = NOON + timedelta(days=number, minutes=part)
            yield TrialRequest(f"{group} {number}", group, at, tokens // 2, nusd // 2)


def test_cheaper() -> None:
    """
    A tenth less, with little chance in it: the interval excludes zero, and holds the difference.
    """
    result = judge_trial([*some("policy", 40, 450, 0.1), *some("hold-out", 40, 500, 0.1, seed=2)])

    assert result.verdict == "cheaper"
    assert (result.groups["policy"].sessions, result.groups["policy"].requests) == (40, 80)
    assert result.low_nusd is not None
    assert result.high_nusd is not None
    assert result.low_nusd < -50_000 < result.high_nusd < 0
    assert result.needed_sessions is not None
    assert result.needed_sessions < 80
    percent = result.percent(result.difference_nusd)
    assert percent is not None
    assert abs(percent + 10) < 2


def test_dearer() -> None:
    """
    That is a result too.
    """
    result = judge_trial([*some("policy", 40, 600, 0.1), *some("hold-out", 40, 500, 0.1, seed=2)])

    assert result.verdict == "dearer"


def test_too_much_chance() -> None:
    """
    The same difference among sessions that differ more: not enough, and how many sessions would be.
    """
    requests = [*some("policy", 8, 490, 0.9), *some("hold-out", 8, 500, 0.9, seed=2)]
    result = judge_trial(requests)

    assert result.verdict == "unclear"
    assert result.needed_sessions is not None
    assert result.needed_sessions > 16
    assert judge_trial(requests) == result, "the same data and seed give the same interval"
    assert judge_trial(requests, seed=1).low_nusd != result.low_nusd


def test_the_interval_is_what_it_says() -> None:
    """
    Without an effect, about one trial in twenty finds one.
    """
    found = sum(
        judge_trial(
            [*some("policy", 30, 500, 0.5, seed), *some("hold-out", 30, 500, 0.5, seed + 1000)], seed=seed
        ).verdict
        != "unclear"
        for seed in range(60)
    )

    assert 0 <= found <= 8


@pytest.mark.parametrize(("policy", "held_out"), [(0, 0), (4, 40), (40, 4)])
def test_few(policy: int, held_out: int) -> None:
    """
    Fewer than five sessions in a group say nothing.
    """
    result = judge_trial([*some("policy", policy, 1, 0), *some("hold-out", held_out, 100, 0)])

    assert (result.verdict, result.difference_nusd, result.needed_sessions) == ("few", None, None)
    assert result.percent(None) is None


def test_no_difference_at_all() -> None:
    """
    An interval of length zero includes zero, and no number of sessions is enough.
    """
    result = judge_trial([*some("policy", 9, 500, 0), *some("hold-out", 9, 500, 0)])

    assert (result.verdict, result.difference_nusd, result.needed_sessions) == ("unclear", 0, None)


def test_sessions_in_both_groups() -> None:
    """
    They are left out and counted, and so are sessions without a prompt.
    """
    both = [TrialRequest("x", "policy", NOON, 10**9, 1), TrialRequest("x", "hold-out", NOON, 10**9, 1)]
    empty = TrialRequest("y", "policy", NOON, 0, 0)
    result = judge_trial([*both, empty, *some("policy", 6, 500, 0)])

    assert result.switched == 1
    assert result.groups["policy"].sessions == 6
    assert result.groups["hold-out"].nusd_per_1000 == 0
    assert result.percent(5) is None


def test_span() -> None:
    """
    Sessions count by their beginning, whole or not at all.
    """
    requests = [*some("policy", 10, 500, 0)]
    since, until = NOON + timedelta(days=2), NOON + timedelta(days=5)
    result = judge_trial(requests, since, until)

    assert (result.groups["policy"].sessions, result.groups["policy"].requests) == (3, 6)
    assert result.first_at == since
