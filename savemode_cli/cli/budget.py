"""
`savemode budget`: show budgets, set and drop them, suspend their caps, and release holds.

Rule of this file: it reads and writes the ledger that the proxy uses. The core decides what a balance means.
"""

import re
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli.command import AmountCommand
from savemode_cli.cli.command_group import Definition
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.opened_ledger import ask_proxies, opened_ledger
from savemode_cli.cli.screen import console, echo, echo_json
from savemode_cli.core.budget.choices import GUARD
from savemode_cli.core.errors import BadInput
from savemode_cli.views.printable import printable

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.budget import Budget
    from savemode_cli.core.budget.ledger import Ledger

Who = Annotated[
    str | None,
    typer.Option("--who", metavar="WHO", help="Only this person, team or key, in a budget that each of them has."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Output JSON.")]

_DURATION = re.compile(r"(\d{1,4})(m|h|d)", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=31)
_SET = "for example savemode budget set 20, or savemode budget set NAME 20"


def show(
    flags: Flags,
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a new request would be refused.")] = False,
) -> None:
    """
    Show every budget (limit, spent, held, left, both scales, reset) and the open holds.
    """
    from savemode_cli.core.budget.overview import overview

    with opened_ledger(flags, missing="empty") as (settings, opened):
        asked = ask_proxies(settings, opened)
        seen = overview(asked.in_force, opened, datetime.now(UTC), asked)
    if as_json:
        from savemode_cli.config import shown_url
        from savemode_cli.views.budget import to_json

        echo_json(to_json(seen, shown_url(settings.ledger_url)))
    else:
        from savemode_cli.views.budget import show as print_overview

        print_overview(seen, console(), _same(flags), tokens=bool(settings.tokens))
    if check and seen.refuses:
        raise typer.Exit(1)


def set_budget(
    flags: Flags,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] USD", help="The budget and its cap, for example 20 or 5.40; 0 counts spend without a cap."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The budget.  [default: default]")] = None,
    who: Who = None,
    window: Annotated[
        str | None, typer.Option(help="month, week, day, month:N, 5h, 7d, none.  [default: unchanged, or month]")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the reset.  [default: unchanged, or UTC]")] = None,
    scope: Annotated[
        str | None,
        typer.Option(help="all, or each product, user, token, team, key, header:NAME.  [default: unchanged, or all]"),
    ] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict/--no-strict", help="Never exceed the cap.  [default: unchanged, or no]")
    ] = None,
    allow_override: Annotated[
        bool | None,
        typer.Option(
            "--allow-override/--no-allow-override",
            help="Whether a request's override header lifts the cap.  [default: unchanged, or yes]",
        ),
    ] = None,
    refusal_hint: Annotated[
        str | None, typer.Option(help="Advice in a refusal, in place of commands; for example: ask Maria.")
    ] = None,
    unknown: Annotated[
        str | None,
        typer.Option(help="Requests without an identity: share a budget, or refuse.  [default: unchanged, or share]"),
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(help="Above the cap: refuse requests, or only warn.  [default: unchanged, or refuse]"),
    ] = None,
) -> None:
    """
    Set a budget in the ledger; it replaces a configured budget of that name. With --who: one person's limit.
    """
    from savemode_cli.core.budget.window import parse_window

    name, limit_nusd = _named_amount(words, name)
    changes: dict[str, Any] = {
        "window": None if window is None else parse_window(window),
        "zone": zone,
        "scope": scope,
        "strict": strict,
        "allow_override": allow_override,
        "refusal_hint": refusal_hint,
        "unknown": unknown,
        "action": action,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    if who is not None and given:
        option = f"--{next(iter(given)).replace('_', '-')}"
        raise BadInput(f"{option} applies to a whole budget and --who to one person", hint="give one of them")
    with opened_ledger(flags) as (settings, opened):
        before = _found(settings, opened, name)
        if who is not None:
            message = _set_limit(opened, _shared_by(before, name, who), who, limit_nusd)
        else:
            base = before or _new(settings, name)
            opened.set_budget(replace(base, limit_nusd=limit_nusd, **given, set_at_us=_now_us()))
            message = f"{name} is now {_cap(limit_nusd)}"
            message += "" if before is None else f"; it was {_cap(before.limit_nusd)}"
        nobody = given.get("scope") == "token" and not settings.tokens
    _say(message)
    if nobody:
        _say("there is no access token yet, so all requests share this budget; to add one: savemode tokens add NAME")
    if limit_nusd == 0 and who is None:
        _say("spend is counted, no request is refused, and responses have no headers of this budget")
        _say(f"to remove it: savemode budget drop {name}{_same(flags)}")
    show(flags)


SET = Definition(set_budget, cls=AmountCommand)


def drop(
    flags: Flags,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The budget.")],
    who: Who = None,
) -> None:
    """
    Remove a budget, or one person's limit, from the ledger; the recorded spend stays.
    """
    with opened_ledger(flags, missing="refuse") as (settings, opened):
        configured = next((budget for budget in settings.budgets() if budget.name == name), None)
        if who is not None:
            _drop_limit(opened, name, who)
            _say(f"removed the limit of {who} in budget {name}")
            return
        if not opened.drop_budget(name):
            if configured is not None:
                raise BadInput(
                    f"budget {name} is in the configuration, not in the ledger", hint="remove it from the configuration"
                )
            names = ", ".join(budget.name for budget in opened.budgets()) or "none"
            raise BadInput(f"there is no budget {name!r} in the ledger", hint=f"budgets in it: {names}")
    back = "" if configured is None else f"; the configured {_cap(configured.limit_nusd)} counts again"
    _say(f"{name} is dropped{back}")


def allow(
    flags: Flags,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The budget, or guard.  [default: all]")] = None,
    who: Who = None,
    duration: Annotated[str | None, typer.Option("--for", help="For how long: 30m, 1h, 1d.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End it now; without NAME, for all budgets.")] = False,
) -> None:
    """
    Let requests through for a time, whatever the spend: all, one budget's or one person's. They are still charged.
    """
    if stop and duration is not None:
        raise BadInput("--for and --stop cannot be used together", hint="savemode budget allow --stop")
    if not stop and duration is None:
        raise BadInput("give either --for or --stop", hint="for example savemode budget allow --for 1h")
    if who is not None and name is None:
        raise BadInput("--who needs the name of a budget", hint=f"savemode budget allow NAME --who {who} ...")
    until = None if duration is None else datetime.now(UTC) + parse_duration(duration)
    with opened_ledger(flags) as (settings, opened):
        if name is not None and (name != GUARD or who is not None):
            _check_named(settings, opened, name, who)
        opened.allow(until, name or "", who or "")
    whose = {None: "every request", GUARD: "every request that the guard stops"}.get(
        name, f"every request under {name}"
    )
    whose += "" if who is None else f" of {who}"
    if until is None:
        _say(
            {None: "all budgets apply again", GUARD: "the guard applies again"}.get(
                name, f"the cap applies again to {whose}"
            )
        )
    else:
        words = "".join(f" {word}" for word in (name, *(("--who", shlex.quote(who)) if who else ())) if word)
        _say(
            f"{whose} is let through until {until:%Y-%m-%d %H:%M} UTC and is still charged\n"
            f"to end it earlier: savemode budget allow{words} --stop{_same(flags)}"
        )


def release(
    flags: Flags,
    hold_id: Annotated[
        str | None, typer.Argument(metavar="[HOLD_ID]", help="The ID of a hold, from `savemode budget show`.")
    ] = None,
    all_expired: Annotated[bool, typer.Option("--all-expired", help="Release every expired hold.")] = False,
) -> None:
    """
    Release the hold of a request that has died. If the request still settles, it is charged.
    """
    if all_expired == (hold_id is not None):
        raise BadInput("give either HOLD_ID or --all-expired", hint="`savemode budget show` lists them")
    with opened_ledger(flags, missing="refuse") as (_, opened):
        chosen = [
            entry.hold
            for entry in opened.holds(datetime.now(UTC))
            if (entry.unsettled if all_expired else entry.hold.id == hold_id)
        ]
        if hold_id is not None and not chosen:
            raise BadInput(f"there is no open hold {hold_id!r}", hint="`savemode budget show` lists them")
        freed = [hold for hold in chosen if opened.release(hold.id)]
    for hold in freed:
        echo(f"{printable(hold.id)}  {_shown(hold.ask_nusd)}  {printable(hold.model) or '-'}")
    if freed:
        holds = "1 hold" if len(freed) == 1 else f"{len(freed)} holds"
        total = _shown(sum(hold.ask_nusd for hold in freed))
        _say(f"released {holds}, {total} no longer counts as spent or held")
    else:
        _say("no hold has expired, so nothing was released")


def parse_duration(text: str) -> timedelta:
    """
    Read `30m`, `1h` or `1d`.

    Raises:
        BadInput: the text has another form, or is zero, or is longer than 31 days.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    length = timedelta() if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not timedelta() < length <= _LONGEST:
        raise BadInput(f"--for {text!r} is not a duration", hint="for example 30m, 1h or 1d; at most 31d")
    return length


def _named_amount(words: list[str], name: str | None) -> tuple[str, int]:
    """
    The name and the amount of `[NAME] USD`.
    """
    from savemode_cli.core.budget.budget import DEFAULT_BUDGET
    from savemode_cli.core.money.amounts import parse_usd

    *names, usd = words
    if len(names) > 1 or (names and name is not None):
        raise BadInput(f"give one name of a budget (got {', '.join([*names, *filter(None, [name])])})", hint=_SET)
    name = names[0] if names else name or DEFAULT_BUDGET
    limit_nusd = parse_usd(usd)
    if limit_nusd is None:
        raise BadInput(f"{usd!r} is not an amount of US dollars", hint=f"{_SET}; 0 counts spend without a cap")
    if limit_nusd < 0:
        raise BadInput(
            f"the cap must be 0 or more (got {usd})",
            hint=f"0 counts spend without a cap; `savemode budget drop {name}` removes the budget",
        )
    return name, limit_nusd


def _found(settings: "Settings", ledger: "Ledger", name: str) -> "Budget | None":
    return next((entry.budget for entry in ask_proxies(settings, ledger).in_force if entry.budget.name == name), None)


def _shared_by(budget: "Budget | None", name: str, who: str) -> "Budget":
    """
    The budget, if `who` can have their own limit in it.

    Raises:
        BadInput: there is no such budget, or all requests share it.
    """
    from savemode_cli.core.budget.personal import check_who
    from savemode_cli.core.budget.scopes import ALL

    check_who(who)
    if budget is None:
        raise BadInput(
            f"there is no budget {name!r}", hint=f"set the budget first: savemode budget set {name} 50 --scope user"
        )
    if budget.scope == ALL:
        raise BadInput(
            f"all requests share the budget {name}, so it has no limits for single persons",
            hint=f"set a scope: savemode budget set {name} {_plain(budget.limit_nusd)} --scope user",
        )
    return budget


def _check_named(settings: "Settings", ledger: "Ledger", name: str, who: str | None) -> None:
    budget = _found(settings, ledger, name)
    if who is not None:
        _shared_by(budget, name, who)
    elif budget is None:
        names = ", ".join(entry.budget.name for entry in ask_proxies(settings, ledger).in_force) or "none"
        raise BadInput(f"there is no budget {name!r}", hint=f"budgets: {names}")


def _set_limit(ledger: "Ledger", budget: "Budget", who: str, limit_nusd: int) -> str:
    """
    Set the limit of one person.

    Returns:
        The message to print.
    """
    from savemode_cli.core.budget.personal import PersonalLimit

    ledger.set_limit(PersonalLimit(budget.name, who, limit_nusd, _now_us()))
    return f"{budget.name} is now {_cap(limit_nusd)} for {who}; it was {_cap(budget.limit_of(who))}"


def _drop_limit(ledger: "Ledger", name: str, who: str) -> None:
    if not ledger.drop_limit(name, who):
        names = ", ".join(limit.who for limit in ledger.limits() if limit.budget == name) or "nobody"
        raise BadInput(f"{who} has no limit in budget {name!r} of the ledger", hint=f"limits exist for: {names}")


def _now_us() -> int:
    return time.time_ns() // 1000


def _new(settings: "Settings", name: str) -> "Budget":
    """
    The budget that `set` starts from if there is no budget of this name yet. Options apply to the default budget.
    """
    from savemode_cli.core.budget.budget import DEFAULT_BUDGET, Budget

    if name == DEFAULT_BUDGET:
        return settings.default_budget(0)
    return Budget(name, 0, warn_at=settings.warn_at, engage_at=settings.engage_at)


def _same(flags: Flags) -> str:
    """
    The options that another command needs to use the same ledger.
    """
    given = (("--ledger", flags.given.get("ledger")), ("--config", flags.config))
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given if value is not None)


def _cap(nusd: int) -> str:
    return _shown(nusd) if nusd > 0 else "no cap"


def _plain(nusd: int) -> str:
    from savemode_cli.core.money.amounts import usd

    return usd(nusd)


def _shown(nusd: int) -> str:
    from savemode_cli.core.money.amounts import dollars

    return dollars(nusd)


def _say(text: str) -> None:
    echo(text, err=True)
