"""
Steps as lists of texts, and what a server answers.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance, Hold, Refused
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import Reserve, Settle
from savemode_cli.core.budget.personal import Allowance
from savemode_cli.ledgers.remote.encoding import balance_of, decision_of, is_listed, leaving, planned, step_arguments
from savemode_cli.ledgers.remote.texts import Terms, microseconds

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMIT = limit_of(Budget("b", 100, strict=True), "", NOW)
RESERVE = Reserve(Hold("h", (LIMIT.key,), 2**53 - 1, NOW), [LIMIT], NOW)


def test_amounts_are_texts() -> None:
    """
    None is a number that a server could round.
    """
    plan = planned(RESERVE, Terms(""))
    arguments = step_arguments([Settle("s", 2**53 - 1, "reported", NOW)], {LIMIT.key: NOW}, [plan])

    assert {type(one) for one in arguments} == {str}
    assert arguments.count(str(2**53 - 1)) == 2
    assert str(100 - (2**53 - 1)) in arguments


@pytest.mark.parametrize(
    ("which", "members", "balance"), [("expired", ["4:a"], (7, 4, 6)), ("held", ["4:a"], (7, 6, 4))]
)
def test_smaller_part_of_the_holds_gives_the_other(which: str, members: list[str], balance: tuple[int, ...]) -> None:
    """
    Ten are held, and seven settled.
    """
    answer = ["7", "10", which, members, [], [], "2"]

    assert balance_of("b/none/all", answer) == Balance(*balance)
    assert is_listed(answer)
    assert not is_listed(["", "0", "expired", [], [], [], "0"])


def test_server_that_judges_otherwise_is_a_fault() -> None:
    """
    Never silent: it would be a cap that does not hold.
    """
    plan = planned(RESERVE, Terms(""))
    standing = ["", "0", "expired", [], [], [], "0", []]

    assert isinstance(decision_of(plan, ["0", [standing]]), Refused)
    with pytest.raises(RuntimeError, match="another rule"):
        decision_of(plan, ["1", [standing]])


def test_what_is_lifted_has_no_threshold() -> None:
    """
    And the hold says so.
    """
    plan = planned(RESERVE, Terms("", allowances=(Allowance(NOW + timedelta(hours=1), "b"),)))

    assert plan.most_used == (None,)
    assert plan.kept.override
    decision = decision_of(plan, ["1", [["900", "0", "expired", [], [], [], "0", []]]])
    assert isinstance(decision, Allowed)
    assert decision.status == "override"


@pytest.mark.parametrize("time", [microseconds(NOW), str(microseconds(NOW)), float(microseconds(NOW))])
def test_charges_leave_a_window_in_time(time: str | float) -> None:
    """
    However a server writes a score.
    """
    assert leaving("b/rolling:5h/all", ["12:a", time]) == [(NOW + timedelta(hours=5), 12)]
