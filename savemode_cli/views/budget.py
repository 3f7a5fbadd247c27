"""
How the budgets stand, for the person who pays.

Rule of this file: it fits 80 columns, shows both scales side by side, and ends with what can be done.
"""

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.budget import ALL
from savemode_cli.core.exchange import SCHEMA_VERSION
from savemode_cli.core.ledger import OpenHold
from savemode_cli.core.overview import Line, Overview, stamp, standing_json, terms_json
from savemode_cli.core.tiers import amounts, usd
from savemode_cli.views.money import STYLES, amount, percent, span
from savemode_cli.views.terminal import printable

_MOST_HOLDS = 10
_ELSEWHERE = "caps of a running proxy (--budget) are not in the ledger: see its /-/health"
DEFAULT = "default"


def to_json(overview: Overview, ledger: str) -> dict[str, Any]:
    """
    The overview for machines.
    """
    until = overview.allowed_until
    return {
        "schema_version": SCHEMA_VERSION,
        "at": stamp(overview.at),
        "ledger": ledger,
        "would_refuse": overview.refuses,
        "allowed_until": None if until is None else stamp(until),
        "budgets": [_line_json(line) for line in overview.lines],
        "holds": [_hold_json(one, overview.at) for one in overview.holds],
    }


def _line_json(line: Line) -> dict[str, Any]:
    hidden = line.origin.hidden
    return {
        **standing_json(line.standing),
        **amounts(over=line.over_nusd),
        "source": line.origin.source,
        "configured": None if hidden is None else terms_json(hidden),
        "refusal": line.refusal,
    }


def _hold_json(one: OpenHold, at: datetime) -> dict[str, Any]:
    hold = one.hold
    return {
        "id": hold.id,
        "keys": list(hold.keys),
        **amounts(ask=hold.ask_nusd),
        "model": hold.model,
        "override": hold.override,
        "unsettled": one.unsettled,
        "expires_at": stamp(hold.expires_at),
        "expired_s": int((at - hold.expires_at).total_seconds()) if one.unsettled else None,
    }


def show(overview: Overview, console: Console, options: str = "") -> None:
    """
    Print every budget, the holds, and what can be done. `options` are those that a further command needs to mean the
    same ledger.
    """
    if overview.lines:
        console.print(_table(overview.lines))
        console.print()
        console.print(_terms(overview))
    for title, holds in (
        ("held by requests under way", overview.running),
        ("ran out, counts as spent", overview.unsettled),
    ):
        if holds:
            console.print()
            _show_holds(title, holds, overview.at, console, options)
    if overview.lines:
        console.print()
    console.print(Text(_ELSEWHERE, style="dim"))
    advice = list(_next_steps(overview))
    for text, commands, style in advice:
        console.print(Text(text, style=style))
        for command in commands:
            console.print(Text(f"  savemode budget {command}{options}"))


def _table(lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("budget", overflow="fold")
    for name in ("limit", "spent", "held", "left", "used"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("guard", no_wrap=True)
    table.add_column("client", no_wrap=True)
    for line in lines:
        standing = line.standing
        limit, balance = standing.limit, standing.balance
        guard, client = standing.verdict.status or "no cap", standing.advice.state
        table.add_row(
            _name(line),
            amount(limit.nusd) if limit.capped else "-",
            amount(balance.spent_nusd),
            amount(balance.held_nusd),
            amount(line.remaining_nusd),
            percent(line.used_permille),
            Text(guard, style=STYLES.get(guard, "dim")),
            Text(client, style=STYLES.get(client, "dim")),
        )
    return table


def _name(line: Line) -> str:
    limit = line.standing.limit
    if limit.budget.scope == ALL:
        return limit.budget.name
    return f"{limit.budget.name}: {printable(limit.who) or 'not given'}"


def _one_per_budget(lines: Sequence[Line]) -> Iterator[Line]:
    seen = set()
    for line in lines:
        if line.origin.budget.name not in seen:
            seen.add(line.origin.budget.name)
            yield line


def _terms(overview: Overview) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", overflow="fold")
    grid.add_column(overflow="fold")
    for line in _one_per_budget(overview.lines):
        grid.add_row(line.origin.budget.name, "\n".join(_terms_of(line, overview.at)))
    return grid


def _terms_of(line: Line, at: datetime) -> Iterator[str]:
    limit = line.standing.limit
    budget = limit.budget
    yield f"{budget.window.words()}, resets {budget.local(limit.resets_at)} (in {span(limit.resets_at - at)})"
    rule = "strict: the cap is never crossed" if budget.strict else "the last request may cross the cap"
    if budget.limit_nusd <= 0:
        rule = "no cap: spend is counted, nothing is refused"
    yield rule + ("" if budget.scope == ALL else f"; each {budget.scope} has its own")
    hidden = line.origin.hidden
    if line.origin.source == "spend":
        yield "counted, and no cap of this name is set in the ledger or configured"
    elif hidden is None:
        yield "set in the ledger" if line.origin.source == "ledger" else "from the configuration"
    else:
        yield f"set in the ledger, in place of the configured {amount(hidden.limit_nusd)}"


def _show_holds(title: str, holds: Sequence[OpenHold], at: datetime, console: Console, options: str) -> None:
    """
    The first of the holds, each with the command that frees it.
    """
    total = sum(one.hold.ask_nusd for one in holds)
    console.print(Text(f"{title}: {len(holds)}, {amount(total)}"))
    for one in holds[:_MOST_HOLDS]:
        hold = one.hold
        when = (
            f"ran out {span(at - hold.expires_at)} ago"
            if one.unsettled
            else f"runs out in {span(hold.expires_at - at)}"
        )
        names = ", ".join(key.partition("/")[0] for key in hold.keys)
        label = ", ".join(filter(None, [printable(hold.model), "override" if hold.override else "", names]))
        console.print(Text.assemble(f"  {amount(hold.ask_nusd)}  {when}  ", (label, "dim")))
        console.print(Text(f"    savemode budget release {shlex.quote(printable(hold.id))}{options}"))
    if len(holds) > _MOST_HOLDS:
        console.print(Text(f"and {len(holds) - _MOST_HOLDS} more: --json has all", style="dim"))


def _next_steps(overview: Overview) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """
    What can be done about what was shown: a sentence, the commands for it, and its colour.
    """
    if not overview.lines:
        yield "no budget is set: nothing is capped; to set one:", ("set 20",), ""
    until = overview.allowed_until
    if until is not None:
        text = f"every request passes, and is charged, until {until:%Y-%m-%d %H:%M} UTC; to end it:"
        yield text, ("allow --stop",), "yellow"
    for line in overview.lines:
        if line.refusal == "held":
            yield f"{_name(line)}: running requests hold what is left; a retry soon may pass", (), "yellow"
        elif line.refusal is not None:
            yield _refusing(line)
    if overview.unsettled:
        text = "if the requests whose holds ran out are dead, give their money back:"
        yield text, ("release --all-expired",), ""


def _refusing(line: Line) -> tuple[str, tuple[str, ...], str]:
    budget = line.origin.budget
    over = f", {amount(line.over_nusd)} over" if line.over_nusd else ""
    name = "" if budget.name == DEFAULT else f" --name {budget.name}"
    commands = (f"set {usd(line.next_limit_nusd)}{name}", "allow --for 1h")
    return (
        f"{_name(line)}: spent{over}; new requests are refused. To raise or lift it:",
        commands,
        "red",
    )
