"""
What a replay advises, and when it advises nothing.
"""

from savemode_cli.core.replay.recording import Session
from savemode_cli.core.replay.report import Replay, summed
from tests.support.replayed import a_session, many, replayed


def advised(*sessions: Session) -> Replay:
    """
    All of them summed.
    """
    return summed(replayed(*sessions))


def test_advice_to_switch() -> None:
    """
    Where even the worse end of the interval is cheaper, with the interval.
    """
    done = advised(*many(10, [600] * 5))
    hour = done.estimate("1h")

    assert (done.advice.verdict, done.advice.policy) == ("switch", "1h")
    assert hour.low_nusd is not None
    assert hour.high_nusd is not None
    assert hour.low_nusd <= hour.difference_nusd <= hour.high_nusd < 0

    back = advised(*many(10, [10] * 5, hour=True))
    assert (back.advice.verdict, back.advice.policy) == ("switch", "5m")


def test_no_advice_where_it_is_not_clear() -> None:
    """
    One session of many decides: another sample might say the opposite.
    """
    lucky = a_session("lucky", [600] * 8, start=200_000)
    done = advised(lucky, *many(20, [10] * 8, step=1000))

    assert done.advice.verdict == "unclear"


def test_no_advice_to_change_what_is_good() -> None:
    """
    Neither TTL would have changed the bill by a hundredth.
    """
    assert advised(*many(10, [10] * 5)).advice.verdict == "keep"


def test_no_advice_from_few_sessions() -> None:
    """
    There is no interval then.
    """
    done = advised(*many(4, [600] * 5))

    assert (done.advice.verdict, done.advice.policy) == ("few", "1h")
    assert {(one.low_nusd, one.high_nusd) for one in done.estimates} == {(None, None)}


def test_no_advice_from_a_poor_model() -> None:
    """
    Nor from nothing.
    """
    assert advised(*many(6, [600])).advice.verdict == "ungraded"
    nothing = advised()
    assert (nothing.advice.verdict, nothing.first_at, nothing.curve_hours) == ("nothing", None, ())
