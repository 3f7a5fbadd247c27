"""
A replay on 80 columns: first how reliable it is, then what each policy would have cost, then what to do.

Rule of this file: it computes no money. Where the grade is poor it shows the bill and the reason, and no other amount.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from savemode_cli.core.money.pricing import nusd_of
from savemode_cli.core.replay.bodies import Upgrades
from savemode_cli.core.replay.choices import REPLAY_CHOICES
from savemode_cli.core.replay.grade import Grade
from savemode_cli.core.replay.policies import REPLAY_POLICIES, PolicyName
from savemode_cli.core.replay.recording import SessionWay
from savemode_cli.core.replay.report import Estimate, Replay, WholeBill
from savemode_cli.core.replay.sessions import PAUSE_EDGES_S
from savemode_cli.views import upgrades
from savemode_cli.views.aligned import Cell, money, show_table, signed_money
from savemode_cli.views.plot import Curve, bar, curves, plain
from savemode_cli.views.printable import printable
from savemode_cli.views.replay_json import hour_of, quotable
from savemode_cli.views.replay_words import (
    CENT,
    Shown,
    about_files,
    about_stale,
    not_established,
    notes,
    plural,
    recommendation,
    share,
    signed_share,
    title,
)

_MOST_SESSIONS = 3
_COLUMNS = 62
_BAR_COLUMNS = 40

_GAP_NAMES = {
    "first": "first of its lane",
    "to_1m": "up to 1 min",
    "to_5m": "1 to 5 min",
    "to_1h": "5 min to 1 h",
    "over_1h": "over 1 h",
}


def show(shown: Shown, console: Console, *, verbose: bool = False) -> None:
    """
    Print it: the grade first, the recommendation last.

    Args:
        shown: the replay.
        console: where to print it.
        verbose: whether each session of a transcript has a row that says how it was replayed.
    """
    replay = shown.replay
    if verbose and shown.ways:
        _show_ways(shown.ways, console)
    if shown.upgrades is not None:
        _show_upgrades(shown.upgrades, console)
    _heading(title(shown), console)
    if shown.files:
        _paragraph(about_files(shown), console, "dim")
    if replay.requests:
        _show_figures(shown, console)
    _show_notes(shown, console)
    if replay.requests:
        style = "bold green" if replay.advice.verdict == "switch" else "bold"
        console.print()
        _paragraph(recommendation(replay), console, style)


def _show_ways(ways: Sequence[SessionWay], console: Console) -> None:
    _heading("how transcripts are replayed", console)
    rows = [
        (printable(way.session)[:36], "by requests" if way.by_requests else "by usage", Cell(printable(way.why), "dim"))
        for way in ways
    ]
    show_table(rows, console)
    console.print()


def _show_figures(shown: Shown, console: Console) -> None:
    replay = shown.replay
    for part in (_show_grade, _show_policies, _show_bill, _show_gaps):
        console.print()
        part(shown, console)
    if not replay.grade.problem:
        for figure in (_show_sessions, _show_curves):
            console.print()
            figure(replay, console)


def _heading(text: str, console: Console) -> None:
    console.print(Text(text, style="bold"))


def _line(text: str, console: Console, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def _paragraph(text: str, console: Console, style: str, first: str = "", others: str | None = None) -> None:
    """
    Print a text over as many lines as it needs, none with a blank at its end.

    Args:
        text: the text.
        console: where to print it.
        style: its colour.
        first: the indent of the first line.
        others: the indent of the other lines; by default the same.
    """
    indent = first if others is None else others
    for line in wrap(text, console.width, initial_indent=first, subsequent_indent=indent):
        _line(line, console, style)


def _show_upgrades(found: Upgrades, console: Console) -> None:
    first, *rest = upgrades.lines(found)
    _heading(first, console)
    for line in rest:
        _line(line, console)
    console.print()


def _show_grade(shown: Shown, console: Console) -> None:
    replay, grade = shown.replay, shown.replay.grade
    _heading("how reliable this is", console)
    right = Cell(share(grade.right_share), "red" if grade.problem else "green")
    beside = ", for answers alone" if replay.bill.beside_nusd else ""
    rows: list[tuple[Cell | str, ...]] = [
        ("hit or miss right", right, f"of {plural(grade.requests, 'request')}"),
        ("after over 4 min", share(grade.long_right_share), f"of {grade.long_requests:,}"),
        ("dollars", signed_share(grade.dollar_error), f"predicted {_dollars(grade.predicted_ausd)} for prompts"),
        ("", "", f"billed    {_dollars(grade.billed_ausd)}{beside}"),
        ("tokens", "", _token_errors(grade)),
    ]
    show_table(rows, console, right=(1,))
    if grade.problem:
        _paragraph(f"Not good enough: {grade.problem}.", console, "red", "  ")
        _line("  So what another policy would have cost is not quoted.", console)
    if grade.lost_requests:
        _show_losses(grade, console)
    for stale in replay.stale:
        _paragraph(about_stale(stale), console, "red", "  ")
    if not grade.problem:
        _line("  it does not show", console, "dim")
        for claim in not_established(replay):
            _paragraph(claim, console, "dim", "    - ", "      ")


def _show_losses(grade: Grade, console: Console) -> None:
    lost = f"{plural(grade.lost_requests, 'warm prompt')} {'was' if grade.lost_requests == 1 else 'were'} written anew"
    text = (
        f"{lost}, as the client had changed content: {_dollars(grade.lost_ausd)}. No TTL saves that. It is in the prediction "
        f"at the rate of this record; the TTLs alone predict {signed_share(grade.alone_error)}."
    )
    _paragraph(text, console, "dim", "  ")


def _dollars(ausd: int) -> str:
    return money(nusd_of(ausd))


def _token_errors(grade: Grade) -> str:
    pairs = [
        ("reads", grade.recorded.read_tokens, grade.predicted.read_tokens),
        ("5m writes", grade.recorded.write_5m_tokens, grade.predicted.write_5m_tokens),
        ("1h writes", grade.recorded.write_1h_tokens, grade.predicted.write_1h_tokens),
    ]
    return ", ".join(
        f"{name} {signed_share(Fraction(predicted - recorded, recorded))}"
        for name, recorded, predicted in pairs
        if recorded
    )


def _show_policies(shown: Shown, console: Console) -> None:
    replay = shown.replay
    _heading("what the prompts cost", console)
    names = ("(output costs the same)", "read", "5m write", "1h write", "cost", "against bill")
    rows = [tuple(Cell(name, "dim") for name in names), *(_policy_row(one, shown) for one in quotable(replay))]
    show_table(rows, console, right=(1, 2, 3, 4, 5))
    if replay.grade.problem:
        return
    if not shown.idle_prone:
        _line(f"  {printable(shown.product)} is not idle-prone: its requests are not upgraded", console, "dim")
    for estimate in replay.estimates:
        if estimate.regret_nusd is not None:
            _line(f"  {_about_regret(estimate)}", console, "dim")


def _policy_row(estimate: Estimate, shown: Shown) -> tuple[Cell, ...]:
    hindsight = estimate.name in REPLAY_CHOICES and REPLAY_CHOICES[estimate.name].uses_hindsight
    cents = estimate.difference_nusd
    colour = "green" if cents <= -CENT else "red" if cents >= CENT else "dim"
    tokens = estimate.tokens
    texts = (
        _policy_title(estimate.name, shown),
        _tokens(tokens.read_tokens),
        _tokens(tokens.write_5m_tokens),
        _tokens(tokens.write_1h_tokens),
        money(estimate.nusd),
    )
    change = "" if estimate.name == "recorded" else signed_money(cents)
    style = "dim" if hindsight else ""
    return (*(Cell(text, style) for text in texts), Cell(change, style or colour))


def _policy_title(name: PolicyName, shown: Shown) -> str:
    if name in REPLAY_CHOICES:
        return REPLAY_CHOICES[name].title
    policy = REPLAY_POLICIES[name].title
    return f"{policy} {printable(shown.product)}"[:22] if name == "product" else policy


def _about_regret(estimate: Estimate) -> str:
    best = estimate.nusd - (estimate.regret_nusd or 0)
    regret = signed_share(Fraction(estimate.regret_nusd or 0, best)) if best else "n/a"
    return f"{REPLAY_CHOICES[estimate.name].title}: {regret} to the better TTL of each session, known in hindsight"


def _show_bill(shown: Shown, console: Console) -> None:
    bill = shown.replay.bill
    _heading("what the record cost", console)
    beside = f"{money(bill.beside_nusd)} of it for compactions, advisors, fallbacks" if bill.beside_nusd else ""
    rows = [
        ("prompts", money(bill.prompts_nusd), Cell(beside, "dim")),
        ("output", money(bill.output_nusd), Cell(_about_output(bill), "dim")),
    ]
    if bill.unlisted_nusd:
        part = share(Fraction(bill.unlisted_nusd, bill.total_nusd))
        rows.append(
            ("other calls", money(bill.unlisted_nusd), Cell(f"{part}, only in cost-state lines: compactions", "dim"))
        )
    show_table([*rows, ("together", money(bill.total_nusd))], console, right=(1,))


def _about_output(bill: WholeBill) -> str:
    if not bill.partial_outputs:
        return "with web searches"
    return f"too low: {plural(bill.partial_outputs, 'request')} recorded in part"


def _show_gaps(shown: Shown, console: Console) -> None:
    replay = shown.replay
    good = not replay.grade.problem
    _heading("what a pause before a request costs", console)
    names = ("pause", "requests", "as recorded", *(("all 5m", "all 1h", "1h - 5m") if good else ()))
    rows: list[tuple[Cell | str, ...]] = [tuple(Cell(name, "dim") for name in names)]
    for gap in replay.gaps:
        if gap.requests:
            change = gap.nusd["1h"] - gap.nusd["5m"]
            others = [money(gap.nusd[name]) for name in ("5m", "1h")] if good else []
            last = [Cell(signed_money(change), "green" if change < 0 else "red")] if good else []
            rows.append((_GAP_NAMES[gap.name], f"{gap.requests:,}", money(gap.nusd["recorded"]), *others, *last))
    show_table(rows, console, right=(1, 2, 3, 4, 5))
    longer = replay.pauses[1:]
    if any(longer):
        console.print()
        _heading("pauses of more than a minute", console)
        lines = [f"  {name:<12} {count:>6,} {bar(count, max(longer), _BAR_COLUMNS)}" for name, count in _pauses(replay)]
        _print_lines(lines, console)


def _pauses(replay: Replay) -> Iterator[tuple[str, int]]:
    names = [f"{_length(low)} - {_length(high)}" for low, high in pairwise(PAUSE_EDGES_S)]
    yield from zip([*names, f"over {_length(PAUSE_EDGES_S[-1])}"], replay.pauses[1:], strict=True)


def _length(seconds: int) -> str:
    return f"{seconds // 60} m" if seconds < 3600 else f"{seconds // 3600} h"


def _print_lines(lines: Sequence[str], console: Console) -> None:
    unicode = console.encoding.lower().startswith("utf")
    for line in lines if unicode else plain(lines):
        _line(line.rstrip(), console)


def _show_sessions(replay: Replay, console: Console) -> None:
    ordered = sorted(replay.by_session, key=lambda session: session.difference_nusd)
    cheaper = [session for session in ordered if session.difference_nusd <= -CENT]
    dearer = [session for session in reversed(ordered) if session.difference_nusd >= CENT]
    _heading(f"1h - 5m: cheaper in {plural(len(cheaper), 'session')}, dearer in {len(dearer):,}", console)
    rows = [
        (
            printable(session.id)[:18],
            session.first_at.date().isoformat(),
            plural(session.requests, "request"),
            Cell(signed_money(session.difference_nusd), "green" if session.difference_nusd < 0 else "red"),
        )
        for session in [*cheaper[:_MOST_SESSIONS], *reversed(dearer[:_MOST_SESSIONS])]
    ]
    show_table(rows, console, right=(2, 3))


def _show_curves(replay: Replay, console: Console) -> None:
    marks: tuple[tuple[PolicyName, str], ...] = (("recorded", "r"), ("5m", "5"), ("1h", "1"))
    together = [Curve(_by_column(replay, name, _COLUMNS), mark, REPLAY_POLICIES[name].title) for name, mark in marks]
    names = ", ".join(f"{curve.mark} {curve.name}" for curve in together)
    _heading(f"spent so far: {names}", console)
    ends = [f"{hour_of(hour):%Y-%m-%d}" for hour in (replay.curve_hours[0], replay.curve_hours[-1])]
    _print_lines(curves(together, _COLUMNS, (ends[0], ends[1])), console)


def _by_column(replay: Replay, name: PolicyName, columns: int) -> list[int]:
    """
    What had been spent at evenly spaced times.
    """
    first, last = replay.curve_hours[0], replay.curve_hours[-1]
    values, place = [], 0
    for column in range(1, columns + 1):
        until = first + (last - first) * column / columns
        while place + 1 < len(replay.curve_hours) and replay.curve_hours[place + 1] <= until:
            place += 1
        values.append(replay.curves[name][place])
    return values


def _show_notes(shown: Shown, console: Console) -> None:
    lines = list(notes(shown))
    if lines:
        console.print()
    for line in lines:
        _paragraph(line, console, "yellow", "", "    ")


_UNITS = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))


def _tokens(count: int) -> str:
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return str(count) if count else "-"
