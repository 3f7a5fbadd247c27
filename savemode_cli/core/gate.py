"""
The switch of the cost controls, with its reason.

Rule of this file: the gate turns *edits* on and off and nothing else; a budget never asks it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FLAG = "llm-gateway-cost-controls"
ENV = "COST_CONTROLS_ENABLED"
DEBUG_ENV = "LLM_GATEWAY_DEBUG"


@dataclass(frozen=True, slots=True)
class GateState:
    """
    Whether edits are allowed, and the sentence that says why: it is printed with every request.
    """

    on: bool
    why: str


@dataclass(frozen=True, slots=True)
class GateWarning:
    """
    Something about the environment switch that a person should hear at start. `event` is a constant to grep for.
    """

    event: str
    text: str


def gate(flags: Mapping[str, str] | None, env_value: str | None, *, debug: bool) -> GateState:
    """
    Decide for one request.

    `env_value` is what `COST_CONTROLS_ENABLED` holds now (None: unset); it counts in debug only, and then wins over
    the flag. Both are trimmed and lower-cased and must be exactly `true`.
    """
    if _is_true(env_value) and debug:
        return GateState(on=True, why=f"{ENV}=true in debug")
    flag = (flags or {}).get(FLAG)
    if _is_true(flag):
        return GateState(on=True, why=f"flag {FLAG} is true")
    if _is_true(env_value):
        return GateState(on=False, why=f"{ENV}=true is ignored without --debug")
    if flag is not None:
        return GateState(on=False, why=f"flag {FLAG} is not true")
    return GateState(on=False, why=f"no flag {FLAG}")


def flags_in_force(said: Mapping[str, str], evaluated: str, *, debug: bool) -> Mapping[str, str]:
    """
    The flags that count where PostHog evaluates: a caller must not switch on what he was not given, but for debugging.

    `said` are those of the caller's headers, `evaluated` is PostHog's value of the gate's flag.
    """
    return said if debug and FLAG in said else {**said, FLAG: evaluated}


def gate_warning(env_value: str | None, *, debug: bool) -> GateWarning | None:
    """
    What to say about the environment switch at start: that it is active, that it is ignored and why, or nothing.
    """
    state = gate(None, env_value, debug=debug)
    if state.on:
        return GateWarning(
            "cost_controls_dev_override_active",
            f"{ENV}=true: cost controls are on for every request, whatever its flag says (debug only)",
        )
    if env_value is None:
        return None
    if _is_true(env_value):
        text = f"{ENV}=true has no effect without --debug: edits follow the flag {FLAG} of each request"
    else:
        text = f"{ENV} is set, but only the value true switches it on: edits follow the flag {FLAG} of each request"
    return GateWarning("cost_controls_dev_override_ignored", text)


def _is_true(value: str | None) -> bool:
    return value is not None and value.strip().lower() == "true"
