"""
Whether a reason changes the prompt is learned from the other sessions of a record.
"""

from datetime import UTC, datetime

import pytest

from savemode_cli.core.money.pricing import InputRates, PriceTable
from savemode_cli.core.replay.changes import ChangeTally, seen
from savemode_cli.core.replay.grade import Tally, grade
from savemode_cli.core.replay.inference import lane_requests
from savemode_cli.core.wire.usage import Usage
from tests.builders import a_price
from tests.core.replay.test_inference import a_request

RATES: InputRates = PriceTable([a_price()]).input_rates(Usage(), "claude-opus-5-5", datetime(2026, 11, 24, tzinfo=UTC))


def a_session(*, lost: bool, pause_s: float = 10) -> Tally:
    """
    A conversation whose client was started again once.
    """
    used = {"read": 10_000, "w5": 91_000} if lost else {"read": 100_000, "w5": 1000}
    requests = [a_request(0, w5=100_000), a_request(pause_s, **used, restarted=True)]
    requests += [a_request(pause_s + number, 101_000, opens_turn=False) for number in range(1, 11)]
    tally = Tally()
    for item in lane_requests(requests):
        tally.add(item, RATES)
    return tally


def test_a_reason_is_believed_at_first() -> None:
    """
    A single session has no other one to learn from.
    """
    result = grade([a_session(lost=True, pause_s=250)])

    assert (result.requests, result.right, result.long_requests, result.long_right) == (11, 11, 1, 1)
    assert result.outcomes == {("full", "full"): 10, ("cold", "cold"): 1}
    assert grade([a_session(lost=False)]).outcomes == {("full", "full"): 10, ("cold", "full"): 1}


def test_it_is_not_believed_if_the_other_sessions_contradict_it() -> None:
    """
    A client that continues its prompts without a change.
    """
    result = grade([a_session(lost=False) for _ in range(6)])

    assert (result.requests, result.right) == (66, 66)


def test_a_session_does_not_decide_about_itself() -> None:
    """
    Three sessions kept their prefix, and one lost it. For each of the three, two others kept it and one lost it, which is
    not enough against the prior. For the fourth, all others kept it.
    """
    result = grade([*(a_session(lost=False) for _ in range(3)), a_session(lost=True)])

    assert result.outcomes == {("full", "full"): 40, ("cold", "full"): 3, ("full", "cold"): 1}


@pytest.mark.parametrize("lost", [True, False])
def test_dollars_have_a_rate_of_their_own(lost: bool) -> None:
    """
    Such prompts are lost more often than others, and do not count for the others.
    """
    tallies = [a_session(lost=lost) for _ in range(20)]
    result = grade(tallies)

    assert tallies[0].losses.keys() == {"tool", "changed_turn_to_5m"}
    assert abs(float(result.dollar_error or 0)) < 0.05
    assert result.lost_requests == (20 if lost else 0)


def test_what_was_seen_is_the_sum() -> None:
    """
    By reason.
    """
    record = seen([{"restart": ChangeTally({"full": 1, "cold": 2})}, {"restart": ChangeTally({"partial": 1})}, {}])

    assert (record["restart"].requests, record["restart"].lost) == (4, 3)
