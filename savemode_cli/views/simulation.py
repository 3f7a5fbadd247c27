"""
What a spend would be told, where the tiers begin, and how a trace would have run, for the person who sets the cap.

Rule of this file: it fits 80 columns and shows both scales side by side; the figures are the rehearsal's.

Longer than most: the text and the JSON of each part stand side by side, so that neither tells more than the other.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.admission import Reason, Refused, refusal
from savemode_cli.core.budget import Budget
from savemode_cli.core.exchange import SCHEMA_VERSION
from savemode_cli.core.overview import permille, stamp, terms_json
from savemode_cli.core.rehearsal import (
    COLUMNS,
    RULES,
    Boundary,
    CrowdRun,
    Rule,
    Scale,
    Tally,
    Trial,
    WindowRun,
    boundaries,
)
from savemode_cli.core.tiers import Resolved, amounts
from savemode_cli.views.money import STYLES, amount, exact, percent
from savemode_cli.views.plot import Mark, plot
from savemode_cli.views.terminal import printable

REQUEST_ID = "req_simulated"
_MOST_PICTURES = 3
_MOST_WINDOWS = 24
_MOST_NAMED = 5
_REASONS: dict[Reason, str] = {
    "spent": "the cap was reached; final until the reset",
    "ask": "too big for what was left, under the strict rule",
    "held": "others held the rest; a retry soon after may pass",
    "unknown": "no ledger answered",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """
    The model and the effort that a client would like to run.
    """

    model: str
    effort: str | None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """
    A trace that was run: its windows, what was wrong with its lines (line and what), and the crowds, if any.
    """

    name: str
    budget: Budget
    windows: Sequence[WindowRun]
    late: int
    malformed: int
    problems: Sequence[tuple[int, str]]
    crowd_size: int | None = None
    crowds: Sequence[tuple[Rule, Sequence[CrowdRun]]] = ()

    @property
    def refused(self) -> int:
        """
        How many requests were refused.
        """
        return sum(one.refused_in_all.count for one in self.windows)


def trial_json(one: Trial, wish: Wish) -> dict[str, Any]:
    """
    One spend for machines.
    """
    balance = None if one.standing is None else one.standing.balance
    advice, resolved = one.advice, one.resolved(wish.model, wish.effort)
    return {
        **amounts(spend=None if balance is None else balance.spent_nusd),
        **amounts(held=None if balance is None else balance.held_nusd),
        "used_permille": None if balance is None else permille(balance.used_nusd, one.limit.nusd),
        "guard": {"allow": one.allowed, "status": one.status, **amounts(remaining=one.remaining_nusd)},
        "client": None
        if advice is None
        else {"state": advice.state, "recommended_mode": advice.recommended_mode, "block": advice.block},
        "mode": None
        if resolved is None
        else {
            "model": wish.model,
            "effort": wish.effort,
            "effective_model": resolved.model,
            "effective_effort": resolved.effort,
            "save_mode_active": resolved.active,
        },
        "headers": _decoded(one.decision.headers()),
        "refusal": _refusal_json(one),
    }


def _refusal_json(one: Trial) -> dict[str, Any] | None:
    if not isinstance(one.decision, Refused):
        return None
    status, headers, body = refusal(one.decision, REQUEST_ID)
    return {
        "reason": one.decision.reason,
        "permanent": one.decision.permanent,
        "status": status,
        "headers": _decoded(headers),
        "body": json.loads(body),
    }


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def report_json(kind: str, budget: Budget, **more: Any) -> dict[str, Any]:
    """
    What every report of this command has for machines.
    """
    tiers = [
        {"scale": tier.scale, "tier": tier.name, "share": str(tier.share), **amounts(**{"from": tier.from_nusd})}
        for tier in boundaries(budget)
    ]
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "budget": terms_json(budget), "boundaries": tiers, **more}


def trial_row(one: Trial, wish: Wish) -> dict[str, Any]:
    """
    One spend as a line of CSV.
    """
    seen = trial_json(one, wish)
    guard, client, mode = seen["guard"], seen["client"] or {}, seen["mode"] or {}
    return {
        **{name: seen[name] for name in ("spend_nusd", "spend_usd", "held_nusd", "held_usd", "used_permille")},
        "allow": guard["allow"],
        "guard_status": guard["status"],
        "remaining_nusd": guard["remaining_nusd"],
        "remaining_usd": guard["remaining_usd"],
        "client_state": client.get("state"),
        "recommended_mode": client.get("recommended_mode"),
        "effective_model": mode.get("effective_model"),
        "effective_effort": mode.get("effective_effort"),
    }


def rehearsed_json(done: Rehearsed) -> dict[str, Any]:
    """
    A trace for machines.
    """
    return report_json(
        "trace",
        done.budget,
        trace=done.name,
        malformed_lines=done.malformed,
        malformed=[{"line": line, "problem": problem} for line, problem in done.problems],
        out_of_order=done.late,
        would_refuse=done.refused > 0,
        windows=[_window_json(done, number, one) for number, one in enumerate(done.windows)],
        concurrency=done.crowd_size,
        rules={} if done.crowd_size is None else dict(RULES),
    )


def _window_json(done: Rehearsed, number: int, one: WindowRun) -> dict[str, Any]:
    refused = one.refused_in_all
    return {
        "starts_at": stamp(one.starts_at),
        "resets_at": stamp(one.limit.resets_at),
        "requests": one.offered.count,
        **amounts(offered=one.offered.nusd),
        "ran": one.ran.count,
        **amounts(ran=one.ran.nusd, over=one.over_nusd),
        "refused": refused.count,
        **amounts(refused=refused.nusd),
        "refused_by_reason": {reason: _tally_json(tally) for reason, tally in one.refused.items()},
        "first_refused_at": None if one.first_refused_at is None else stamp(one.first_refused_at),
        "began": [{"scale": scale, "tier": name, "at": stamp(moment)} for (scale, name), moment in one.began.items()],
        "curve_nusd": list(one.curve_nusd),
        "offered_curve_nusd": list(one.offered_curve_nusd),
        "crowds": {
            rule: {
                "ran": runs[number].ran.count,
                **amounts(ran=runs[number].ran.nusd, over=runs[number].over_nusd),
                "refused": runs[number].refused.count,
                **amounts(refused=runs[number].refused.nusd),
            }
            for rule, runs in done.crowds
        },
    }


def _tally_json(tally: Tally) -> dict[str, Any]:
    return {"count": tally.count, **amounts(total=tally.nusd)}


def window_row(done: Rehearsed, number: int) -> dict[str, Any]:
    """
    One window as a line of CSV.
    """
    one = _window_json(done, number, done.windows[number])
    plain = {name: value for name, value in one.items() if not isinstance(value, dict | list)}
    began = {(tier.scale, tier.name): None for tier in boundaries(done.budget)} | done.windows[number].began
    times = {f"{scale}_{name}_at": None if moment is None else stamp(moment) for (scale, name), moment in began.items()}
    crowds = {f"{rule}_over_{unit}": value for rule, crowd in one["crowds"].items() for unit, value in _over(crowd)}
    return plain | times | crowds


def _over(crowd: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "nusd", crowd["over_nusd"]
    yield "usd", crowd["over_usd"]


def show_trial(one: Trial, wish: Wish, console: Console) -> None:
    """
    Print what one spend means: both scales, the headers, the refusal.
    """
    console.print(Text(_title(one), style="bold"))
    console.print()
    console.print(_side_by_side(one, wish))
    _show_headers("headers on the answer", one.decision.headers(), console)
    if isinstance(one.decision, Refused):
        status, headers, body = refusal(one.decision, REQUEST_ID)
        own = [header for header in headers if header not in one.decision.headers()]
        _show_headers(f"the refusal: HTTP {status}", own, console)
        console.print()
        console.print(Text(json.dumps(json.loads(body), indent=2, ensure_ascii=False)))
    elif not one.decision.headers():
        console.print()
        console.print("no budget header is sent: nothing is capped")


def _title(one: Trial) -> str:
    cap = f"a {_adjective(one.limit.budget)} budget of {amount(one.limit.nusd)}"
    if one.standing is None:
        return f"{cap}, the spend unknown: the ledger does not answer"
    balance = one.standing.balance
    held = f" and {amount(balance.held_nusd)} held" if balance.held_nusd else ""
    used = permille(balance.used_nusd, one.limit.nusd)
    return f"{cap}, {amount(balance.spent_nusd)} spent{held}" + ("" if used is None else f" ({percent(used)})")


def _adjective(budget: Budget) -> str:
    return f"{'strict ' if budget.strict else ''}{budget.window.words()}"


def _side_by_side(one: Trial, wish: Wish) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("guard (decides)", overflow="fold")
    table.add_column("client (advised)", overflow="fold")
    advice, resolved = one.advice, one.resolved(wish.model, wish.effort)
    guard, client = one.status or "no cap", "unknown" if advice is None else advice.state
    table.add_row("state", _state(guard), _state(client))
    table.add_row("a request", "starts" if one.allowed else "is refused", _heeding(one))
    table.add_row("left", amount(one.remaining_nusd), "")
    table.add_row("next tier", _next_tier(one, "guard"), _next_tier(one, "client"))
    if advice is not None and resolved is not None:
        table.add_row("mode", "", advice.recommended_mode)
        table.add_row("runs", "", _runs(resolved))
    table.add_row("resets", one.limit.budget.local(one.limit.resets_at), "")
    return table


def _state(name: str) -> Text:
    return Text(name, style=STYLES.get(name, "dim"))


def _heeding(one: Trial) -> str:
    if one.advice is None:
        return "-"
    return "should not be sent" if one.advice.block else "may be sent"


def _runs(resolved: Resolved) -> str:
    return printable(resolved.model) + ("" if resolved.effort is None else f" at {printable(resolved.effort)}")


def _next_tier(one: Trial, scale: Scale) -> str:
    if one.standing is None:
        return "-"
    used = one.standing.balance.used_nusd
    ahead = [tier for tier in boundaries(one.limit.budget) if tier.scale == scale and tier.from_nusd > used]
    return f"{ahead[0].name} at {amount(ahead[0].from_nusd)}" if ahead else "-"


def _show_headers(title: str, headers: Sequence[tuple[bytes, bytes]], console: Console) -> None:
    if not headers:
        return
    console.print()
    console.print(Text(title, style="bold"))
    for name, value in headers:
        console.print(Text(f"  {name.decode()}: {value.decode()}"))


def show_table(trials: Sequence[Trial], wish: Wish, console: Console) -> None:
    """
    Print the tiers of a budget over the spends where something changes.
    """
    limit = trials[0].limit
    console.print(Text(f"the tiers of a {_adjective(limit.budget)} budget of {amount(limit.nusd)}", style="bold"))
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("spend", "used"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("request", no_wrap=True)
    table.add_column("guard", no_wrap=True)
    table.add_column("left", justify="right", overflow="fold")
    for name in ("client", "mode"):
        table.add_column(name, no_wrap=True)
    modes: dict[str, Resolved] = {}
    for one in trials:
        _add_trial(table, one, modes, wish)
    console.print(table)
    console.print()
    for mode, resolved in modes.items():
        console.print(Text(f"{mode:<9} runs {_runs(resolved)}"))
    if limit.capped:
        console.print(Text("one spend with its headers: --spend USD; a recorded trace: --trace PATH", "dim"))
    else:
        console.print(Text("a budget of 0 or less caps nothing", style="dim"))


def _add_trial(table: Table, one: Trial, modes: dict[str, Resolved], wish: Wish) -> None:
    standing, advice, resolved = one.standing, one.advice, one.resolved(wish.model, wish.effort)
    if standing is None or advice is None or resolved is None:
        return
    modes.setdefault(advice.recommended_mode, resolved)
    used = standing.balance.used_nusd
    table.add_row(
        exact(used),
        percent(permille(used, one.limit.nusd)),
        "starts" if one.allowed else Text("refused", style="red"),
        _state(one.status or "no cap"),
        amount(one.remaining_nusd),
        _state(advice.state),
        advice.recommended_mode,
    )


def show_rehearsed(done: Rehearsed, console: Console) -> None:
    """
    Print how a trace would have run: the windows, when tiers began, the curve, the overshoot.
    """
    count = sum(one.offered.count for one in done.windows)
    cap = f"a {_adjective(done.budget)} budget of {amount(done.budget.limit_nusd)}"
    console.print(Text(f"{printable(done.name)}: {count:,} requests against {cap}", style="bold"))
    console.print()
    console.print(_windows(done))
    pictured = _pictured(done)
    for one in pictured:
        console.print()
        _show_window(done.budget, one, console)
    if len(done.windows) > len(pictured):
        console.print()
        console.print(
            Text(f"drawn: {len(pictured)} of {len(done.windows)} windows, the dearest; --json has all", style="dim")
        )
    if done.crowds:
        console.print()
        _show_crowds(done, console)
    notes = list(_notes(done))
    if notes:
        console.print()
    for note in notes:
        console.print(Text(note, style="yellow"))


def _pictured(done: Rehearsed) -> list[WindowRun]:
    """
    The dearest windows that reached a tier; where none did, the dearest of all.
    """
    reached = [one for one in done.windows if one.began]
    most = _MOST_PICTURES if reached else 1
    dearest = sorted(reached or done.windows, key=lambda one: one.offered.nusd, reverse=True)[:most]
    return sorted(dearest, key=lambda one: one.starts_at)


def _first_day(budget: Budget, one: WindowRun) -> str:
    return budget.local(one.starts_at).partition(" ")[0]


def _windows(done: Rehearsed) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("window from", no_wrap=True)
    for name in ("requests", "cost", "let through", "refused", "not spent", "over cap"):
        table.add_column(name, justify="right", overflow="fold")
    for one in done.windows[-_MOST_WINDOWS:]:
        refused = one.refused_in_all
        table.add_row(
            _first_day(done.budget, one),
            f"{one.offered.count:,}",
            amount(one.offered.nusd),
            amount(one.ran.nusd),
            Text(f"{refused.count:,}", style="red" if refused.count else ""),
            amount(refused.nusd),
            amount(one.over_nusd),
        )
    return table


def _show_window(budget: Budget, one: WindowRun, console: Console) -> None:
    console.print(Text(f"window from {_first_day(budget, one)}", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("began", no_wrap=True)
    table.add_column("spend", justify="right", overflow="fold")
    table.add_column("guard", no_wrap=True)
    table.add_column("client", no_wrap=True)
    for tiers in _by_spend(boundaries(budget)):
        names = {tier.scale: tier.name for tier in tiers}
        began = one.began.get((tiers[0].scale, tiers[0].name))
        style = "dim" if began is None else ""
        when = "not reached" if began is None else budget.local(began)
        cells = [_state(names[scale]) if scale in names else Text("") for scale in ("guard", "client")]
        table.add_row(when, amount(tiers[0].from_nusd), *cells, style=style)
    console.print(table)
    for reason, tally in one.refused.items():
        requests = "1 request" if tally.count == 1 else f"{tally.count:,} requests"
        console.print(Text(f"refused {requests}, {amount(tally.nusd)}: {_REASONS[reason]}"))
    if one.first_refused_at is not None:
        console.print(Text(f"the first refusal was at {budget.local(one.first_refused_at)}"))
    console.print()
    for line in _picture(budget, one, unicode=console.encoding.lower().startswith("utf")):
        console.print(Text(line), soft_wrap=True)


def _by_spend(tiers: Sequence[Boundary]) -> list[list[Boundary]]:
    spends = sorted({tier.from_nusd for tier in tiers})
    return [[tier for tier in tiers if tier.from_nusd == spend] for spend in spends]


def _picture(budget: Budget, one: WindowRun, *, unicode: bool) -> list[str]:
    marks = [
        Mark(tiers[0].from_nusd, "cap" if tiers[0].share == 1 else f"{(tiers[0].share * 100).normalize():f} %")
        for tiers in _by_spend(boundaries(budget))
    ]
    ends = _first_day(budget, one), budget.local(one.limit.resets_at).partition(" ")[0]
    return plot(one.curve_nusd, one.offered_curve_nusd, marks, COLUMNS, ends, unicode=unicode)


def _show_crowds(done: Rehearsed, console: Console) -> None:
    console.print(Text(f"over the cap, with {done.crowd_size} requests in flight at once", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("window from", no_wrap=True)
    names = {"no_hold": "no ledger hold", "default": "default rule", "strict": "strict rule"}
    for rule, _ in done.crowds:
        table.add_column(names[rule], justify="right", overflow="fold")
    for number, one in list(enumerate(done.windows))[-_MOST_WINDOWS:]:
        table.add_row(_first_day(done.budget, one), *(amount(runs[number].over_nusd) for _, runs in done.crowds))
    console.print(table)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for rule, _ in done.crowds:
        grid.add_row(names[rule], RULES[rule])
    console.print(grid)


def _notes(done: Rehearsed) -> Iterator[str]:
    if len(done.windows) > _MOST_WINDOWS:
        yield f"only the last {_MOST_WINDOWS} of {len(done.windows)} windows are listed; --json and --csv have all"
    if done.malformed:
        lines = "1 line was" if done.malformed == 1 else f"{done.malformed:,} lines were"
        yield f"{lines} left out:"
        for line, problem in done.problems[:_MOST_NAMED]:
            yield f"  line {line}: {printable(problem)}"
        if done.malformed > _MOST_NAMED:
            yield f"  and {done.malformed - _MOST_NAMED:,} more; --json names {len(done.problems):,}"
    if done.late:
        requests = "1 request" if done.late == 1 else f"{done.late:,} requests"
        yield f"{requests} out of order, taken as if at the time of the one before"
