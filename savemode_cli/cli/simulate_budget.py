"""
`savemode simulate-budget`: what a cap would say to a spend, and to a recorded trace.

Rule of this file: it reads words and lines; every verdict is the core's, the same that the proxy gives.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from savemode_cli.cli import options
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.budget import Budget
    from savemode_cli.core.rehearsal import Request
    from savemode_cli.views.simulation import Rehearsed

UNKNOWN = "unknown"
_MOST_PROBLEMS = 100
_MOST_AT_ONCE = 10_000


def simulate_budget(
    budget: Annotated[str | None, typer.Option(help="The cap in US dollars.  [default: the one configured]")] = None,
    spend: Annotated[
        str | None, typer.Option(help="What is spent, in US dollars, or unknown: the ledger fails.")
    ] = None,
    held: Annotated[str | None, typer.Option(help="What other requests hold, in US dollars.  [default: 0]")] = None,
    ask: Annotated[str | None, typer.Option(help="What the request may cost; matters if strict.  [default: 0]")] = None,
    trace: Annotated[
        str | None,
        typer.Option(metavar="PATH|-", help='JSONL of {"at": TIME, "cost_usd": "0.12"}, or what `replay` reads.'),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Overshoot of the trace with so many requests at once.")
    ] = None,
    override: Annotated[bool, typer.Option("--override", help="As if each request had the override.")] = False,
    strict: Annotated[bool | None, typer.Option("--strict/--no-strict", help="Never cross the cap.")] = None,
    fail: Annotated[
        str | None, typer.Option(help="open or closed, when the spend is unknown.  [default: open]")
    ] = None,
    warn_at: Annotated[str | None, typer.Option(help="The client's warn.  [default: 0.70]")] = None,
    engage_at: Annotated[str | None, typer.Option(help="The client's engage.  [default: 0.85]")] = None,
    window: Annotated[
        str | None, typer.Option("--budget-window", help="month, week, day or month:N.  [default: month]")
    ] = None,
    zone: Annotated[str | None, typer.Option("--budget-zone", help="Of the reset.  [default: UTC]")] = None,
    model: Annotated[str, typer.Option(help="The model a client would like to run.")] = "claude-opus-5-5",
    effort: Annotated[str | None, typer.Option(help="Its effort: low, medium, high, xhigh or max.")] = "xhigh",
    as_json: Annotated[bool, typer.Option("--json", help="Print it for machines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print it as a table for a spreadsheet.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a request would be refused.")] = False,
    price_file: options.PriceFile = None,
    config: options.Config = None,
) -> None:
    """
    Show what a budget says: at one spend, at every boundary, or to a recorded trace of costs.
    """
    from savemode_cli.config import load
    from savemode_cli.core.tiers import EFFORTS

    if effort is not None and effort not in EFFORTS:
        raise BadInput(f"--effort {effort!r} is none of the API's", hint=f"give {', '.join(EFFORTS)}")
    flags = {"strict": strict, "fail": fail, "warn_at": warn_at, "engage_at": engage_at, "price_file": price_file}
    settings = load({**flags, "budget_window": window, "budget_zone": zone}, config=config)
    if spend is None and (held is not None or ask is not None):
        raise BadInput("--held and --ask go with --spend", hint="like --spend 17.50 --held 2")
    _check_words(spend, trace, concurrency, as_json=as_json, as_csv=as_csv, check=check)
    chosen = _chosen(settings, budget)
    shown = _Shown(model, effort, as_json=as_json, as_csv=as_csv)
    if trace is not None:
        refused = _rehearse(chosen, trace, concurrency, shown, override=override, price_file=settings.price_file)
    elif spend is not None:
        held_nusd, ask_nusd = _amount("--held", held), _amount("--ask", ask)
        refused = _try(chosen, spend, settings, shown, override=override, held_nusd=held_nusd, ask_nusd=ask_nusd)
    else:
        refused = False
        _tabulate(chosen, shown, override=override)
    if check and refused:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Shown:
    """
    How to print, and for whom.
    """

    model: str
    effort: str | None
    as_json: bool
    as_csv: bool


def _try(
    budget: "Budget", spend: str, settings: "Settings", shown: _Shown, *, override: bool, held_nusd: int, ask_nusd: int
) -> bool:
    """
    Print what one spend is told; whether it is refused.
    """
    from savemode_cli.core.rehearsal import trial
    from savemode_cli.views.simulation import Wish, report_json, show_trial, trial_json, trial_row

    spend_nusd = None if spend.strip().lower() == UNKNOWN else _amount("--spend", spend, negative=True)
    one = trial(
        budget,
        spend_nusd,
        datetime.now(UTC),
        held_nusd=held_nusd,
        ask_nusd=ask_nusd,
        override=override,
        fail=settings.fail,
    )
    wish = Wish(shown.model, shown.effort)
    if shown.as_json:
        typer.echo(json.dumps(report_json("spend", budget, **trial_json(one, wish)), indent=2))
    elif shown.as_csv:
        _print_csv([trial_row(one, wish)])
    else:
        from savemode_cli.cli.screen import console

        show_trial(one, wish, console())
    return not one.allowed


def _tabulate(budget: "Budget", shown: _Shown, *, override: bool) -> None:
    """
    Print the table over the spends where something changes.
    """
    from savemode_cli.core.rehearsal import telling_spends, trial
    from savemode_cli.views.simulation import Wish, report_json, show_table, trial_json, trial_row

    now = datetime.now(UTC)
    trials = [trial(budget, spend, now, override=override) for spend in telling_spends(budget)]
    wish = Wish(shown.model, shown.effort)
    if shown.as_json:
        rows = [trial_json(one, wish) for one in trials]
        typer.echo(json.dumps(report_json("table", budget, rows=rows), indent=2))
    elif shown.as_csv:
        _print_csv([trial_row(one, wish) for one in trials])
    else:
        from savemode_cli.cli.screen import console

        show_table(trials, wish, console())


def _rehearse(
    budget: "Budget", name: str, size: int | None, shown: _Shown, *, override: bool, price_file: Path | None
) -> bool:
    """
    Print how a trace would have run; whether anything was refused.
    """
    from savemode_cli.views.simulation import rehearsed_json, show_rehearsed, window_row

    if budget.limit_nusd <= 0:
        raise BadInput("a budget of 0 or less caps nothing: there is nothing to rehearse", hint="like --budget 20")
    done = rehearse(budget, name, size, override=override, price_file=price_file)
    if shown.as_json:
        typer.echo(json.dumps(rehearsed_json(done), indent=2))
    elif shown.as_csv:
        _print_csv([window_row(done, number) for number in range(len(done.windows))])
    else:
        from savemode_cli.cli.screen import console

        show_rehearsed(done, console())
    return done.refused > 0


def rehearse(
    budget: "Budget", name: str, size: int | None, *, override: bool, price_file: Path | None = None
) -> "Rehearsed":
    """
    Run a trace, line by line, against a budget; and by a crowd under each rule, if one is asked for.

    Raises:
        BadInput: it cannot be read, or not one line of it can.
    """
    from savemode_cli.core.rehearsal import RULES, Crowd, Rehearsal
    from savemode_cli.views.simulation import Rehearsed

    run = Rehearsal(budget, override=override)
    crowds = [(rule, Crowd(budget, size, rule)) for rule in RULES] if size is not None else []
    problems = _Problems()
    for request in _trace(name, price_file, problems):
        run.feed(request)
        for _, crowd in crowds:
            crowd.feed(request)
    for _, crowd in crowds:
        crowd.finish()
    shown = "stdin" if name == "-" else Path(name).name
    if not run.windows:
        first = f"line {problems.named[0][0]}: {problems.named[0][1]}" if problems.named else "it is empty"
        raise BadInput(
            f"{shown} has no request: {first}", hint='a line is like {"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12"}'
        )
    return Rehearsed(
        name=shown,
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
    The lines that are no requests: all are counted, the first hundred named.
    """

    count: int = 0
    named: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, problem: str) -> None:
        self.count += 1
        if len(self.named) < _MOST_PROBLEMS:
            self.named.append((line, problem))


def _trace(name: str, price_file: Path | None, problems: _Problems) -> "Iterator[Request]":
    """
    The requests by time: of recorded traffic all sorted, of a trace of costs as nearly as a log is.
    """
    from savemode_cli.cli.recorded_costs import recorded_costs, recorded_files
    from savemode_cli.core.rehearsal import nearly_sorted

    files = recorded_files(name)
    if not files:
        with _opened(name) as lines:
            yield from nearly_sorted(_requests(lines, problems))
        return
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.problems import Problems

    met = Problems()
    yield from recorded_costs(files, load_prices(price_file), met)
    problems.count = met.count
    problems.named = [(one.line or 1, f"{one.file}: {one.what}") for one in met.named]


def _requests(lines: BinaryIO, problems: _Problems) -> "Iterator[Request]":
    from savemode_cli.core.rehearsal import read_request

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


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """
    The lines of a file, or of stdin; with a progress bar where somebody watches.
    """
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below; only opening it may fail with these words
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"cannot read {name}: {reason}", hint="give a JSONL file, or - for stdin") from None
    with file:
        if not sys.stderr.isatty():
            yield file
            return
        from rich.console import Console
        from rich.progress import wrap_file

        size = Path(name).stat().st_size
        with wrap_file(file, size, description=Path(name).name, console=Console(stderr=True), transient=True) as lines:
            yield lines


def _chosen(settings: "Settings", text: str | None) -> "Budget":
    """
    The budget that is tried: the one given, or the one configured as default.
    """
    if text is not None:
        return settings.default_budget(_amount("--budget", text, negative=True))
    if settings.budget_nusd is None:
        raise BadInput("no budget is given and none is configured", hint="like --budget 20")
    return settings.default_budget(settings.budget_nusd)


def _amount(name: str, text: str | None, *, negative: bool = False) -> int:
    from savemode_cli.core.tiers import parse_usd

    nusd = 0 if text is None else parse_usd(text)
    if nusd is None or (nusd < 0 and not negative):
        raise BadInput(f"{name} {text!r} is no amount of US dollars", hint=f"like {name} 17.50")
    return nusd


def _check_words(
    spend: str | None, trace: str | None, concurrency: int | None, *, as_json: bool, as_csv: bool, check: bool
) -> None:
    if spend is not None and trace is not None:
        raise BadInput("--spend and --trace are two questions", hint="give one of them")
    if concurrency is not None and (trace is None or not 1 <= concurrency <= _MOST_AT_ONCE):
        raise BadInput(f"--concurrency takes a --trace and a number from 1 to {_MOST_AT_ONCE}")
    if as_json and as_csv:
        raise BadInput("--json and --csv are two formats", hint="give one of them")
    if check and spend is None and trace is None:
        raise BadInput("--check has nothing to check", hint="give --spend or --trace")


def _print_csv(rows: Sequence[dict[str, Any]]) -> None:
    # The columns of the first row are those of all. Line ends as everywhere else on this machine.
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
