"""
Simulations on 80 columns; the commands' tests have most of the figures.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.budget import Budget, Window
from savemode_cli.core.rehearsal import Crowd, Rehearsal, Request, telling_spends, trial
from savemode_cli.core.tiers import MOST_NUSD
from savemode_cli.views.simulation import (
    Rehearsed,
    Wish,
    rehearsed_json,
    show_rehearsed,
    show_table,
    show_trial,
    window_row,
)
from tests.views.drawn import drawn

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WISH = Wish("claude-opus-5-5", "xhigh")


def rehearsed(budget: Budget, days: int, nusd: int, *, crowd: int | None = None, late: int = 0) -> Rehearsed:
    """
    One request a day.
    """
    run = Rehearsal(budget)
    crowds = [] if crowd is None else [Crowd(budget, crowd, "default")]
    for day in range(days):
        request = Request(NOW + timedelta(days=day), nusd)
        run.feed(request)
        for one in crowds:
            one.feed(request)
            one.finish()
    windows = [("default", one.windows) for one in crowds]
    return Rehearsed("t.jsonl", budget, run.windows, late, 0, [], crowd, windows)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [-1, 0, 1, 30_000_000, 20 * USD, MOST_NUSD])
@pytest.mark.parametrize("strict", [True, False])
def test_every_spend_fits(limit: int, strict: bool) -> None:
    """
    From a nano-dollar to nine million: 80 columns.
    """
    budget = Budget("default", limit, strict=strict)
    trials = [trial(budget, spend, NOW) for spend in telling_spends(budget)]
    drawn(show_table, trials, WISH)
    for one in trials:
        assert drawn(show_trial, one, Wish("m" * 200, None))


def test_windows_listed_and_drawn() -> None:
    """
    Of thirty days the last 24 are listed, and three drawn.
    """
    done = rehearsed(Budget("b", USD, Window("day"), "Asia/Tokyo"), 30, 2 * USD, crowd=2)
    text = drawn(show_rehearsed, done)

    assert text.count("window from 2026") == 3
    assert "drawn: 3 of 30 windows, the dearest; --json has all" in text
    assert "only the last 24 of 30 windows are listed; --json and --csv have all" in text
    assert len(rehearsed_json(done)["windows"]) == 30
    assert window_row(done, 29)["default_over_nusd"] == USD


def test_nothing_reached() -> None:
    """
    A trace far below the cap: the tiers say so, nothing is refused.
    """
    text = drawn(show_rehearsed, rehearsed(Budget("b", 20 * USD), 2, USD, late=2))

    assert text.count("not reached") == 3
    assert "refused 0" not in text
    assert text.splitlines()[-1] == "2 requests out of order, taken as if at the time of the one before"
