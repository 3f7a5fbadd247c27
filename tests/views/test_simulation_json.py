"""
Simulations for machines; the command's tests have most of the figures.
"""

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.simulation import trial
from savemode_cli.core.budget.window import Window
from savemode_cli.views.simulation_json import resolved_for, simulated_trace_json, trial_json, window_row
from tests.views.test_simulation import NOW, USD, WISH, simulated_trace


def test_every_window_is_a_row() -> None:
    """
    JSON and CSV have all windows, however many the text lists.
    """
    done = simulated_trace(Budget("b", USD, Window("day"), "Asia/Tokyo"), 30, 2 * USD, crowd=2)

    assert len(simulated_trace_json(done)["windows"]) == 30
    assert window_row(done, 29)["default_over_nusd"] == USD


def test_one_spend() -> None:
    """
    The advised mode runs the cheaper model, and an unknown spend has no advice.
    """
    spent = trial(Budget("b", 20 * USD), 19 * USD, NOW)
    unknown = trial(Budget("b", 20 * USD), None, NOW)

    assert trial_json(spent, WISH)["spend_nusd"] == 19 * USD
    resolved = resolved_for(spent, WISH)
    assert resolved is not None
    assert resolved.model == WISH.max_save.runs
    assert resolved_for(unknown, WISH) is None
    assert trial_json(unknown, WISH)["spend_nusd"] is None
