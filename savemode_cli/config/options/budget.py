"""
Options: what may be spent, where spend is counted, and what it costs.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from savemode_cli.config import values
from savemode_cli.config.option import option
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.choices import (
    ACTIONS,
    FAILS,
    REFUSAL_CHOICES,
    UNKNOWNS,
    Action,
    Fail,
    RefusalChoice,
    Unknown,
)
from savemode_cli.core.budget.scales import ENGAGE_AT, WARN_AT
from savemode_cli.core.budget.scopes import ALL, SCOPES
from savemode_cli.core.budget.window import MONTH, Window

_PROXIES = ("serve", "run")
_LEDGER_COMMANDS = tuple(
    f"budget {name}" for name in ("show", "set", "drop", "allow", "forecast", "suggest", "release")
)
_SIMULATION = (*_PROXIES, "simulate-budget")


@dataclass(frozen=True, kw_only=True)
class BudgetOptions:
    """
    The options `budget` to `budget_unknown`, and `strict`, describe the budget named "default".
    """

    budget_nusd: int | None = option(
        None,
        values.usd,
        name="budget",
        metavar="USD",
        help="Refuse new requests once this much is spent.",
        doc="The limit of the budget named default, in US dollars. 0 counts and limits nothing.",
        other_help={
            "simulate-budget": "The limit in US dollars.  [default: the one configured, or that of the ledger]"
        },
        commands=_SIMULATION,
        risk="spends",
        effect="the limit of the budget named default, in place of yours",
    )
    budget_window: Window = option(
        MONTH,
        values.window,
        metavar="WINDOW",
        shown_default="month",
        suggestions=("month", "week", "day", "month:15", "5h", "24h", "7d", "30d", "none"),
        help="How long a cost counts: month, week, day, month:N (from day N on), a rolling 5h or 7d, or none (for good).",
        commands=_SIMULATION,
        risk="spends",
        effect="how long a budget lasts before it begins again",
    )
    budget_zone: str = option(
        "UTC",
        values.zone,
        metavar="ZONE",
        help="The time zone in which the budget begins again, such as Europe/Berlin.",
        commands=("simulate-budget",),
        risk="spends",
        effect="the time zone in which a budget begins again",
    )
    budget_scope: str = option(
        ALL,
        values.scope,
        help=f"Who shares the budget: {', '.join(SCOPES)} or header:NAME.",
        risk="spends",
        effect="who shares a budget",
    )
    strict: bool = option(
        default=False,
        decl="--strict/--no-strict",
        help="Never exceed the limit: hold the most that a request can cost.",
        commands=_SIMULATION,
        risk="spends",
        effect="whether the last request may exceed a limit",
    )
    budget_allow_override: bool = option(
        default=True,
        help="Whether the header x-posthog-budget-override of a request lifts the limit.",
        risk="spends",
        effect="whether a header of a request lifts a limit",
    )
    budget_refusal_hint: str = option(
        "",
        values.hint,
        help="What a refusal advises instead of commands, such as: ask Maria.",
        risk="spends",
        effect="what a refusal tells your clients to do",
    )
    budget_unknown: Unknown = option(
        "share",
        choices=UNKNOWNS,
        help="What happens to requests that do not say who they are: they share one budget, or are refused.",
        risk="spends",
        effect="what happens to requests that do not say who they are",
    )
    budget_action: Action = option(
        "refuse",
        choices=ACTIONS,
        help="What happens past the limit: requests are refused, or they start and the answer warns.",
        risk="spends",
        effect="whether requests past a limit are refused",
    )
    run_budget_nusd: int | None = option(
        None,
        values.usd,
        name="run_budget",
        metavar="USD",
        help="Refuse new requests once this run has spent so much; it never resets.",
        doc="The limit of the budget named run, in US dollars: what one `savemode run` or one `savemode serve` may spend.",
        commands=_PROXIES,
        risk="spends",
        effect="how much a single run may spend",
    )
    warn_at: Decimal = option(
        WARN_AT,
        values.fraction,
        metavar="FRACTION",
        help="The share of the budget from which clients are told to save.",
        commands=("simulate-budget",),
        risk="spends",
        effect="when clients are told to save",
    )
    engage_at: Decimal = option(
        ENGAGE_AT,
        values.fraction,
        metavar="FRACTION",
        help="The share of the budget from which clients are told to save as much as they can.",
        commands=("simulate-budget",),
        risk="spends",
        effect="when clients are told to save as much as they can",
    )
    fail: Fail | None = option(
        None,
        choices=FAILS,
        shown_default="open; closed under a strict budget",
        help="If the ledger does not answer, let requests pass (open) or refuse them (closed).",
        commands=_SIMULATION,
        risk="spends",
        effect="whether requests pass when the ledger cannot be used",
    )
    refusal: RefusalChoice = option(
        "auto",
        values.refusal,
        choices=REFUSAL_CHOICES,
        metavar="STATUS",
        help="Status of a refusal past the limit: 429, 402, or auto: 429 for clients known to obey x-should-retry, "
        "402 for others.",
        commands=_PROXIES,
        risk="spends",
        effect="with which status requests past a limit are refused",
    )
    allow_uncounted: bool = option(
        default=False,
        help="Past the limit too, let requests pass that cost money and are not counted.",
        commands=_PROXIES,
        risk="spends",
        effect="whether requests that cost money and are not counted pass a limit that is reached",
    )
    ledger: str | None = option(
        None,
        values.text,
        metavar="URL",
        shown_default="a file in your data folder",
        suggestions=("memory:",),
        help="Where spend is kept, such as sqlite:///ledger.db or redis://HOST:6379/0.",
        commands=(*_PROXIES, "doctor", *_LEDGER_COMMANDS, "report", "tokens list", "simulate-budget"),
        other_help={
            "report": "Report the charges in this ledger, and read no files.",
            "simulate-budget": "Where the budget is kept that is simulated without --budget.",
        },
        risk="spends",
        effect="spend is kept there and not in your ledger, where your limits are",
    )
    ledger_password: str | None = option(
        None,
        values.password,
        secret=True,
        help="The password for the server of the ledger.",
        risk="spends",
        effect="the ledger's server is asked with this password",
    )
    ledger_password_file: Path | None = option(
        None,
        values.path,
        metavar="FILE",
        help="A file with the password for the server of the ledger. The option ledger_password counts more.",
        risk="reveals",
        effect="what is in this file is sent to the ledger's server as a password",
    )
    price_file: Path | None = option(
        None,
        values.path,
        metavar="FILE",
        help="Prices of your own, TOML or JSON, which replace those of the price list.",
        commands=(
            *_SIMULATION,
            "doctor",
            "prices",
            "replay",
            "report",
            "why",
            "auto learn",
            "budget forecast",
            "budget suggest",
        ),
        risk="spends",
        effect="these prices decide what a request costs, and so when a limit is reached",
    )
    further_budgets: tuple[Budget, ...] = option(
        (),
        values.table,
        name="budgets",
        help='Further budgets: `[budgets.NAME]` with `limit_usd = "50"` and the terms of the budget.',
        risk="spends",
        effect="limits, each in place of yours of the same name",
    )
