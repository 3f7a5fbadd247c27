"""
The model is graded on what it could not see, and says when it is not to be believed.
"""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from savemode_cli.core.grade import Kinds, Tally, grade, outcome, predicted
from savemode_cli.core.pricing import InputRates, PriceTable, Usage, nusd_of
from savemode_cli.core.session_cache import seen
from tests.builders import a_price
from tests.core.test_session_cache import a_request, second

RATES = PriceTable([a_price()]).input_rates(Usage(), "claude-opus-5-5", datetime(2026, 11, 24, tzinfo=UTC))


def tally(*turns: tuple[float, dict[str, int]], rates: InputRates | None = RATES) -> Tally:
    """
    One session: a first request that writes 100,000 tokens, then turns of a pause and what was used.
    """
    at, requests = 0.0, [a_request(0, w5=100_000)]
    for pause_s, used in turns:
        at += pause_s
        requests.append(a_request(at, **used))
    made = Tally()
    for one in seen(requests):
        made.add(one, rates)
    return made


WARM = (10, {"read": 100_000})


@pytest.mark.parametrize(
    ("pause_s", "used", "said", "was"),
    [
        pytest.param(10, {"read": 100_000, "w5": 500}, "full", "full", id="warm"),
        pytest.param(10, {"read": 90_000, "w5": 11_000}, "full", "full", id="the last blocks written anew"),
        pytest.param(10, {"read": 89_000, "w5": 12_000}, "full", "cold", id="within the first prompt: maybe the head"),
        pytest.param(600, {"w5": 101_000}, "cold", "cold", id="expired"),
        pytest.param(10, {"read": 20_000, "w5": 30_000}, "cold", "cold", id="compacted"),
        pytest.param(600, {"read": 100_000}, "cold", "full", id="kept alive by somebody"),
    ],
)
def test_outcomes(pause_s: float, used: dict[str, int], said: str, was: str) -> None:
    """
    The prediction sees no reads.
    """
    one = second(a_request(0, w5=100_000), a_request(pause_s, **used))

    assert (predicted(one), outcome(one)) == (said, was)


def test_partial_is_more_than_any_head() -> None:
    """
    More than the chain's first prompt was read, and not all.
    """
    found = list(seen([a_request(0, w5=10_000), a_request(1, 10_000, w5=90_000), a_request(2, 50_000, w5=51_000)]))

    assert outcome(found[2]) == "partial"


def test_a_perfect_record() -> None:
    """
    All right, not a nano-dollar off.
    """
    mark = grade([tally(*[WARM] * 20), tally(*[WARM] * 5, (600, {"w5": 100_000}))])

    assert (mark.requests, mark.right, mark.long_requests, mark.long_right, mark.firsts) == (26, 26, 1, 1, 2)
    assert (mark.right_share, mark.long_right_share, mark.dollar_error, mark.alone_error) == (1, 1, 0, 0)
    assert mark.recorded == mark.predicted == Kinds(0, 300_000, 0, 2_500_000)
    assert (mark.problem, mark.lost_requests) == ("", 0)


def test_changed_content_is_learned_from_the_other_sessions() -> None:
    """
    One session's loss is in the other's prediction, and not in its own.
    """
    lost = (10, {"w5": 100_000})
    mark = grade([tally(*[WARM] * 9, lost), tally(*[WARM] * 10)])
    saved_nusd = 100_000 * (5000 - 200)

    assert (mark.lost_requests, mark.lost_tokens, nusd_of(mark.lost_ausd)) == (1, 100_000, saved_nusd)
    assert nusd_of(mark.predicted_ausd - mark.alone_ausd) == saved_nusd
    assert nusd_of(mark.billed_ausd - mark.alone_ausd) == saved_nusd
    assert mark.predicted == Kinds(0, 300_000, 0, 1_900_000)


def test_an_hour_is_predicted_as_an_hour() -> None:
    """
    Writes are predicted in the bucket they are written to.
    """
    one = second(a_request(0, w1=100_000), a_request(7200, w1=100_500))
    made = Tally()
    made.add(one, RATES)
    made.add(second(a_request(0, w1=100_000), a_request(60, 100_000, w1=500)), RATES)

    assert made.alone == Kinds(0, 0, 101_000, 100_000)
    assert (made.reach_1h_tokens, nusd_of(made.reach_ausd)) == (100_000, 100_000 * (8000 - 200))


def test_a_cut_conversation_is_expected_to_read_its_head() -> None:
    """
    Half of the chain's first prompt, while it is warm.
    """
    assert tally((10, {"read": 20_000, "w5": 40_000})).alone.read_tokens == 50_000
    assert tally((600, {"read": 20_000, "w5": 40_000})).alone.read_tokens == 0


def test_survived_pauses_are_counted() -> None:
    """
    Those over 4 minutes, and those after which the prefix had changed; a compacted one tells nothing.
    """
    made = tally((250, {"read": 100_000}), (290, {"w5": 100_000}), (250, {"w5": 30_000}), (900, {"w5": 30_000}))

    assert (made.pauses, made.pauses_lost) == (2, 1)


@pytest.mark.parametrize(
    ("tallies", "problem"),
    [
        pytest.param([], "only 0 requests follow another; 20 are needed to grade the model", id="nothing"),
        pytest.param([tally(*[WARM] * 19)], "only 19 requests follow another", id="few"),
        pytest.param(
            [tally(*[WARM] * 20, *[(10, {"w5": 100_000})] * 2)],
            "the model got 90.9 % of the outcomes right",
            id="wrong",
        ),
        pytest.param([tally(*[WARM] * 20, rates=None)], "no request has a known price", id="unpriced"),
        pytest.param(
            [tally(*[WARM] * 20, (10, {"w5": 100_000}))],
            "the model's dollars are",
            id="one session, one loss: dollars off",
        ),
        pytest.param([tally(*[WARM] * 25, (10, {"read": 80_000, "w5": 20_000}))], "", id="good enough"),
    ],
)
def test_no_savings_are_promised_by_a_poor_model(tallies: list[Tally], problem: str) -> None:
    """
    And the reason is said. A single session is graded with the usual rate of changed content.
    """
    mark = grade(tallies)

    assert mark.problem.startswith(problem)
    assert bool(mark.problem) is bool(problem)


def test_shares_of_nothing_are_none() -> None:
    """
    Not 0, not 1.
    """
    mark = grade([])

    assert (mark.right_share, mark.long_right_share, mark.dollar_error, mark.alone_error) == (None,) * 4
    assert grade([tally(*[WARM] * 20)]).right_share == Fraction(1)
