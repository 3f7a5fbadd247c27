"""
How much of each budget is used, for the person who pays.

Rule of this file: it shows what the proxy decides beside what it advises clients, and ends with the commands that help.
"""

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.budget.budget import DEFAULT_BUDGET, Budget
from savemode_cli.core.budget.ledger import OpenHold
from savemode_cli.core.budget.overview import Asked, InForce, Line, Overview, stamp, standing_json, terms_json
from savemode_cli.core.budget.scopes import ALL, is_chosen_by_caller
from savemode_cli.core.budget.window import NEVER
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.core.money.amounts import amounts, usd
from savemode_cli.views.money import STYLES, amount, percent, span
from savemode_cli.views.printable import printable
from savemode_cli.views.tables import Column, Sheet, right

_MOST_HOLDS = 10
_LEGEND = (
    "held: reserved for running requests until their bills arrive. status: what the proxy decides. "
    "advice: the state that clients are told, so that they can save."
)


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
        "allowances": [
            {"budget": one.budget or None, "who": one.who or None, "until": stamp(one.until)}
            for one in overview.allowances
        ],
        "proxies": [] if overview.asked is None else [_proxy_json(*one) for one in _proxies(overview.asked)],
        "budgets": [line_json(line) for line in overview.lines],
        "holds": [_hold_json(one, overview.at) for one in overview.holds],
    }


def _proxies(asked: Asked) -> Iterator[tuple[str, bool]]:
    """
    The address of each proxy, and whether it answered.
    """
    yield from ((url, True) for url in asked.proxies)
    yield from ((url, False) for url in asked.silent)


def _proxy_json(url: str, answers: bool) -> dict[str, Any]:
    return {"url": url, "answers": answers}


def line_json(line: Line) -> dict[str, Any]:
    """
    How much is left of one budget, for machines.
    """
    origin = line.origin
    hidden = None if origin.hidden is None else terms_json(origin.hidden)
    return {
        **standing_json(line.standing),
        **amounts(over=line.over_nusd),
        "source": origin.source,
        "configured": hidden if origin.source == "ledger" else None,
        "stored": hidden if origin.source == "configuration" else None,
        "proxies": list(origin.proxies),
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


def show(overview: Overview, console: Console, options: str = "", *, tokens: bool = False) -> None:
    """
    Print every budget, the holds, and what can be done.

    Args:
        overview: what is shown.
        console: where.
        options: what a further command needs to mean the same ledger.
        tokens: whether persons have access tokens, which then say who a request is.
    """
    if overview.lines:
        _table(overview.lines).show(console)
        console.print()
        console.print(_terms(overview, tokens=tokens))
        console.print()
        console.print(Text(_LEGEND, style="dim"))
    for title, holds in (
        ("held for running requests", overview.running),
        ("expired holds, which count as spent", overview.unsettled),
    ):
        if holds:
            console.print()
            _show_holds(title, holds, overview.at, console, options)
    notes = [*_notes(overview), *_next_steps(overview)]
    if overview.lines and notes:
        console.print()
    for text, commands, style in notes:
        console.print(Text(text, style=style))
        for command in commands:
            console.print(Text(f"  savemode budget {command}{options}"), soft_wrap=True)


def _table(lines: Sequence[Line]) -> Sheet:
    columns = ("limit", "spent", "held", "left", "used")
    sheet = Sheet(Column("budget", wraps=True), *map(right, columns), Column("status"), Column("advice"))
    for line in lines:
        standing = line.standing
        limit, balance = standing.limit, standing.balance
        status, advice = standing.verdict.status or "no cap", standing.advice.state
        sheet.add(
            _name(line),
            amount(limit.nusd) if limit.capped else "-",
            amount(balance.spent_nusd),
            amount(balance.held_nusd),
            amount(line.remaining_nusd),
            percent(line.used_permille),
            Text(status, style=STYLES.get(status, "dim")),
            Text(advice, style=STYLES.get(advice, "dim")),
        )
    return sheet


def _name(line: Line) -> str:
    limit = line.standing.limit
    if limit.budget.scope == ALL:
        return limit.budget.name
    return f"{limit.budget.name}: {printable(limit.who) or 'not given'}"


def _one_per_budget(lines: Sequence[Line]) -> Iterator[Line]:
    seen = set()
    for line in lines:
        key = (line.origin.budget, line.origin.proxies)
        if key not in seen:
            seen.add(key)
            yield line


def _terms(overview: Overview, *, tokens: bool) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", overflow="fold")
    grid.add_column(overflow="fold")
    for line in _one_per_budget(overview.lines):
        grid.add_row(line.origin.budget.name, "\n".join(_terms_of(line, overview.at, tokens=tokens)))
    return grid


def resets(line: Line, at: datetime) -> str:
    """
    When the spend of a budget no longer counts, for people.
    """
    window = line.standing.limit.budget.window
    if window.span is not None:
        return f"what was spent counts for {window}"
    resets_at = line.standing.limit.resets_at
    text = line.standing.limit.budget.resets(resets_at)
    return text if resets_at == NEVER else f"{text} (in {span(resets_at - at)})"


def _terms_of(line: Line, at: datetime, *, tokens: bool) -> Iterator[str]:
    limit = line.standing.limit
    budget = limit.budget
    yield f"{budget.window.words()}, {resets(line, at)}"
    rule = "strict: spend never exceeds the cap" if budget.strict else "the last request may exceed the cap"
    if not budget.refuses:
        rule = "it only warns: past the cap nothing is refused"
    if budget.limit_nusd <= 0:
        rule = "no cap: spend is counted, nothing is refused"
    yield rule + ("" if budget.scope == ALL else f"; each {budget.scope} has a cap of its own")
    yield from _people(budget, tokens=tokens)
    yield from _origin_of(line.origin)


def _people(budget: Budget, *, tokens: bool) -> Iterator[str]:
    """
    What a budget says about those who use it.
    """
    if is_chosen_by_caller(budget.scope, tokens=tokens):
        yield f"clients choose their own {budget.scope}: this does not stop a client that lies"
    if budget.unknown == "refuse":
        yield f"a request that names no {budget.scope} is refused"
    if not budget.allow_override:
        yield "the header x-posthog-budget-override is ignored"
    if budget.refusal_hint:
        yield f"a refusal ends with: {printable(budget.refusal_hint)}"


def _origin_of(origin: InForce) -> Iterator[str]:
    """
    Where a budget was set, and which proxies enforce it.
    """
    if origin.source == "spend":
        yield "spend is counted; no cap of this name is set or configured"
        return
    if origin.source == "ledger":
        place, hidden_words = "set in the ledger", "in place of the configured"
    else:
        place = f"from {printable(origin.budget.source)}" if origin.budget.source else "from the configuration"
        hidden_words = "newer than the ledger's"
    hidden = "" if origin.hidden is None else f", {hidden_words} {amount(origin.hidden.limit_nusd)}"
    yield place + hidden
    if origin.proxies:
        yield f"enforced by {', '.join(map(printable, origin.proxies))}"


def _notes(overview: Overview) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """
    What the table does not show about the running proxies.
    """
    asked = overview.asked
    if asked is None:
        return
    for url in asked.silent:
        yield (
            f"the proxy at {printable(url)} did not report its caps: it is busy or needs an access token",
            (),
            "yellow",
        )
    for one in asked.differing:
        limit, place = amount(one.budget.limit_nusd), printable(one.budget.source) or "the ledger"
        yield f"a proxy started now would use {one.budget.name} {limit} (from {place})", (), "dim"


def _show_holds(title: str, holds: Sequence[OpenHold], at: datetime, console: Console, options: str) -> None:
    """
    The first holds, each with the command that releases it.
    """
    total = sum(one.hold.ask_nusd for one in holds)
    console.print(Text(f"{title}: {len(holds)}, {amount(total)}", style="bold"))
    for one in holds[:_MOST_HOLDS]:
        hold = one.hold
        when = (
            f"expired {span(at - hold.expires_at)} ago" if one.unsettled else f"expires in {span(hold.expires_at - at)}"
        )
        names = printable(", ".join(key.partition("/")[0] for key in hold.keys))
        label = ", ".join(filter(None, [printable(hold.model), "override" if hold.override else "", names]))
        console.print(Text.assemble(f"  {amount(hold.ask_nusd)}  {when}  ", (label, "dim")))
        console.print(Text(f"    savemode budget release {shlex.quote(printable(hold.id))}{options}"), soft_wrap=True)
    if len(holds) > _MOST_HOLDS:
        console.print(Text(f"and {len(holds) - _MOST_HOLDS} more; --json lists all", style="dim"))


def _next_steps(overview: Overview) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """
    What can be done about what was shown: a sentence, the commands for it, and the sentence's colour.
    """
    if not overview.lines:
        yield "No budget is set, so nothing is capped. To set one:", ("set 20",), ""
    for one in overview.allowances:
        whose = "every request" if not one.budget else f"every request under {one.budget}"
        whose += f" of {printable(one.who)}" if one.who else ""
        words = f" {one.budget}" if one.budget else ""
        words += f" --who {shlex.quote(printable(one.who))}" if one.who else ""
        text = f"{whose} passes, and is still counted, until {one.until:%Y-%m-%d %H:%M} UTC. To end this:"
        yield text, (f"allow{words} --stop",), "yellow"
    for line in overview.lines:
        if line.refusal == "held":
            yield f"{_name(line)}: running requests hold all that is left; a retry may pass soon", (), "yellow"
        elif line.refusal in ("spent", "ask"):
            yield _refusing(line)
    if overview.unsettled:
        text = "If the requests of the expired holds have ended, release the holds:"
        yield text, ("release --all-expired",), ""


def _refusing(line: Line) -> tuple[str, tuple[str, ...], str]:
    budget = line.origin.budget
    over = f" ({amount(line.over_nusd)} over)" if line.over_nusd else ""
    who = line.standing.limit.who
    name = "" if budget.name == DEFAULT_BUDGET and not who else f"{budget.name} "
    person = f" --who {shlex.quote(printable(who))}" if who else ""
    commands = (
        f"set {name}{usd(line.next_limit_nusd)}{person}",
        f"allow {name}{person.lstrip()} --for 1h".replace("  ", " "),
    )
    return (
        f"{_name(line)}: the cap is reached{over}; new requests are refused. To raise the cap, or lift it for an hour:",
        commands,
        "red",
    )
