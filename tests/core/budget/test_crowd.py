"""
Many requests at once against one cap.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.crowd import ADMISSION_RULES, AdmissionRule, Crowd
from tests.support.requests import CAP, USD, at, nusd


def crowd(rule: AdmissionRule, size: int, costs: list[str]) -> tuple[int, int]:
    """
    By how much the cap is crossed, and how many are refused for good.
    """
    run = Crowd(CAP, size, rule)
    for number, usd in enumerate(costs):
        run.feed(at(1 + number % 28 // 2, usd))
    run.finish()
    return run.windows[0].over_nusd, run.windows[0].refused.count


@pytest.mark.parametrize(
    ("rule", "over", "refused"),
    [
        # Rounds of four at $6: all see nothing spent, and $24 are gone; the second round sees it.
        ("no_hold", 4 * USD, 4),
        # The fourth starts with $18 held, and crosses; nobody else.
        ("default", 4 * USD, 4),
        # Three fit; the rest is too big for the $2 that are left.
        ("strict", 0, 5),
    ],
)
def test_crowd_of_four(rule: AdmissionRule, over: int, refused: int) -> None:
    """
    Eight requests of $6 by four at once.
    """
    assert crowd(rule, 4, ["6"] * 8) == (over, refused)


@pytest.mark.parametrize(("rule", "over", "refused"), [("no_hold", 28, 0), ("default", 4, 4), ("strict", 0, 5)])
def test_crowd_of_eight(rule: AdmissionRule, over: int, refused: int) -> None:
    """
    The same by eight at once: without holds all of them see nothing spent, $48 against $20.
    """
    assert crowd(rule, 8, ["6"] * 8) == (over * USD, refused)


@given(st.lists(st.integers(1, 800), max_size=60), st.integers(1, 9))
def test_crowds(cents: list[int], size: int) -> None:
    """
    One request may cross by default, none if strict; nobody is forgotten, and no holds is never the tightest.
    """
    costs = [f"{one / 100:.2f}" for one in cents]
    runs = {rule: Crowd(CAP, size, rule) for rule in ADMISSION_RULES}
    for run in runs.values():
        for usd in costs:
            run.feed(at(1, usd))
        run.finish()
        assert sum(one.ran.count + one.refused.count for one in run.windows) == len(costs)
    over = {rule: sum(one.over_nusd for one in run.windows) for rule, run in runs.items()}

    assert over["strict"] == 0
    assert over["default"] < max(map(nusd, costs), default=1)
    assert size > 1 or over["default"] == over["no_hold"]


def test_crowd_starts_anew() -> None:
    """
    What waits at the end of a window still runs in it, and the next begins with nothing.
    """
    run = Crowd(CAP, 4, "default")
    run.feed(at(30, "15"))
    run.feed(at(31, "15"))
    run.finish()

    assert [one.ran.nusd for one in run.windows] == [15 * USD, 15 * USD]
