"""
The gate: every case of the table, and what is said about it.
"""

from typing import Any

import pytest

from savemode_cli.core.upgrade.gate import FLAG, flags_in_force, gate, gate_warning
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
    The reason names what decided, also if a variable is ignored.
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
    A variable that is set is always reported: as active, or as ignored.
    """
    warning = gate_warning(env, debug=debug)

    assert event == (None if warning is None else warning.event)


def test_warning_does_not_repeat_the_value() -> None:
    """
    A value that is not `true` may be anything, such as a secret that was pasted into the wrong variable.
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
    A caller cannot turn on a feature. The other flags of the caller are not changed.
    """
    flags = flags_in_force({**said, "other": "x"}, evaluated, debug=debug)

    assert flags == {FLAG: expected, "other": "x"}


@pytest.mark.parametrize("env", [None, "", "false", "true"])
def test_save(env: str | None) -> None:
    """
    `--save` overrides the variable, whatever it holds, and opens nothing outside debug mode.
    """
    state = gate({FLAG: "false"}, env, debug=True, save=True)
    warning = gate_warning(env, debug=True, save=True)

    assert (state.on, state.why) == (True, "--save")
    assert warning is not None
    assert warning.event == "cost_controls_dev_override_active"
    assert warning.text.startswith("--save: ")
    assert not gate({}, env, debug=False, save=True).on
    ignored = gate_warning(env, debug=False, save=True)
    assert ignored is not None
    assert ignored.event == "cost_controls_dev_override_ignored"
