"""
What a person configured: flags, files and environment, merged into one `Settings`.

Rule of this folder: it is the only reader of options in environment variables and config files. The table of options is in
`options/`, what a value may be in `values`, and the order of the sources in `loading`. The variables that describe the
network are read in `savemode_cli/network.py`.

A config file is TOML with the names of the options (`ttl_policy = "always"`), a `[products]` table
(`ide = { idle_prone = true }`) and an `[aliases]` table (`editor = "ide"`) that add to the built-in ones.

The options `budget`, `budget_window`, `budget_zone`, `budget_scope`, `budget_allow_override`, `budget_refusal_hint`,
`budget_unknown`, `budget_action` and `strict` describe the budget named "default". Further ones have a table each:

    [budgets.team]
    limit_usd = "50"       # US dollars
    window = "week"        # optional; month, week, day or month:N
    zone = "Europe/Berlin" # optional; UTC
    scope = "team"         # optional; all
    strict = true          # optional; false
    allow_override = false # optional; true: the header x-posthog-budget-override lifts it
    refusal_hint = "..."   # optional; what a refusal advises instead of commands
    unknown = "refuse"     # optional; share: requests that do not say who they are share one budget
    action = "warn"        # optional; refuse: requests past the limit are refused
    limits_usd = { a = 9 } # optional; the limits of single people
"""

from savemode_cli.config.environment import (
    BASE_URL,
    CLIENT_VARIABLES,
    client_variables,
    override_value,
    shown_url,
    variables,
    with_base_url,
)
from savemode_cli.config.folders import user_captures
from savemode_cli.config.loading import check_table, load
from savemode_cli.config.options import OPTIONS
from savemode_cli.config.options.address import DEFAULT_UPSTREAM
from savemode_cli.config.settings import Settings

__all__ = [
    "BASE_URL",
    "CLIENT_VARIABLES",
    "DEFAULT_UPSTREAM",
    "OPTIONS",
    "Settings",
    "check_table",
    "client_variables",
    "load",
    "override_value",
    "shown_url",
    "user_captures",
    "variables",
    "with_base_url",
]
