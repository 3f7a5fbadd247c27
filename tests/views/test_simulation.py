"""
Simulations on 80 columns; the commands' tests have most of the figures.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.cheaper import MaxSave
from savemode_cli.core.budget.crowd import Crowd
from savemode_cli.core.budget.simulation import TraceSimulation, telling_spends, trial
from savemode_cli.core.budget.trace import Request
from savemode_cli.core.budget.window import Window
from savemode_cli.core.money.amounts import MOST_NUSD
from savemode_cli.views.max_save import Wish
from savemode_cli.views.simulation import show_simulated_trace, show_table, show_trial
from savemode_cli.views.simulation_json import SimulatedTrace, simulated_trace_json
from tests.support.drawn import drawn

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CHOSEN = MaxSave("claude-opus-5-5", "claude-sonnet-5-5", "cheaper", 4 * USD, USD, "claude-haiku-5-5", 1)
WISH = Wish("claude-opus-5-5", "xhigh", CHOSEN, "this session", 12)


def simulated_trace(budget: Budget, days: int, nusd: int, *, crowd: int | None = None, late: int = 0) -> SimulatedTrace:
    """
    One request a day.
    """
    run = TraceSimulation(budget)
    crowds = [] if crowd is None else [Crowd(budget, crowd, "default")]
    for day in range(days):
        request = Request(NOW + timedelta(days=day), nusd)
        run.feed(request)
        for one in crowds:
            one.feed(request)
            one.finish()
    windows = [("default", one.windows) for one in crowds]
    return SimulatedTrace("t.jsonl", budget, run.windows, late, 0, [], crowd, windows)  # type: ignore[arg-type]


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
        assert drawn(show_trial, one, replace(WISH, model="m" * 200, effort=None, tokens_of="f" * 100))


def test_the_body_of_a_refusal_is_json() -> None:
    """
    It is printed as it can be copied: no line of it is wrapped, however long the message is.
    """
    text = drawn(show_trial, trial(Budget("b", USD), 2 * USD, NOW), WISH)
    body = json.loads(text[text.index("\n{\n") :])

    assert body["error"]["message"].startswith("out of budget: ")


def test_what_would_have_been_cheaper() -> None:
    """
    Stands below a trace that tells of tokens, and in its JSON.
    """
    done = simulated_trace(Budget("default", USD), 2, 10)
    told = replace(done, wish=WISH)

    assert "max_save runs claude-sonnet-5-5\n  saves 75.0 %: $1.0000 instead of $4.0000" in drawn(
        show_simulated_trace, told
    )
    assert simulated_trace_json(told)["max_save"]["saving_nusd"] == 3 * USD
    assert "max_save" not in drawn(show_simulated_trace, done)
    assert simulated_trace_json(done)["max_save"] is None


def test_windows_listed_and_drawn() -> None:
    """
    Of thirty days the last 24 are listed, and three drawn.
    """
    done = simulated_trace(Budget("b", USD, Window("day"), "Asia/Tokyo"), 30, 2 * USD, crowd=2)
    text = drawn(show_simulated_trace, done)

    assert text.count("window from 2026") == 3
    assert "charts of the 3 most expensive of 30 windows; --json has all of them" in text
    assert "only the last 24 of 30 windows are listed; --json and --csv have all" in text


def test_nothing_reached() -> None:
    """
    A trace far below the cap: the tiers say so, nothing is refused.
    """
    text = drawn(show_simulated_trace, simulated_trace(Budget("b", 20 * USD), 2, USD, late=2))

    assert text.count("not reached") == 3
    assert "refused 0" not in text
    assert text.splitlines()[-1] == "2 requests out of order, counted at the time of the request before"
