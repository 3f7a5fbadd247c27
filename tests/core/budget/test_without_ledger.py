"""
Whether a request may start while the ledger does not answer.
"""

from typing import Any

import pytest

from savemode_cli.core.budget.admission import Allowed, Refused
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.without_ledger import decide_from_memory, fail_for, unaccounted
from tests.core.budget.test_admission import HOLD, headers_of, standing
from tests.support.values import replace


@pytest.mark.parametrize(
    ("limit", "override", "fail", "status", "allowed"),
    [
        (20, False, "open", "unknown", True),
        (20, False, "closed", "unknown", False),
        (20, True, "closed", "override", True),
        (0, False, "closed", None, True),
    ],
)
def test_without_a_ledger(limit: int, override: bool, fail: Any, status: str | None, allowed: bool) -> None:
    """
    The guard's first rows: override, no budget, unknown; nothing is held that would have to be settled.
    """
    decision = unaccounted([standing(0, limit=limit).limit], override=override, fail=fail)

    assert (status, allowed) == (decision.status, isinstance(decision, Allowed))
    assert headers_of(decision) == ({} if status is None else {"": status})


@pytest.mark.parametrize(
    ("where", "override", "fail", "outcome"),
    [
        ({"spent": 19}, False, "open", "unknown"),
        ({"spent": 20}, False, "open", "spent"),
        ({"spent": 0, "held": 20}, False, "open", "held"),
        ({"spent": 19, "strict": True}, False, "open", "ask"),
        ({"spent": 20}, True, "open", "override"),
        ({"spent": 20}, True, "closed", "override"),
        ({"spent": 0}, False, "closed", "unknown refused"),
        ({"spent": 20, "limit": 0}, False, "open", None),
        ({"spent": 20, "limit": 0}, False, "closed", None),
    ],
)
def test_from_memory(where: dict[str, Any], override: bool, fail: Any, outcome: str | None) -> None:
    """
    What is known to be spent refuses requests, also with `open`. An allowed request has its hold.
    """
    decision = decide_from_memory(HOLD, [standing(**where)], override=override, fail=fail)

    if isinstance(decision, Refused):
        assert outcome in (decision.reason, f"{decision.reason} refused")
    else:
        assert (decision.status, decision.standings) == (outcome, ())
        assert decision.hold == replace(HOLD, override=override and outcome is not None)


def test_one_cap_of_several_refuses_from_memory() -> None:
    """
    All limits must allow it. A budget without a limit is not checked.
    """
    standings = [standing(0, name="a"), standing(99, limit=0, name="b"), standing(20, name="c")]
    decision = decide_from_memory(HOLD, standings, override=False, fail="open")

    assert isinstance(decision, Refused)
    assert decision.standing == standings[2]


@pytest.mark.parametrize(
    ("budgets", "chosen", "fail"),
    [
        ([], None, "open"),
        ([Budget("a", 1)], None, "open"),
        ([Budget("a", 1), Budget("b", 1, strict=True)], None, "closed"),
        ([Budget("a", 0, strict=True)], None, "open"),
        ([Budget("a", 1, strict=True)], "open", "open"),
        ([Budget("a", 1)], "closed", "closed"),
    ],
)
def test_strict_fails_closed(budgets: list[Budget], chosen: Any, fail: str) -> None:
    """
    The user's choice wins. A budget without a limit decides nothing.
    """
    assert fail_for(budgets, chosen) == fail
