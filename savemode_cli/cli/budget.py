"""
`savemode budget`: the caps, what is spent and held under them, and the ways to raise, lift and free them.

Rule of this file: it reads and writes the ledger that the proxy uses; what a balance means is said by the core.
"""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from savemode_cli.cli import options
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.budget import Budget
    from savemode_cli.core.ledger import Ledger
    from savemode_cli.core.overview import InForce

LedgerUrl = Annotated[
    str | None, typer.Option("--ledger", help="Like sqlite:///ledger.db.  [default: a file in the user's data folder]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it for machines.")]

_DURATION = re.compile(r"(\d{1,4})(m|h|d)", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=31)
_HOW = "`savemode serve`, `savemode run` and `savemode budget set` make one"


def show(
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a new request would be refused.")] = False,
    ledger: LedgerUrl = None,
    config: options.Config = None,
) -> None:
    """
    Show every budget: limit, spent, held, left, both scales, when it resets; and the holds.
    """
    from savemode_cli.core.overview import overview

    with _opened(ledger, config, missing="told") as (settings, opened):
        seen = overview(budgets_in_force(settings, opened), opened, datetime.now(UTC))
    if as_json:
        from savemode_cli.config import shown_url
        from savemode_cli.views.budget import to_json

        typer.echo(json.dumps(to_json(seen, shown_url(settings.ledger_url)), indent=2))
    else:
        from savemode_cli.cli.screen import console
        from savemode_cli.views.budget import show as print_overview

        print_overview(seen, console(), _same(ledger, config))
    if check and seen.refuses:
        raise typer.Exit(1)


def set_budget(
    usd: Annotated[str, typer.Argument(metavar="USD", help="The cap, like 20 or 5.40; 0 counts and caps nothing.")],
    name: Annotated[str, typer.Option(help="Which budget.")] = "default",
    window: Annotated[
        str | None, typer.Option(help="month, week, day or month:N (from day N on).  [default: as it was, or month]")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the reset.  [default: as it was, or UTC]")] = None,
    scope: Annotated[
        str | None,
        typer.Option(help="all, or each product, user, team, key, header:NAME.  [default: as it was, or all]"),
    ] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict/--no-strict", help="Never cross the cap.  [default: as it was, or not]")
    ] = None,
    ledger: LedgerUrl = None,
    config: options.Config = None,
) -> None:
    """
    Set a budget in the ledger, in the place of a configured one of its name.
    """
    from savemode_cli.core.budget import parse_window
    from savemode_cli.core.tiers import parse_usd

    limit_nusd = parse_usd(usd)
    if limit_nusd is None:
        raise BadInput(f"{usd!r} is no amount of US dollars", hint="like 20 or 5.40; 0 counts and caps nothing")
    if limit_nusd < 0:
        raise BadInput(
            f"a cap of {usd} dollars would refuse nothing",
            hint=f"0 says so: it counts and caps nothing; `savemode budget drop {name}` forgets the budget",
        )
    changes: dict[str, Any] = {"zone": zone, "scope": scope, "strict": strict}
    changes["window"] = None if window is None else parse_window(window)
    with _opened(ledger, config) as (settings, opened):
        before = _found(settings, opened, name)
        base = before or _new(settings, name)
        given = {key: value for key, value in changes.items() if value is not None}
        opened.set_budget(replace(base, limit_nusd=limit_nusd, **given))
    _say(f"{name} is now {_cap(limit_nusd)}" + ("" if before is None else f", it was {_cap(before.limit_nusd)}"))
    if limit_nusd == 0:
        _say("spend is counted, nothing is refused, and answers carry no budget headers for it")
        _say(f"to forget it: savemode budget drop {name}{_same(ledger, config)}")
    show(ledger=ledger, config=config)


def drop(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which budget.")],
    ledger: LedgerUrl = None,
    config: options.Config = None,
) -> None:
    """
    Forget a budget that was set in the ledger; what was spent stays on record.
    """
    with _opened(ledger, config, missing="refused") as (settings, opened):
        configured = next((one for one in settings.budgets() if one.name == name), None)
        if not opened.drop_budget(name):
            if configured is not None:
                raise BadInput(
                    f"{name} is from the configuration, not from the ledger", hint="take it out of the configuration"
                )
            known = ", ".join(one.name for one in opened.budgets()) or "none"
            raise BadInput(f"there is no budget {name!r} in the ledger", hint=f"budgets in it: {known}")
    back = "" if configured is None else f"; the configured {_cap(configured.limit_nusd)} counts again"
    _say(f"{name} is dropped{back}")


def allow(
    duration: Annotated[str | None, typer.Option("--for", help="How long: 30m, 1h, 1d.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End it now.")] = False,
    ledger: LedgerUrl = None,
    config: options.Config = None,
) -> None:
    """
    Let every request through for a while, whatever is spent; it is charged all the same.
    """
    if stop and duration is not None:
        raise BadInput("--for begins it and --stop ends it: give one of them", hint="savemode budget allow --stop")
    if not stop and duration is None:
        raise BadInput("say for how long, or --stop", hint="savemode budget allow --for 1h")
    until = None if duration is None else datetime.now(UTC) + parse_duration(duration)
    with _opened(ledger, config) as (_, opened):
        opened.allow(until)
    if until is None:
        _say("the budgets decide again")
    else:
        _say(
            f"every request is let through until {until:%Y-%m-%d %H:%M} UTC, and is still charged\n"
            f"end it earlier: savemode budget allow --stop{_same(ledger, config)}"
        )


def release(
    hold_id: Annotated[
        str | None, typer.Argument(metavar="[HOLD_ID]", help="A hold, as `savemode budget show` names it.")
    ] = None,
    all_expired: Annotated[bool, typer.Option("--all-expired", help="Every hold that ran out.")] = False,
    ledger: LedgerUrl = None,
    config: options.Config = None,
) -> None:
    """
    Give back what a dead request holds. If its bill comes after all, it is charged.
    """
    from savemode_cli.views.terminal import printable

    if all_expired == (hold_id is not None):
        raise BadInput("name one hold, or --all-expired", hint="`savemode budget show` lists them")
    with _opened(ledger, config, missing="refused") as (_, opened):
        chosen = [
            one.hold
            for one in opened.holds(datetime.now(UTC))
            if (one.unsettled if all_expired else one.hold.id == hold_id)
        ]
        if hold_id is not None and not chosen:
            raise BadInput(f"there is no open hold {hold_id!r}", hint="`savemode budget show` lists them")
        freed = [hold for hold in chosen if opened.release(hold.id)]
    for hold in freed:
        typer.echo(f"{hold.id}  {_shown(hold.ask_nusd)}  {printable(hold.model) or '-'}")
    if freed:
        holds = "1 hold" if len(freed) == 1 else f"{len(freed)} holds"
        total = _shown(sum(hold.ask_nusd for hold in freed))
        _say(f"released {holds}, {total} no longer counts as spent or held")
    else:
        _say("no hold has run out: nothing to release")


def budgets_in_force(settings: "Settings", ledger: "Ledger") -> "tuple[InForce, ...]":
    """
    The budgets that count for the next request: the ledger's, and those configured under other names.
    """
    from savemode_cli.core.overview import in_force

    return in_force(settings.budgets(), ledger.budgets())


def open_configured(settings: "Settings") -> "Ledger":
    """
    The ledger that the settings name; close it.

    Raises:
        ConfigError: no ledger has such an address.
        LedgerUnavailable: it has, and cannot be opened.
    """
    from savemode_cli.ledgers import open_ledger

    return open_ledger(settings.ledger_url)


def parse_duration(text: str) -> timedelta:
    """
    Read `30m`, `1h` or `1d`.

    Raises:
        BadInput: it is none of them, nothing, or longer than a month.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    length = timedelta() if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not timedelta() < length <= _LONGEST:
        raise BadInput(f"--for {text!r} is no time span", hint="like 30m, 1h or 1d, and up to 31d")
    return length


@contextmanager
def _opened(
    url: str | None, config: Any, *, missing: Literal["made", "told", "refused"] = "made"
) -> "Iterator[tuple[Settings, Ledger]]":
    """
    The ledger, closed at the end. Where there is none yet it is made, or (`told`) an empty one stands in for it.
    """
    from savemode_cli.config import load
    from savemode_cli.core.ledger import MemoryLedger
    from savemode_cli.ledgers import file_of

    settings = load({"ledger": url}, config=config)
    file = file_of(settings.ledger_url)
    if missing == "made" or file is None or file.exists():
        ledger = open_configured(settings)
    else:
        words = f"there is no ledger at {file}"
        if missing == "refused" or url is not None:
            raise BadInput(words, hint=_HOW)
        _say(f"{words} yet: nothing was counted\n  {_HOW}")
        ledger = MemoryLedger()
    try:
        yield settings, ledger
    finally:
        ledger.close()


def _found(settings: "Settings", ledger: "Ledger", name: str) -> "Budget | None":
    return next((one.budget for one in budgets_in_force(settings, ledger) if one.budget.name == name), None)


def _new(settings: "Settings", name: str) -> "Budget":
    """
    What `set` begins with for a budget that there is none of yet; the plain options are those of the default one.
    """
    from savemode_cli.config import DEFAULT_BUDGET
    from savemode_cli.core.budget import Budget

    if name == DEFAULT_BUDGET:
        return settings.default_budget(0)
    return Budget(name, 0, warn_at=settings.warn_at, engage_at=settings.engage_at)


def _same(url: str | None, config: Any) -> str:
    """
    The options a further command needs to mean the same ledger.
    """
    given = (("--ledger", url), ("--config", config))
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given if value is not None)


def _cap(nusd: int) -> str:
    return _shown(nusd) if nusd > 0 else "no cap"


def _shown(nusd: int) -> str:
    from savemode_cli.core.tiers import dollars

    return dollars(nusd)


def _say(text: str) -> None:
    typer.echo(text, err=True)
