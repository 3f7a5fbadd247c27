"""
The output of `savemode simulate-budget` for people: one spend, the table of statuses, and a trace.

Rule of this file: the text fits 80 columns and shows both scales side by side. It computes no figure of the simulation.
`simulation_json` writes the same facts for machines.
"""

import json
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from savemode_cli.core.budget.admission import Reason, Refused
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.crowd import ADMISSION_RULES
from savemode_cli.core.budget.overview import permille
from savemode_cli.core.budget.refusal import ERROR_TYPES, REFUSED_STATUS, UNPAID_STATUS, refusal
from savemode_cli.core.budget.scales import Resolved
from savemode_cli.core.budget.simulation import COLUMNS, Boundary, Scale, Trial, WindowRun, boundaries
from savemode_cli.views.max_save import Wish, saving_lines
from savemode_cli.views.money import STYLES, amount, percent
from savemode_cli.views.plot import Mark, plot
from savemode_cli.views.printable import printable
from savemode_cli.views.simulation_json import REQUEST_ID, SimulatedTrace, resolved_for

_MOST_PICTURES = 3
_MOST_WINDOWS = 24
_MOST_NAMED = 5
_REASONS: dict[Reason, str] = {
    "spent": "the cap was reached; final until the reset",
    "ask": "more than what was left, under the strict rule",
    "held": "other requests held the rest; a retry soon after can pass",
    "unknown": "the ledger did not answer",
}


def show_trial(result: Trial, wish: Wish, console: Console) -> None:
    """
    Print the result for one spend: both scales, the headers and the refusal.
    """
    console.print(Text(_title(result), style="bold"))
    console.print()
    console.print(_side_by_side(result, wish))
    _show_headers("headers on the answer", result.decision.headers(), console)
    if isinstance(result.decision, Refused):
        status, headers, body = refusal(result.decision, REQUEST_ID)
        own = [header for header in headers if header not in result.decision.headers()]
        _show_headers(f"the refusal: HTTP {status}", own, console)
        if result.decision.permanent and status == REFUSED_STATUS:
            words = f"to clients that ignore x-should-retry: HTTP {UNPAID_STATUS}, {ERROR_TYPES[UNPAID_STATUS]}"
            console.print(Text(words, style="dim"))
        console.print()
        console.print(Text(json.dumps(json.loads(body), indent=2, ensure_ascii=False)), soft_wrap=True)
    elif not result.decision.headers():
        console.print()
        console.print("no budget header is sent, because there is no cap")


def _title(result: Trial) -> str:
    cap = f"a {_adjective(result.limit.budget)} budget of {amount(result.limit.nusd)}"
    if result.standing is None:
        return f"{cap}, spend unknown: the ledger does not answer"
    balance = result.standing.balance
    held = f" and {amount(balance.held_nusd)} held" if balance.held_nusd else ""
    used = permille(balance.used_nusd, result.limit.nusd)
    return f"{cap}, {amount(balance.spent_nusd)} spent{held}" + ("" if used is None else f" ({percent(used)})")


def _adjective(budget: Budget) -> str:
    return f"{'strict ' if budget.strict else ''}{budget.window.words()}"


def _side_by_side(result: Trial, wish: Wish) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("proxy (decides)", overflow="fold")
    table.add_column("client (advised)", overflow="fold")
    advice, resolved = result.advice, resolved_for(result, wish)
    guard, client = result.status or "no cap", "unknown" if advice is None else advice.state
    table.add_row("state", _state(guard), _state(client))
    table.add_row("a request", "starts" if result.allowed else "is refused", _heeding(result))
    table.add_row("left", amount(result.remaining_nusd), "")
    table.add_row("next tier", _next_tier(result, "guard"), _next_tier(result, "client"))
    if advice is not None and resolved is not None:
        table.add_row("mode", "", advice.recommended_mode)
        table.add_row("runs", "", _runs(resolved))
        if advice.recommended_mode == "max_save":
            table.add_row("", "", "\n".join(saving_lines(wish)))
    table.add_row("window", result.limit.budget.resets(result.limit.resets_at), "")
    return table


def _state(name: str) -> Text:
    return Text(name, style=STYLES.get(name, "dim"))


def _heeding(result: Trial) -> str:
    if result.advice is None:
        return "-"
    return "should not be sent" if result.advice.block else "may be sent"


def _runs(resolved: Resolved) -> str:
    return printable(resolved.model) + ("" if resolved.effort is None else f" at {printable(resolved.effort)}")


def _next_tier(result: Trial, scale: Scale) -> str:
    if result.standing is None:
        return "-"
    used = result.standing.balance.used_nusd
    ahead = [tier for tier in boundaries(result.limit.budget) if tier.scale == scale and tier.from_nusd > used]
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
    Print the tiers of a budget: the spends at which something changes.
    """
    limit = trials[0].limit
    console.print(Text(f"the tiers of a {_adjective(limit.budget)} budget of {amount(limit.nusd)}", style="bold"))
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("spend", "used"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("request", no_wrap=True)
    table.add_column("proxy", no_wrap=True)
    table.add_column("left", justify="right", overflow="fold")
    for name in ("client", "mode"):
        table.add_column(name, no_wrap=True)
    modes: dict[str, Resolved] = {}
    for result in trials:
        _add_trial(table, result, modes, wish)
    console.print(table)
    console.print()
    for mode, resolved in modes.items():
        console.print(Text(f"{mode:<9} runs {_runs(resolved)}"))
        if mode == "max_save":
            for line in saving_lines(wish):
                console.print(Padding(Text(line), (0, 0, 0, 10)))
    if limit.capped:
        console.print(Text("one spend with its headers: --spend USD; a recorded trace: --trace PATH", "dim"))
    else:
        console.print(Text("a budget of 0 or less has no cap", style="dim"))


def _add_trial(table: Table, result: Trial, modes: dict[str, Resolved], wish: Wish) -> None:
    standing, advice, resolved = result.standing, result.advice, resolved_for(result, wish)
    if standing is None or advice is None or resolved is None:
        return
    modes.setdefault(advice.recommended_mode, resolved)
    used = standing.balance.used_nusd
    table.add_row(
        amount(used),
        percent(permille(used, result.limit.nusd)),
        "starts" if result.allowed else Text("refused", style="red"),
        _state(result.status or "no cap"),
        amount(result.remaining_nusd),
        _state(advice.state),
        advice.recommended_mode,
    )


def show_simulated_trace(simulated: SimulatedTrace, console: Console) -> None:
    """
    Print how a trace would have run: the windows, when each tier began, the curve and the overshoot.
    """
    count = sum(window.offered.count for window in simulated.windows)
    cap = f"a {_adjective(simulated.budget)} budget of {amount(simulated.budget.limit_nusd)}"
    console.print(Text(f"{printable(simulated.name)}: {count:,} requests against {cap}", style="bold"))
    console.print()
    console.print(_windows(simulated))
    pictured = _pictured(simulated)
    for window in pictured:
        console.print()
        _show_window(simulated.budget, window, console)
    if len(simulated.windows) > len(pictured):
        console.print()
        console.print(
            Text(
                f"charts of the {len(pictured)} most expensive of {len(simulated.windows)} windows; --json has all of them",
                style="dim",
            )
        )
    if simulated.crowds:
        console.print()
        _show_crowds(simulated, console)
    if simulated.wish is not None:
        console.print()
        console.print(Text(f"max_save runs {printable(simulated.wish.max_save.runs)}", style="bold"))
        for line in saving_lines(simulated.wish):
            console.print(Padding(Text(line), (0, 0, 0, 2)))
    notes = list(_notes(simulated))
    if notes:
        console.print()
    for note in notes:
        console.print(Text(note, style="yellow"))


def _pictured(simulated: SimulatedTrace) -> list[WindowRun]:
    """
    The most expensive windows that reached a tier; if none did, the most expensive of all windows.
    """
    reached = [window for window in simulated.windows if window.began]
    most = _MOST_PICTURES if reached else 1
    most_expensive = sorted(reached or simulated.windows, key=lambda window: window.offered.nusd, reverse=True)[:most]
    return sorted(most_expensive, key=lambda window: window.starts_at)


def _first_day(budget: Budget, window: WindowRun) -> str:
    return budget.local(window.starts_at).partition(" ")[0]


def _windows(simulated: SimulatedTrace) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("window from", no_wrap=True)
    for name in ("requests", "cost", "let through", "refused", "not spent", "over cap"):
        table.add_column(name, justify="right", overflow="fold")
    for window in simulated.windows[-_MOST_WINDOWS:]:
        refused = window.refused_in_all
        table.add_row(
            _first_day(simulated.budget, window),
            f"{window.offered.count:,}",
            amount(window.offered.nusd),
            amount(window.ran.nusd),
            Text(f"{refused.count:,}", style="red" if refused.count else ""),
            amount(refused.nusd),
            amount(window.over_nusd),
        )
    return table


def _show_window(budget: Budget, window: WindowRun, console: Console) -> None:
    console.print(Text(f"window from {_first_day(budget, window)}", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("began", no_wrap=True)
    table.add_column("spend", justify="right", overflow="fold")
    table.add_column("proxy", no_wrap=True)
    table.add_column("client", no_wrap=True)
    for tiers in _by_spend(boundaries(budget)):
        names = {tier.scale: tier.name for tier in tiers}
        began = window.began.get((tiers[0].scale, tiers[0].name))
        style = "dim" if began is None else ""
        when = "not reached" if began is None else budget.local(began)
        cells = [_state(names[scale]) if scale in names else Text("") for scale in ("guard", "client")]
        table.add_row(when, amount(tiers[0].from_nusd), *cells, style=style)
    console.print(table)
    for reason, tally in window.refused.items():
        requests = "1 request" if tally.count == 1 else f"{tally.count:,} requests"
        console.print(Text(f"refused {requests}, {amount(tally.nusd)}: {_REASONS[reason]}"))
    if window.first_refused_at is not None:
        console.print(Text(f"the first refusal was at {budget.local(window.first_refused_at)}"))
    console.print()
    for line in _picture(budget, window, unicode=console.encoding.lower().startswith("utf")):
        console.print(Text(line), soft_wrap=True)


def _by_spend(tiers: Sequence[Boundary]) -> list[list[Boundary]]:
    spends = sorted({tier.from_nusd for tier in tiers})
    return [[tier for tier in tiers if tier.from_nusd == spend] for spend in spends]


def _picture(budget: Budget, window: WindowRun, *, unicode: bool) -> list[str]:
    marks = [
        Mark(tiers[0].from_nusd, "cap" if tiers[0].share == 1 else f"{(tiers[0].share * 100).normalize():f} %")
        for tiers in _by_spend(boundaries(budget))
    ]
    ends = _first_day(budget, window), budget.local(window.ends_at).partition(" ")[0]
    return plot(window.curve_nusd, window.offered_curve_nusd, marks, COLUMNS, ends, unicode=unicode)


def _show_crowds(simulated: SimulatedTrace, console: Console) -> None:
    console.print(Text(f"over the cap, with {simulated.crowd_size} requests in flight at once", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    table.add_column("window from", no_wrap=True)
    names = {"no_hold": "no ledger hold", "default": "default rule", "strict": "strict rule"}
    for rule, _ in simulated.crowds:
        table.add_column(names[rule], justify="right", overflow="fold")
    for number, window in list(enumerate(simulated.windows))[-_MOST_WINDOWS:]:
        table.add_row(
            _first_day(simulated.budget, window), *(amount(runs[number].over_nusd) for _, runs in simulated.crowds)
        )
    console.print(table)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for rule, _ in simulated.crowds:
        grid.add_row(names[rule], ADMISSION_RULES[rule])
    console.print(grid)


def _notes(simulated: SimulatedTrace) -> Iterator[str]:
    if len(simulated.windows) > _MOST_WINDOWS:
        yield f"only the last {_MOST_WINDOWS} of {len(simulated.windows)} windows are listed; --json and --csv have all of them"
    if simulated.malformed:
        lines = "1 line was" if simulated.malformed == 1 else f"{simulated.malformed:,} lines were"
        yield f"{lines} left out:"
        for line, problem in simulated.problems[:_MOST_NAMED]:
            yield f"  line {line}: {printable(problem)}"
        if simulated.malformed > _MOST_NAMED:
            yield f"  and {simulated.malformed - _MOST_NAMED:,} more; --json lists {len(simulated.problems):,}"
    if simulated.late:
        requests = "1 request" if simulated.late == 1 else f"{simulated.late:,} requests"
        yield f"{requests} out of order, counted at the time of the request before"
