"""
Intervals of a difference.
"""

from savemode_cli.core.replay.bootstrap import Difference, intervals
from savemode_cli.core.replay.losses import TurnCounts
from savemode_cli.core.replay.report import summed
from tests.support.replayed import a_session, replayed


def test_equal_sessions_have_an_interval_of_one_point() -> None:
    """
    Whichever are drawn, the sum is the same; with too few sessions there is no interval.
    """
    turns, rows = [TurnCounts()] * 6, {"a": [Difference(-5, 0)] * 6, "b": [Difference(7, 0)] * 6}

    assert intervals(turns, rows, seed=1) == {"a": (-30, -30), "b": (42, 42)}
    assert intervals(turns[:4], {"a": rows["a"][:4]}, seed=1) == {"a": (None, None)}


def test_the_uncertain_share_of_changed_pauses_is_in_the_interval() -> None:
    """
    Equal differences, of which a part is rescued unless a pause has changed the prefix: how often is drawn anew.
    """
    turns = [TurnCounts(long=5, long_changed=changed) for changed in (0, 0, 0, 5, 5, 5)]
    low, high = intervals(turns, {"1h": [Difference(0, 1000)] * 6}, seed=1)["1h"]

    assert low is not None
    assert high is not None
    assert low < high < 0


def test_the_same_seed_gives_the_same_interval() -> None:
    """
    And another one a slightly different one.
    """
    done = replayed(*(a_session(f"s{number}", [600] * (number % 7) + [10] * 9) for number in range(20)))
    one, same, other = (summed(done, seed=seed).estimate("1h") for seed in (1, 1, 99))

    assert one == same
    assert (one.low_nusd, one.high_nusd) != (other.low_nusd, other.high_nusd)
