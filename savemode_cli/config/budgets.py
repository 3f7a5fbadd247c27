"""
The budgets of the tables `[budgets.NAME]` of config files, and the checks of several budget options together.

Rule of this file: it reads options that were merged already. Its errors name the place where each value was written.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from savemode_cli.config import values
from savemode_cli.core.budget.budget import DEFAULT_BUDGET, RUN_BUDGET, Budget
from savemode_cli.core.budget.choices import ACTIONS, UNKNOWNS
from savemode_cli.core.budget.personal import check_who
from savemode_cli.core.budget.scales import ENGAGE_AT, WARN_AT
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.wire.access_tokens import AccessTokens

_CHECKS: dict[str, Callable[[object], Any]] = {
    "window": values.window,
    "zone": values.zone,
    "scope": values.scope,
    "strict": values.boolean,
    "allow_override": values.boolean,
    "refusal_hint": values.hint,
    "unknown": values.one_of(*UNKNOWNS),
    "action": values.one_of(*ACTIONS),
}
_KEYS = ("limit_usd", *_CHECKS, "limits_usd")


PLAIN_BUDGETS = {DEFAULT_BUDGET: "budget", RUN_BUDGET: "run_budget"}
"""The budgets that have an option of their own for their limit, by name."""


def set_at_us(source: str) -> int:
    """
    When a source was set, in microseconds since 1970.

    A file is set when it is changed. A flag and a variable are set when the process starts, which is now. A file whose time is
    in the future counts as set now.
    """
    now = time.time_ns() // 1000
    if source in ("flag", "environment"):
        return now
    try:
        return min(now, Path(source).stat().st_mtime_ns // 1000)
    except OSError:
        return now


def check_fractions(merged: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """
    Check that `warn_at` is not above `engage_at`. The two can come from different sources.

    Raises:
        ConfigError: it is.
    """
    warn_at, engage_at = merged.get("warn_at", WARN_AT), merged.get("engage_at", ENGAGE_AT)
    if warn_at > engage_at:
        place = places.get("warn_at") or places["engage_at"]
        raise ConfigError(f"{place}: warn_at {warn_at} is above engage_at {engage_at}", hint="give both, in order")


def check_action(merged: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """
    The budget of the plain options does not both refuse at its limit and only warn; each may come from another source.

    Raises:
        ConfigError: it does.
    """
    if merged.get("strict") and merged.get("budget_action") == "warn":
        raise ConfigError(
            f"{places['budget_action']}: budget_action is warn, and {places['strict']} makes the budget strict",
            hint="a strict budget refuses what could cross its limit; leave out one of them",
        )


def further_budgets(
    merged: Mapping[str, Any],
    places: Mapping[str, str],
    tables: Sequence[tuple[str, Mapping[str, Any]]],
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Budget, ...]:
    """
    The budgets of the tables, sorted by name. If two sources have a table of the same name, the whole table of the nearer
    source counts.

    Args:
        merged: the options of all sources, checked.
        places: where each of them was written, for errors.
        tables: each source and its tables by name, the nearest first.
        renamed: the place of a budget in its file, if that is not the table of its name, for errors.

    Raises:
        ConfigError: a table does not describe a budget, or there are two budgets of the same name.
    """
    found: dict[str, Budget] = {}
    fractions = {name: merged[name] for name in ("warn_at", "engage_at") if name in merged}
    for source, rows in reversed(tables):
        for name, row in rows.items():
            place = f"{source}: {renamed.get(name, f'budgets.{name}')}"
            plain = PLAIN_BUDGETS.get(name)
            if plain is not None and plain in places:
                raise ConfigError(
                    f"{place} and {places[plain]} are both the budget {name}", hint="leave out one, or rename it"
                )
            found[name] = _budget(place, name, row, {**fractions, "set_at_us": set_at_us(source), "source": place})
    return tuple(found[name] for name in sorted(found))


def _budget(place: str, name: str, row: object, more: Mapping[str, Any]) -> Budget:
    if not isinstance(row, dict) or "limit_usd" not in row:
        raise ConfigError(f"{place} has no limit_usd", hint='add one, such as limit_usd = "20"')
    unknown = sorted(set(row) - set(_KEYS))
    if unknown:
        raise ConfigError(f"{place}.{unknown[0]}: there is no such option", hint=f"options: {', '.join(_KEYS)}")
    limit_nusd = values.asked(f"{place}.limit_usd", values.usd, row["limit_usd"])
    given = {key: values.asked(f"{place}.{key}", check, row[key]) for key, check in _CHECKS.items() if key in row}
    limits = _limits(f"{place}.limits_usd", row.get("limits_usd", {}))
    try:
        return Budget(name, limit_nusd, **given, **more, limits=limits)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.message}", hint=error.hint) from None


def _limits(place: str, table: object) -> tuple[tuple[str, int], ...]:
    """
    The limits of single people: `{ alice = "80" }`.
    """
    rows = values.asked(place, values.table, table)
    try:
        return tuple(
            (check_who(who), values.asked(f"{place}.{who}", values.usd, amount)) for who, amount in sorted(rows.items())
        )
    except ConfigError as error:
        message = error.message if error.message.startswith(place) else f"{place}: {error.message}"
        raise ConfigError(message, hint=error.hint) from None


def check_token_scopes(budgets: Sequence[Budget], tokens: AccessTokens) -> None:
    """
    Check that somebody has an access token where a budget counts by access token. Otherwise all would share it.

    Raises:
        ConfigError: nobody has one.
    """
    for budget in budgets if not tokens else ():
        if budget.scope == "token":
            place = budget.source or f"budget {budget.name}"
            hint = "make one: savemode tokens add NAME; or choose another scope"
            raise ConfigError(f'{place} has the scope "token", and nobody has an access token', hint=hint)
