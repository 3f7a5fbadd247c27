"""
`savemode simulate-budget`: what a budget does at one spend, at every boundary, and with a recorded trace.

Rule of this file: it reads options and lines. The core makes every decision, the same code that the proxy uses.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.progress import opened, progress
from savemode_cli.cli.screen import console, echo, echo_json
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.budget import Budget
    from savemode_cli.core.budget.trace import Request
    from savemode_cli.core.money.mix import TokenMix
    from savemode_cli.views.max_save import Wish
    from savemode_cli.views.simulation_json import SimulatedTrace

UNKNOWN = "unknown"
_MOST_PROBLEMS = 100
_MOST_AT_ONCE = 10_000


def simulate_budget(
    flags: Flags,
    spend: Annotated[
        str | None, typer.Option(help="Amount spent, in US dollars; unknown: as if the ledger fails.")
    ] = None,
    held: Annotated[
        str | None, typer.Option(help="Amount that other requests hold, in US dollars.  [default: 0]")
    ] = None,
    ask: Annotated[
        str | None, typer.Option(help="Most that the request can cost; used if strict.  [default: 0]")
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|-", help='JSONL of {"at": TIME, "cost_usd": "0.12"}, or a recording that replay reads.'
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Also show the overshoot with this many requests at once.")
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Treat each request as if it had the override header.")
    ] = False,
    model: Annotated[str, typer.Option(help="The model that the client asks for.")] = "claude-opus-5-5",
    effort: Annotated[
        str | None, typer.Option(help="The effort that it asks for: low, medium, high, xhigh or max.")
    ] = "xhigh",
    cheaper_model: Annotated[
        str, typer.Option(metavar="MODEL", help="What max_save runs: a model, any (the cheapest model), or auto.")
    ] = "auto",
    mix: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Recorded traffic to choose it by.  [default: your own]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Output CSV.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a request would be refused.")] = False,
) -> None:
    """
    Show what a budget does: at one spend, at every boundary, or with a recorded trace of costs.
    """
    from savemode_cli.core.budget.scales import EFFORTS

    if effort is not None and effort not in EFFORTS:
        raise BadInput(f"--effort must be one of {', '.join(EFFORTS)} (got {effort!r})")
    settings = flags.settings()
    if spend is None and (held is not None or ask is not None):
        raise BadInput("--held and --ask need --spend", hint="for example --spend 17.50 --held 2")
    _check_words(spend, trace, concurrency, as_json=as_json, as_csv=as_csv, check=check)
    chosen = _chosen(settings)
    shown = _Shown(model, effort, cheaper_model, mix, settings, as_json=as_json, as_csv=as_csv)
    if trace is not None:
        refused = _simulate_trace(chosen, trace, concurrency, shown, override=override)
    elif spend is not None:
        held_nusd, ask_nusd = _amount("--held", held), _amount("--ask", ask)
        refused = _simulate_spend(chosen, spend, shown, override=override, held_nusd=held_nusd, ask_nusd=ask_nusd)
    else:
        refused = False
        _tabulate(chosen, shown, override=override)
    if check and refused:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Shown:
    """
    The options of the output, and the model and effort that the client asks for.
    """

    model: str
    effort: str | None
    cheaper_model: str
    mix: str | None
    settings: "Settings"
    as_json: bool
    as_csv: bool

    def wish(self, recorded: "tuple[TokenMix, str] | None" = None) -> "Wish":
        """
        The model that the client asks for, and the model that `max_save` runs instead.

        Args:
            recorded: the tokens of the trace, and its name. None if there is no trace.
        """
        from savemode_cli.core.budget.cheaper import max_save
        from savemode_cli.prices import load_prices
        from savemode_cli.views.max_save import Wish

        mix, whose = recorded if self.mix is None and recorded is not None else _mix(self.mix, self.settings)
        prices, now = load_prices(self.settings.price_file), datetime.now(UTC)
        chosen = max_save(self.model, mix, prices, now, instead=self.cheaper_model)
        return Wish(self.model, self.effort, chosen, whose, mix.requests)


def _mix(name: str | None, settings: "Settings") -> "tuple[TokenMix, str]":
    """
    The tokens of a recording, or else of this user's own traffic; and where they come from.
    """
    from savemode_cli.config import user_captures
    from savemode_cli.readers.mix import OwnRecord, claude_projects, mix_of, own_mix

    if name is not None:
        mix = mix_of(name)
        if not mix.requests:
            raise BadInput(
                f"--mix {name}: no recorded usage was found",
                hint="give a file or folder that `savemode replay` can read",
            )
        return mix, Path(name).name
    captures, projects = settings.capture or user_captures(), claude_projects(os.environ, Path.home())
    own = OwnRecord(settings.proxies_folder, settings.ledger_id, settings.access_token, captures, projects)
    return own_mix(own, datetime.now(UTC))


def _simulate_spend(
    budget: "Budget", spend: str, shown: _Shown, *, override: bool, held_nusd: int, ask_nusd: int
) -> bool:
    """
    Print the result for one spend.

    Returns:
        Whether the request would be refused.
    """
    from savemode_cli.core.budget.simulation import trial
    from savemode_cli.core.budget.without_ledger import fail_for
    from savemode_cli.views.max_save import saving_json
    from savemode_cli.views.simulation import show_trial
    from savemode_cli.views.simulation_json import report_json, trial_json, trial_row

    spend_nusd = None if spend.strip().lower() == UNKNOWN else _amount("--spend", spend)
    result = trial(
        budget,
        spend_nusd,
        datetime.now(UTC),
        held_nusd=held_nusd,
        ask_nusd=ask_nusd,
        override=override,
        fail=fail_for([budget], shown.settings.fail),
    )
    wish = shown.wish()
    if shown.as_json:
        echo_json(report_json("spend", budget, **trial_json(result, wish), max_save=saving_json(wish)))
    elif shown.as_csv:
        _print_csv([trial_row(result, wish)])
    else:
        show_trial(result, wish, console())
    return not result.allowed


def _tabulate(budget: "Budget", shown: _Shown, *, override: bool) -> None:
    """
    Print a table of the spends at which something changes.
    """
    from savemode_cli.core.budget.simulation import telling_spends, trial
    from savemode_cli.views.max_save import saving_json
    from savemode_cli.views.simulation import show_table
    from savemode_cli.views.simulation_json import report_json, trial_json, trial_row

    now = datetime.now(UTC)
    trials = [trial(budget, spend, now, override=override) for spend in telling_spends(budget)]
    wish = shown.wish()
    if shown.as_json:
        rows = [trial_json(result, wish) for result in trials]
        echo_json(report_json("table", budget, rows=rows, max_save=saving_json(wish)))
    elif shown.as_csv:
        _print_csv([trial_row(result, wish) for result in trials])
    else:
        show_table(trials, wish, console())


def _simulate_trace(budget: "Budget", name: str, size: int | None, shown: _Shown, *, override: bool) -> bool:
    """
    Print how a trace would have run.

    Returns:
        Whether a request was refused.
    """
    from savemode_cli.core.money.mix import TokenMix
    from savemode_cli.views.simulation import show_simulated_trace
    from savemode_cli.views.simulation_json import simulated_trace_json, window_row

    if budget.limit_nusd <= 0:
        raise BadInput(
            "a budget of 0 or less has no cap, so there is nothing to simulate", hint="for example --budget 20"
        )
    mix = TokenMix()
    simulated = simulate_trace(budget, name, size, override=override, price_file=shown.settings.price_file, mix=mix)
    if mix.requests or shown.mix is not None:
        simulated = replace(simulated, wish=shown.wish((mix, simulated.name)))
    if shown.as_json:
        echo_json(simulated_trace_json(simulated))
    elif shown.as_csv:
        _print_csv([window_row(simulated, number) for number in range(len(simulated.windows))])
    else:
        show_simulated_trace(simulated, console())
    return simulated.refused > 0


def simulate_trace(
    budget: "Budget",
    name: str,
    size: int | None,
    *,
    override: bool,
    price_file: Path | None = None,
    mix: "TokenMix | None" = None,
) -> "SimulatedTrace":
    """
    Run a trace against a budget, line by line.

    Args:
        budget: the budget.
        name: the path of the trace; `-` is stdin.
        size: how many requests are in flight at once in the simulation of the overshoot. None: leave it out.
        override: whether each request has the override header.
        price_file: the user's price file, for recorded traffic.
        mix: receives the tokens of recorded traffic. A trace of costs has no tokens.

    Returns:
        The result of the simulation.

    Raises:
        BadInput: the trace cannot be read, or none of its lines can.
    """
    from savemode_cli.core.budget.crowd import ADMISSION_RULES, Crowd
    from savemode_cli.core.budget.simulation import TraceSimulation
    from savemode_cli.views.simulation_json import SimulatedTrace

    run = TraceSimulation(budget, override=override)
    crowds = [(rule, Crowd(budget, size, rule)) for rule in ADMISSION_RULES] if size is not None else []
    problems = _Problems()
    for request in _trace(name, price_file, problems, mix):
        run.feed(request)
        for _, crowd in crowds:
            crowd.feed(request)
    for _, crowd in crowds:
        crowd.finish()
    title = "stdin" if name == "-" else Path(name).name
    if not run.windows:
        first = f"line {problems.named[0][0]}: {problems.named[0][1]}" if problems.named else "the file is empty"
        raise BadInput(
            f"{title} has no request: {first}",
            hint='example of a line: {"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12"}',
        )
    return SimulatedTrace(
        name=title,
        budget=budget,
        windows=run.windows,
        late=run.late,
        malformed=problems.count,
        problems=problems.named,
        crowd_size=size,
        crowds=[(rule, crowd.windows) for rule, crowd in crowds],
    )


@dataclass(slots=True)
class _Problems:
    """
    The lines that are not requests: all of them are counted, and the first hundred are listed.
    """

    count: int = 0
    named: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, problem: str) -> None:
        self.count += 1
        if len(self.named) < _MOST_PROBLEMS:
            self.named.append((line, problem))


def _trace(name: str, price_file: Path | None, problems: _Problems, mix: "TokenMix | None") -> "Iterator[Request]":
    """
    The requests by time. Recorded traffic is sorted; a trace of costs only as far as `nearly_sorted` can.
    """
    from savemode_cli.core.budget.trace import nearly_sorted
    from savemode_cli.readers.costs import recorded_costs, recorded_files

    files = recorded_files(name)
    if not files:
        with opened(name) as lines:
            yield from nearly_sorted(_requests(lines, problems), lambda request: request.at)
        return
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.problems import Problems

    met = Problems()
    with progress(sum(path.stat().st_size for path, _ in files)) as advance:
        requests = recorded_costs(files, load_prices(price_file), met, mix, advance)
    yield from requests
    problems.count = met.count
    problems.named = [(problem.line or 1, f"{problem.file}: {problem.what}") for problem in met.named]


def _requests(lines: BinaryIO, problems: _Problems) -> "Iterator[Request]":
    from savemode_cli.core.budget.trace import read_request

    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            problems.add(number, "not UTF-8")
            continue
        if not text.strip():
            continue
        try:
            yield read_request(text)
        except ValueError as error:
            problems.add(number, str(error))


def _chosen(settings: "Settings") -> "Budget":
    """
    The budget to simulate: the one given or configured, or else that of the ledger.
    """
    if settings.budget_nusd is not None:
        return settings.default_budget(settings.budget_nusd)
    stored = _stored(settings)
    if stored is None:
        raise BadInput("no budget is given or configured", hint="for example --budget 20")
    return stored


def _stored(settings: "Settings") -> "Budget | None":
    """
    The budget that `savemode budget set` keeps in the ledger; None without one.
    """
    from savemode_cli.cli.opened_ledger import open_configured
    from savemode_cli.core.budget.budget import DEFAULT_BUDGET
    from savemode_cli.ledgers import file_of

    file = file_of(settings.ledger_url)
    if not settings.ledger_id or (file is not None and not file.exists()):
        return None
    ledger = open_configured(settings)
    try:
        return next((one for one in ledger.budgets() if one.name == DEFAULT_BUDGET), None)
    finally:
        ledger.close()


def _amount(name: str, text: str | None) -> int:
    from savemode_cli.core.money.amounts import parse_usd

    nusd = 0 if text is None else parse_usd(text)
    if nusd is None or nusd < 0:
        raise BadInput(
            f"{name} {text!r} is not an amount of US dollars", hint=f"give 0 or more, for example {name} 17.50"
        )
    return nusd


def _check_words(
    spend: str | None, trace: str | None, concurrency: int | None, *, as_json: bool, as_csv: bool, check: bool
) -> None:
    if spend is not None and trace is not None:
        raise BadInput("--spend and --trace cannot be used together", hint="give one of them")
    if concurrency is not None and (trace is None or not 1 <= concurrency <= _MOST_AT_ONCE):
        raise BadInput(f"--concurrency needs --trace and a number from 1 to {_MOST_AT_ONCE}")
    if as_json and as_csv:
        raise BadInput("--json and --csv cannot be used together", hint="give one of them")
    if check and spend is None and trace is None:
        raise BadInput("--check needs --spend or --trace", hint="give one of them")


def _print_csv(rows: Sequence[dict[str, Any]]) -> None:
    # All rows have the columns of the first one. Lines end with a newline, as in all other output.
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    echo(table.getvalue().removesuffix("\n"))
