"""
`savemode budget forecast` and `savemode budget suggest`: how fast money is spent, and which limits fit.

Rule of this file: it reads what was spent, from the ledger or from files that are named, and the core says what follows.
"""

import shlex
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.budget import AsJson, Who
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.opened_ledger import open_configured
from savemode_cli.cli.progress import progress
from savemode_cli.cli.screen import echo, echo_json, say, width_of
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.budget import Limit
    from savemode_cli.core.budget.forecast import Charges
    from savemode_cli.core.budget.ledger import Charge, Ledger

From = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="PATH", help="Transcripts or captures, in place of the ledger; may be repeated."),
]

_WINDOWS = ("day", "week", "month")


def forecast(
    flags: Flags,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The budget.  [default: default]")] = None,
    who: Who = None,
    limit: Annotated[str | None, typer.Option(metavar="USD", help="Another limit, to try it.")] = None,
    paths: From = None,
    as_json: AsJson = False,
) -> None:
    """
    Show the pace of spend and when a budget is reached, with 80 % intervals.
    """
    from savemode_cli.core.budget.forecast import forecast_of, spent_in_window
    from savemode_cli.views.pace import forecast_json, forecast_lines

    settings, now = flags.settings(), datetime.now(UTC)
    ledger = open_configured(settings)
    try:
        which = _limit(settings, ledger, name, who, limit, now)
        if paths:
            charges, source = _of_files(settings, paths)
            spent_nusd = spent_in_window(charges, which, now)
        else:
            charges = [(one.settled_at, one.nusd) for one in ledger.charges() if _is_about(one, which)]
            source, spent_nusd = "the ledger", ledger.balance(which.key, now).spent_nusd
    finally:
        ledger.close()
    expected = forecast_of(which, charges, spent_nusd, now)
    if as_json:
        echo_json(forecast_json(which, spent_nusd, expected, source))
    else:
        lines = forecast_lines(which, spent_nusd, expected, source, width_of(sys.stdout))
        say(sys.stdout, "\n".join(lines))


def suggest(
    flags: Flags,
    paths: From = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many complete days to look at.")] = 30,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="WINDOW", help="Set the suggested budget: day, week or month; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Suggest limits per day, week and month from what was spent: median, 90th percentile, dearest.
    """
    from savemode_cli.core.budget.budget import Budget
    from savemode_cli.core.budget.pace import complete_days, suggestions
    from savemode_cli.core.budget.window import Window
    from savemode_cli.core.money.amounts import dollars
    from savemode_cli.views.pace import suggestion_lines, suggestions_json

    unknown = [window for window in chosen or () if window not in _WINDOWS]
    if unknown:
        raise BadInput(f"--set must be one of {', '.join(_WINDOWS)} (got {unknown[0]!r})", hint="like --set day")
    settings = flags.settings()
    ledger = open_configured(settings)
    try:
        if paths:
            charges, source = _of_files(settings, paths)
        else:
            charges, source = [(one.settled_at, one.nusd) for one in ledger.charges()], "the ledger"
        suggested = suggestions(complete_days(charges, datetime.now(UTC), days))
        by_window = {one.window: one for one in suggested}
        missing = [window for window in chosen or () if window not in by_window]
        if not suggested or missing:
            window = missing[0] if missing and suggested else "day"
            raise BadInput(
                f"{source} has no complete {window} of spend in the last {days} days",
                hint="read transcripts: savemode budget suggest --from ~/.claude/projects",
            )
        for window in chosen or ():
            nusd = by_window[window].limit_nusd
            kinds: dict[str, Window] = {"day": Window("day"), "week": Window("week"), "month": Window("month")}
            ledger.set_budget(Budget(window, nusd, kinds[window], set_at_us=time.time_ns() // 1000))
    finally:
        ledger.close()
    if as_json:
        echo_json({"source": source, "days": days, "suggested": suggestions_json(suggested)})
    else:
        echo("\n".join(suggestion_lines(suggested)))
    for window in chosen or ():
        where = flags.given.get("ledger")
        words = "" if where is None else f" --ledger {shlex.quote(str(where))}"
        echo(
            f"budget {window} is now {dollars(by_window[window].limit_nusd)}; "
            f"to remove it: savemode budget drop {window}{words}",
            err=True,
        )


def _limit(
    settings: "Settings", ledger: "Ledger", name: str | None, who: str | None, usd: str | None, now: datetime
) -> "Limit":
    """
    The budget that is asked for, as it applies to that person now.
    """
    from dataclasses import replace

    from savemode_cli.core.budget.budget import DEFAULT_BUDGET, Budget, limit_of
    from savemode_cli.core.budget.overview import in_force
    from savemode_cli.core.budget.scopes import ALL
    from savemode_cli.core.money.amounts import parse_usd

    budgets = [one.budget for one in in_force(settings.budgets(), ledger.budgets(), ledger.limits())]
    budget = next((one for one in budgets if one.name == (name or DEFAULT_BUDGET)), None)
    if budget is None and (name is None or usd is not None):
        budget = Budget(name or DEFAULT_BUDGET, 0)
    if budget is None:
        names = ", ".join(one.name for one in budgets) or "none"
        raise BadInput(f"there is no budget {name!r}", hint=f"budgets: {names}")
    if usd is not None:
        nusd = parse_usd(usd)
        if nusd is None or nusd <= 0:
            raise BadInput(f"--limit {usd!r} is not an amount above 0", hint="for example --limit 20")
        budget = replace(budget, limit_nusd=nusd, limits=())
    if budget.scope != ALL and who is None:
        raise BadInput(f"each {budget.scope} has a budget {budget.name} of its own", hint="name one with --who")
    limit = limit_of(budget, who or "", now)
    if not limit.capped:
        raise BadInput(f"budget {budget.name} has no limit that can be reached", hint="try one: --limit 20")
    return limit


def _of_files(settings: "Settings", paths: list[str]) -> "tuple[Charges, str]":
    """
    What the requests in some files cost, and how many files those are, in words.
    """
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.billed import BilledRequests
    from savemode_cli.readers.files import readable, walk

    files = list(readable(walk(paths)))
    if not files:
        raise BadInput(
            f"{', '.join(paths)}: no recorded traffic there",
            hint="give the folder of Claude Code's transcripts, like ~/.claude/projects, or of captures",
        )
    prices = load_prices(settings.price_file)
    reading = BilledRequests(prices, prices if settings.price_file is None else load_prices(None))
    with progress(sum(path.stat().st_size for path, _ in files)) as advance:
        reading.advance = advance
        charges = [(one.at, one.cost_nusd) for one in reading.of_files(files)]
    return charges, "1 file" if len(files) == 1 else f"{len(files)} files"


def _is_about(charge: "Charge", limit: "Limit") -> bool:
    """
    Whether a charge counts under a budget. One that everybody shares counts everything, also what was charged before it was
    set.
    """
    from savemode_cli.core.budget.scopes import ALL

    scope, who = limit.budget.scope, limit.who
    return scope == ALL or any(key.partition("/")[2].partition("/")[2] == f"{scope}={who}" for key in charge.keys)
