"""
The gate: it allows or forbids all edits, and gives the reason.

Rule of this file: the gate controls edits only. A budget never depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FLAG = "llm-gateway-cost-controls"
ENV = "COST_CONTROLS_ENABLED"
DEBUG_ENV = "LLM_GATEWAY_DEBUG"


@dataclass(frozen=True, slots=True)
class GateState:
    """
    Whether edits are allowed.
    """

    on: bool
    why: str
    """The reason in a sentence. It is printed with every request."""


UNJUDGED = GateState(on=False, why="not judged")
"""The state of a request that was refused before the gate was checked."""


@dataclass(frozen=True, slots=True)
class GateWarning:
    """
    A problem with the environment variable that the user should learn at start. `event` is a constant to search for.
    """

    event: str
    text: str


def gate(flags: Mapping[str, str] | None, env_value: str | None, *, debug: bool, save: bool = False) -> GateState:
    """
    Decide whether the edits of one request are allowed.

    The variable and the flag are trimmed and lower-cased, and must be exactly `true`.

    Args:
        flags: the flags of the request.
        env_value: the current value of `COST_CONTROLS_ENABLED`; None if it is not set. It counts in debug mode only,
            and then wins over the flag.
        debug: whether the process runs in debug mode.
        save: whether the process runs with `--save`, which overrides the variable. It counts in debug mode only.
    """
    if save and debug:
        return GateState(on=True, why="--save")
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
    The flags that count where PostHog evaluates the gate's flag. A caller cannot turn on what PostHog did not give
    them, except in debug mode.

    Args:
        said: the flags in the caller's headers.
        evaluated: PostHog's value of the gate's flag.
        debug: whether the process runs in debug mode.
    """
    return said if debug and FLAG in said else {**said, FLAG: evaluated}


def gate_warning(env_value: str | None, *, debug: bool, save: bool = False) -> GateWarning | None:
    """
    What to say about the override at start: that it is active, or that it is ignored and why; None if there is nothing
    to say.

    Args:
        env_value: the value of `COST_CONTROLS_ENABLED`; None if it is not set.
        debug: whether the process runs in debug mode.
        save: whether it runs with `--save`.
    """
    state = gate(None, env_value, debug=debug, save=save)
    if state.on:
        name = "--save" if save else f"{ENV}=true with --debug"
        return GateWarning(
            "cost_controls_dev_override_active", f"{name}: every request may be edited, whatever its flag says"
        )
    if save:
        text = "--save has no effect because something turns debug mode off: edits follow the flag of each request"
        return GateWarning("cost_controls_dev_override_ignored", text)
    if env_value is None:
        return None
    if _is_true(env_value):
        text = f"{ENV}=true has no effect without --debug: edits follow the flag {FLAG} of each request"
    else:
        text = f"{ENV} is set, but only the value true switches it on: edits follow the flag {FLAG} of each request"
    return GateWarning("cost_controls_dev_override_ignored", text)


def _is_true(value: str | None) -> bool:
    return value is not None and value.strip().lower() == "true"
