"""
The model of the cache, judged by real traffic: see `tests/support/recorded.py` for what that is and what it lacks.
"""

from statistics import median

import pytest

from tests.support.calibrated import calibrated, tokens_of
from tests.support.recorded import CAPTURE, Graded, graded, recorded

pytestmark = pytest.mark.skipif(not CAPTURE.exists(), reason="no recorded traffic beside the project")


@pytest.fixture(scope="module")
def halves() -> tuple[list[Graded], list[Graded]]:
    """
    The billed requests of the first half of the recording, and those of the second.
    """
    requests = recorded()
    grades = graded(requests)
    half = len(requests) // 2
    return [one for one in grades if one.request.line <= half], [one for one in grades if one.request.line > half]


def test_what_became_of_a_request_is_foreseen(halves: tuple[list[Graded], list[Graded]]) -> None:
    """
    Full hit, partial, cold or none: at least 95 in 100 right over all, and all but one line known to be wrong.

    That one has the usage of the request beside it written to it: the two started in the same millisecond.
    """
    both = [*halves[0], *halves[1]]
    wrong = [one.request.line for one in both if not one.right]

    assert len(both) == 66
    assert wrong == [2]
    assert len(wrong) <= 0.05 * len(both)
    assert {one.happened for one in both} == {"full", "partial", "cold", "none"}


def test_calibrated_tokens_hold_on_what_was_not_calibrated_on(halves: tuple[list[Graded], list[Graded]]) -> None:
    """
    Rates from the first half: in the second, half of the reads are off by less than 1 in 100, of the writes by 5.
    """
    first, second = halves
    estimate = calibrated((stretch, tokens) for one in first for _, stretch, tokens in one.stretches())
    errors: dict[str, list[float]] = {"read": [], "write": []}
    for one in second:
        for what, stretch, tokens in one.stretches():
            errors[what].append(abs(tokens_of(estimate, stretch) - tokens) / tokens)

    assert len(errors["read"]) >= 5
    assert len(errors["write"]) >= 10
    assert median(errors["read"]) < 0.01
    assert median(errors["write"]) < 0.05
