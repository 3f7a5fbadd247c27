"""
The gate: every case of the table, and what is said about it.
"""

from typing import Any

import pytest

from savemode_cli.core.gate import FLAG, flags_in_force, gate, gate_warning
from tests.cases import cases


@pytest.mark.parametrize("case", cases("gate"))
def test_case(case: dict[str, Any]) -> None:
    """
    The gate opens for exactly the flags, variable and debug switch of the table.
    """
    state = gate(case["flags"], case["env"], debug=case["debug"])

    assert case["on"] == state.on
    assert state.why


@pytest.mark.parametrize(
    ("flags", "env", "debug", "why"),
    [
        ({}, "true", True, "COST_CONTROLS_ENABLED=true in debug"),
        ({}, "true", False, "COST_CONTROLS_ENABLED=true is ignored without --debug"),
        ({"llm-gateway-cost-controls": "true"}, None, False, "flag llm-gateway-cost-controls is true"),
        ({"llm-gateway-cost-controls": "no"}, None, False, "flag llm-gateway-cost-controls is not true"),
        ({}, None, False, "no flag llm-gateway-cost-controls"),
    ],
)
def test_reason(flags: dict[str, str], env: str | None, debug: bool, why: str) -> None:
    """
    The reason names what decided, so that an ignored variable is said and not guessed.
    """
    assert why == gate(flags, env, debug=debug).why


@pytest.mark.parametrize(
    ("env", "debug", "event"),
    [
        (None, True, None),
        (None, False, None),
        ("true", True, "cost_controls_dev_override_active"),
        (" TRUE", True, "cost_controls_dev_override_active"),
        ("true", False, "cost_controls_dev_override_ignored"),
        ("1", True, "cost_controls_dev_override_ignored"),
        ("", True, "cost_controls_dev_override_ignored"),
        ("yes", False, "cost_controls_dev_override_ignored"),
    ],
)
def test_warning(env: str | None, debug: bool, event: str | None) -> None:
    """
    A variable that is set is always commented on: active, or ignored.
    """
    warning = gate_warning(env, debug=debug)

    assert event == (None if warning is None else warning.event)


def test_warning_does_not_repeat_the_value() -> None:
    """
    A value that is not `true` may be anything, a secret pasted into the wrong variable included.
    """
    warning = gate_warning("sk-ant-api-secret", debug=True)

    assert warning is not None
    assert "secret" not in warning.text


@pytest.mark.parametrize(
    ("said", "evaluated", "debug", "expected"),
    [
        ({}, "true", False, "true"),
        ({FLAG: "true"}, "false", False, "false"),
        ({FLAG: "false"}, "true", False, "true"),
        ({FLAG: "true"}, "false", True, "true"),
        ({}, "true", True, "true"),
    ],
)
def test_where_posthog_evaluates_a_header_counts_in_debug_only(
    said: dict[str, str], evaluated: str, debug: bool, expected: str
) -> None:
    """
    A caller must not switch features on for himself; his other flags are his to report.
    """
    flags = flags_in_force({**said, "other": "x"}, evaluated, debug=debug)

    assert flags == {FLAG: expected, "other": "x"}
