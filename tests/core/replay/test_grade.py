"""
The model is graded on what it could not see, and says when it is not accurate enough.
"""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from savemode_cli.core.money.pricing import InputRates, PriceTable, nusd_of
from savemode_cli.core.replay.grade import Tally, grade, outcome_of, predicted
from savemode_cli.core.replay.inference import lane_requests
from savemode_cli.core.replay.prompt_tokens import PromptTokens, cost_ausd
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.builders import a_price
from tests.core.replay.test_inference import a_request, second

RATES = PriceTable([a_price()]).input_rates(Usage(), "claude-opus-5-5", datetime(2026, 11, 24, tzinfo=UTC))


def tally(*turns: tuple[float, dict[str, int]], rates: InputRates | None = RATES, opens_turn: bool = True) -> Tally:
    """
    One session: a first request that writes 100,000 tokens, then turns of a pause and what was used.
    """
    at, requests = 0.0, [a_request(0, w5=100_000)]
    for pause_s, used in turns:
        at += pause_s
        requests.append(a_request(at, **used, opens_turn=opens_turn))
    made = Tally()
    for item in lane_requests(requests):
        made.add(item, rates)
    return made


WARM = (10, {"read": 100_000})
LOST = (10, {"w5": 100_000})


@pytest.mark.parametrize(
    ("pause_s", "used", "prediction", "record"),
    [
        pytest.param(10, {"read": 100_000, "w5": 500}, "full", "full", id="warm"),
        pytest.param(10, {"read": 90_000, "w5": 11_000}, "full", "full", id="the last blocks written anew"),
        pytest.param(10, {"read": 89_000, "w5": 12_000}, "full", "cold", id="within the first prompt: maybe the head"),
        pytest.param(600, {"w5": 101_000}, "cold", "cold", id="expired"),
        pytest.param(10, {"read": 20_000, "w5": 30_000}, "cold", "cold", id="compacted"),
        pytest.param(600, {"read": 100_000}, "cold", "full", id="kept alive by somebody"),
    ],
)
def test_outcomes(pause_s: float, used: dict[str, int], prediction: str, record: str) -> None:
    """
    The prediction uses no reads of the request itself.
    """
    item = second(a_request(0, w5=100_000), a_request(pause_s, **used))

    assert (predicted(item), outcome_of(item)) == (prediction, record)


def test_partial_is_more_than_any_head() -> None:
    """
    More than the lane's first prompt was read, and not all.
    """
    requests = [a_request(0, w5=10_000), a_request(1, 10_000, w5=90_000), a_request(2, 50_000, w5=51_000)]

    assert outcome_of(list(lane_requests(requests))[2]) == "partial"


def test_a_perfect_record() -> None:
    """
    All outcomes are right. Without losses the TTLs alone are not a nano-dollar off, and the bill is in the interval.
    """
    result = grade([tally(*[WARM] * 20), tally(*[WARM] * 5, (600, {"w5": 100_000}))])

    assert (result.requests, result.right, result.long_requests, result.long_right, result.firsts) == (26, 26, 1, 1, 2)
    assert (result.right_share, result.long_right_share) == (Fraction(1), Fraction(1))
    assert (result.alone_error, result.interval_error) == (Fraction(0), Fraction(0))
    assert result.recorded == PromptTokens(0, 300_000, 0, 2_500_000)
    assert (result.problem, result.lost_requests) == ("", 0)


def test_everything_is_booked_in_one_place() -> None:
    """
    A request of whatever record: its tokens, its dollars if they have a price, and its outcomes.
    """
    made = Tally()
    made.book(PromptTokens(1, 2, 3, 4), PromptTokens(1, 9, 0, 0), RATES, None)
    made.book(PromptTokens(1, 2, 3, 4), PromptTokens(1, 2, 3, 4), None, ("full", "cold"), after_long_pause=True)

    assert (made.recorded, made.alone) == (PromptTokens(2, 4, 6, 8), PromptTokens(2, 11, 3, 4))
    assert made.billed_ausd == cost_ausd(RATES, PromptTokens(1, 2, 3, 4))
    assert made.alone_ausd == cost_ausd(RATES, PromptTokens(1, 9, 0, 0))
    assert (made.firsts, made.outcomes, made.long_outcomes) == (1, {("full", "cold"): 1}, {("full", "cold"): 1})


def test_lost_content_is_priced_at_the_rate_of_the_record() -> None:
    """
    Two of 20 turns were written anew: so much is expected, less what the prior takes off, and the bill is in the interval.
    """
    result = grade([tally(*[WARM] * 9, LOST), tally(*[WARM] * 9, LOST)])
    dearer_nusd = 100_000 * (5000 - 200)

    assert (result.lost_requests, result.lost_tokens, nusd_of(result.lost_ausd)) == (2, 200_000, 2 * dearer_nusd)
    assert nusd_of(result.billed_ausd - result.alone_ausd) == 2 * dearer_nusd
    expected = nusd_of(result.predicted_ausd - result.alone_ausd)
    assert expected == pytest.approx((2 + 0.05) / 22 * 20 * dearer_nusd)
    assert result.low_ausd < result.billed_ausd < result.high_ausd
    assert result.interval_error == 0


def test_hardly_anything_is_lost_after_a_tool() -> None:
    """
    One loss of 20 is far from the 0.1 % that are usual, so it is not taken for the rate: the bill is outside.
    """
    result = grade([tally(*[WARM] * 19, LOST, opens_turn=False)])

    assert result.billed_ausd > result.high_ausd
    assert result.problem.startswith("the model's dollars are")


def test_a_single_session_is_judged_by_an_interval() -> None:
    """
    The same loss at a person's turn is as likely as not, so one session of 21 requests may be quoted.
    """
    result = grade([tally(*[WARM] * 20, LOST)])

    assert abs(result.dollar_error or Fraction(1)) > Fraction(1, 100)
    assert (result.interval_error, result.problem) == (Fraction(0), "")


def test_an_hour_is_predicted_as_an_hour() -> None:
    """
    Writes are predicted in the bucket they are written to.
    """
    made = Tally()
    made.add(second(a_request(0, w1=100_000), a_request(7200, w1=100_500)), RATES)
    made.add(second(a_request(0, w1=100_000), a_request(60, 100_000, w1=500)), RATES)
    loss = made.losses["turn_to_1m"]

    assert made.alone == PromptTokens(0, 0, 101_000, 100_000)
    assert (loss.reach_1h_tokens, nusd_of(loss.reach_ausd)) == (100_000, 100_000 * (8000 - 200))


def test_a_cut_conversation_is_expected_to_read_its_head() -> None:
    """
    Half of the lane's first prompt, until a head was seen; nothing after an expiry.
    """
    assert tally((10, {"read": 20_000, "w5": 40_000})).alone.read_tokens == 50_000
    assert tally((600, {"read": 20_000, "w5": 40_000})).alone.read_tokens == 0
    again = tally((10, {"read": 20_000, "w5": 80_000}), (10, {"read": 20_000, "w5": 9000}))
    assert again.alone.read_tokens == 100_000 + 20_000


def test_an_expired_conversation_is_expected_to_read_the_head_that_others_keep_warm() -> None:
    """
    As its first request did.
    """
    made = Tally()
    for item in lane_requests([a_request(0, 20_000, w5=80_000), a_request(600, 20_000, w5=81_000)]):
        made.add(item, RATES)

    assert made.alone == made.recorded == PromptTokens(0, 161_000, 0, 40_000)


def test_an_answer_with_several_passes_is_predicted_right() -> None:
    """
    The later pass reads what the first one wrote, and the next request continues after the last pass.
    """
    requests = [a_request(0, w5=100_000), a_request(60), a_request(120, 102_000, w5=500)]
    requests[1] = type(requests[1])(
        "s",
        "",
        "m",
        requests[1].started_at,
        requests[1].ended_at,
        Usage(Tokens(0, 2000, 0, 201_000), prefix_tokens=102_000),
    )
    made = Tally()
    for item in lane_requests(requests):
        made.add(item, RATES)

    assert made.outcomes == {("full", "full"): 2}
    assert made.alone == made.recorded


def test_survived_pauses_are_counted() -> None:
    """
    Those over 4 minutes before a person's message, and those after which the prefix had changed. A compaction does not count.
    """
    turns = ((250, {"read": 100_000}), (290, {"w5": 100_000}), (250, {"w5": 30_000}), (900, {"w5": 30_000}))
    made = tally(*turns)

    assert (made.pauses, made.pauses_lost) == (2, 1)
    assert (made.rescuable, tally((900, {"w5": 100_000})).rescuable) == (1, 1)
    assert tally(*turns, opens_turn=False).pauses == 0


@pytest.mark.parametrize(
    ("tallies", "problem"),
    [
        pytest.param([], "only 0 requests follow another; 20 are needed to grade the model", id="nothing"),
        pytest.param([tally(*[WARM] * 19)], "only 19 requests follow another", id="few"),
        pytest.param([tally(*[WARM] * 20, *[LOST] * 2)], "the model got 90.9 % of the outcomes right", id="wrong"),
        pytest.param([tally(*[WARM] * 20, rates=None)], "no request has a known price", id="unpriced"),
        pytest.param([tally(*[WARM] * 25, (10, {"read": 80_000, "w5": 20_000}))], "", id="good enough"),
    ],
)
def test_no_savings_are_quoted_from_a_poor_model(tallies: list[Tally], problem: str) -> None:
    """
    And the reason is named.
    """
    result = grade(tallies)

    assert result.problem.startswith(problem)
    assert bool(result.problem) is bool(problem)


def test_shares_of_nothing_are_none() -> None:
    """
    Not 0, not 1.
    """
    result = grade([])

    assert (result.right_share, result.long_right_share, result.dollar_error, result.alone_error) == (None,) * 4
    assert grade([tally(*[WARM] * 20)]).right_share == Fraction(1)
