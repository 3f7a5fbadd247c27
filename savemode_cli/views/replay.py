"""
A replay on 80 columns, and the same for machines: how far to believe it, then what each policy would have cost.

Rule of this file: it computes no money; where the grade is poor it shows the bill and the reason, and no other amount.

Longer than most: the text and the JSON of each part stand side by side, so that neither tells more than the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.body_replay import Upgrades
from savemode_cli.core.grade import Grade, Kinds
from savemode_cli.core.overview import stamp
from savemode_cli.core.pricing import nusd_of
from savemode_cli.core.replay import PAUSE_EDGES_S, SECONDS_PER_SLOT, Estimate, PolicyName, Replay, SessionDifference
from savemode_cli.core.session_cache import GAPS
from savemode_cli.core.tiers import amounts, usd
from savemode_cli.views import upgrades
from savemode_cli.views.plot import Curve, bar, curves, plain
from savemode_cli.views.terminal import printable

SCHEMA_VERSION = 1
_CENT = 10_000_000
_MOST_PROBLEMS = 5
_MOST_SESSIONS = 3
_COLUMNS = 62
_BAR_COLUMNS = 40

_NAMES: dict[PolicyName, str] = {
    "recorded": "as recorded",
    "5m": "all 5m",
    "1h": "all 1h",
    "product": "product",
    "optimum": "best in hindsight",
}
_GAP_NAMES = {
    "first": "first of its chain",
    "to_1m": "up to 1 min",
    "to_5m": "1 to 5 min",
    "to_1h": "5 min to 1 h",
    "over_1h": "over 1 h",
}


_UNUSABLE = {
    "no time": "the time of sending was not recorded",
    "no usage": "the bill was not recorded",
    "no messages body": "not a messages call",
    "failed": "refused or failed, and not billed",
}


class Shown:
    """
    A replay and what is said around it: the product whose rule was applied, and what could not be read.
    """

    def __init__(
        self,
        replay: Replay,
        *,
        product: str,
        idle_prone: bool,
        malformed: int = 0,
        problems: Sequence[str] = (),
        ignored_files: int = 0,
        upgrades: Upgrades | None = None,
        unusable: Mapping[str, int] | None = None,
    ) -> None:
        """
        `problems` are the first of `malformed` places; `ignored_files` held nothing of ours. `upgrades` is what was done
        with bodies, None without any, `unusable` how many of them had no bill, no time or no messages.
        """
        self.replay = replay
        self.product = product
        self.idle_prone = idle_prone
        self.malformed = malformed
        self.problems = tuple(problems)
        self.ignored_files = ignored_files
        self.upgrades = upgrades
        self.unusable = dict(unusable or {})


def difference(nusd: int) -> str:
    """
    A difference in words, a cent being the least: `$3.10 cheaper`, `$0.42 MORE`, `the same`.
    """
    if abs(nusd) < _CENT:
        return "the same"
    return f"${usd(abs(nusd))} {'cheaper' if nusd < 0 else 'MORE'}"


def show(shown: Shown, console: Console) -> None:
    """
    Print it: the grade first, the recommendation last.
    """
    replay = shown.replay
    if shown.upgrades is not None:
        _show_upgrades(shown.upgrades, console)
    console.print(Text(_title(shown), style="bold"))
    if not replay.requests:
        _show_notes(shown, console)
        return
    console.print()
    _show_grade(replay.grade, console)
    console.print()
    _show_policies(shown, console)
    console.print()
    _show_gaps(replay, console)
    if not replay.grade.problem:
        console.print()
        _show_sessions(replay, console)
        console.print()
        _show_curves(replay, console)
    _show_notes(shown, console)
    console.print()
    style = "bold green" if replay.advice.verdict == "switch" else "bold"
    console.print(Text(recommendation(replay), style=style))


def _show_upgrades(found: Upgrades, console: Console) -> None:
    first, *rest = upgrades.lines(found)
    console.print(Text(first, style="bold"))
    for line in rest:
        console.print(Text(line))
    console.print()


def _title(shown: Shown) -> str:
    replay = shown.replay
    if replay.first_at is None or replay.last_at is None:
        return f"no request that is wanted {'was found' if shown.upgrades is None else 'has a bill'}"
    sessions = _sessions(replay.sessions)
    requests = "1 request" if replay.requests == 1 else f"{replay.requests:,} requests"
    first, last = replay.first_at.date().isoformat(), replay.last_at.date().isoformat()
    when = f"on {first}" if first == last else f"from {first} to {last}"
    return f"{sessions}, {requests} {when}"


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count:,} sessions"


def _show_grade(mark: Grade, console: Console) -> None:
    good = not mark.problem
    console.print(Text("how far to believe this", style="bold"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    right = _share(mark.right_share)
    grid.add_row("  hit or miss right", Text(right, "green" if good else "red"), f"of {mark.requests:,} requests")
    grid.add_row("  after over 4 min", _share(mark.long_right_share), f"of {mark.long_requests:,}")
    off = "n/a" if mark.dollar_error is None else _signed(mark.dollar_error)
    model, billed = _dollars(mark.predicted_ausd), _dollars(mark.billed_ausd)
    grid.add_row("  dollars", off, f"of prompts: {model} predicted, {billed} billed")
    grid.add_row("  tokens", "", _token_errors(mark))
    console.print(grid)
    if mark.problem:
        console.print(Text(f"  Not good enough: {mark.problem}.", style="red"))
        console.print("  So what another policy would have cost is not quoted.")
    if mark.lost_requests and mark.alone_error is not None:
        lost = "1 warm prompt was" if mark.lost_requests == 1 else f"{mark.lost_requests:,} warm prompts were"
        for line in (
            f"  {lost} written anew because of changed content: {_dollars(mark.lost_ausd)}",
            "  that no TTL saves. How much of that each session has is predicted from the",
            f"  others; without it, the TTLs alone predict {_signed(mark.alone_error)}.",
        ):
            console.print(Text(line, style="dim"))


def _token_errors(mark: Grade) -> str:
    pairs = [
        ("reads", mark.recorded.read_tokens, mark.predicted.read_tokens),
        ("5m writes", mark.recorded.write_5m_tokens, mark.predicted.write_5m_tokens),
        ("1h writes", mark.recorded.write_1h_tokens, mark.predicted.write_1h_tokens),
    ]
    return ", ".join(f"{name} {_signed(Fraction(said - was, was))}" for name, was, said in pairs if was)


def _show_policies(shown: Shown, console: Console) -> None:
    replay = shown.replay
    console.print(Text("what the prompts cost", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("  (output costs the same)", no_wrap=True)
    for name in ("read", "5m write", "1h write", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for one in _quotable(replay):
        style = "dim" if one.name == "optimum" else ""
        change = "" if one.name == "recorded" else difference(one.difference_nusd)
        colour = "green" if one.difference_nusd <= -_CENT else "red" if one.difference_nusd >= _CENT else "dim"
        name = f"  {_NAMES[one.name]}" + (f" {printable(shown.product)}"[:14] if one.name == "product" else "")
        kinds = one.kinds
        counts = (kinds.read_tokens, kinds.write_5m_tokens, kinds.write_1h_tokens)
        table.add_row(
            name, *map(_tokens, counts), f"${usd(one.nusd)}", Text(change, style=style or colour), style=style
        )
    console.print(table)
    if not replay.grade.problem and not shown.idle_prone:
        console.print(Text(f"  {printable(shown.product)} is not idle-prone: nothing of it is raised", style="dim"))


def _quotable(replay: Replay) -> list[Estimate]:
    return [one for one in replay.estimates if one.name == "recorded" or not replay.grade.problem]


def _show_gaps(replay: Replay, console: Console) -> None:
    good = not replay.grade.problem
    console.print(Text("what a pause before a request costs", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("  pause", no_wrap=True)
    for name in ("requests", "as recorded", *(("all 5m", "all 1h") if good else ())):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("1h against 5m" if good else "", justify="right", no_wrap=True)
    for one in replay.gaps:
        if not one.requests:
            continue
        others = [f"${usd(one.nusd[name])}" for name in ("5m", "1h")] if good else []
        change = one.nusd["1h"] - one.nusd["5m"]
        words = difference(change) if good and abs(change) >= _CENT else ""
        cells = (f"{one.requests:,}", f"${usd(one.nusd['recorded'])}", *others)
        table.add_row(f"  {_GAP_NAMES[one.name]}", *cells, Text(words, "green" if change < 0 else "red"))
    console.print(table)
    longer = replay.pauses[1:]
    if any(longer):
        console.print()
        console.print(Text("pauses of more than a minute", style="bold"))
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
        console.print(Text(line), soft_wrap=True)


def _show_sessions(replay: Replay, console: Console) -> None:
    ordered = sorted(replay.by_session, key=lambda one: one.difference_nusd)
    won = [one for one in ordered if one.difference_nusd <= -_CENT]
    lost = [one for one in reversed(ordered) if one.difference_nusd >= _CENT]
    title = f"1h against 5m: cheaper in {_sessions(len(won))}, dearer in {len(lost):,}"
    console.print(Text(title, style="bold"))
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for one in [*won[:_MOST_SESSIONS], *reversed(lost[:_MOST_SESSIONS])]:
        words = Text(difference(one.difference_nusd), "green" if one.difference_nusd < 0 else "red")
        day = one.first_at.date().isoformat()
        table.add_row(f"  {printable(one.id)[:18]}", day, f"{one.requests:,} requests", words)
    console.print(table)


def _show_curves(replay: Replay, console: Console) -> None:
    marks: tuple[tuple[PolicyName, str], ...] = (("recorded", "r"), ("5m", "5"), ("1h", "1"))
    together = [Curve(_by_column(replay, name, _COLUMNS), mark, _NAMES[name]) for name, mark in marks]
    names = ", ".join(f"{curve.mark} {curve.name}" for curve in together)
    console.print(Text(f"spent so far: {names}", style="bold"))
    ends = [f"{_hour(hour):%Y-%m-%d}" for hour in (replay.curve_hours[0], replay.curve_hours[-1])]
    _print_lines(curves(together, _COLUMNS, (ends[0], ends[1])), console)


def _hour(slot: int) -> datetime:
    return datetime.fromtimestamp(slot * SECONDS_PER_SLOT, UTC)


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
    notes = list(_notes(shown))
    if notes:
        console.print()
    for note in notes:
        console.print(Text(note, style="yellow"))


def _notes(shown: Shown) -> Iterator[str]:
    replay = shown.replay
    for model, count in replay.unpriced.items():
        what, verb = ("1 request", "is") if count == 1 else (f"{count:,} requests", "are")
        yield f"unpriced: {what} of {printable(model)} {verb} in no dollars (--price-file)"
    for why, count in shown.unusable.items():
        what = "1 body is" if count == 1 else f"{count:,} bodies are"
        yield f"{what} in no cost: {_UNUSABLE[why]}"
    if replay.copies:
        what = "1 request" if replay.copies == 1 else f"{replay.copies:,} requests"
        yield f"{what} stood in several files and {'was' if replay.copies == 1 else 'were'} counted once"
    if shown.malformed:
        yield "1 line was left out:" if shown.malformed == 1 else f"{shown.malformed:,} lines were left out:"
        for problem in shown.problems[:_MOST_PROBLEMS]:
            yield f"  {printable(problem)}"
        if shown.malformed > _MOST_PROBLEMS:
            yield f"  and {shown.malformed - _MOST_PROBLEMS:,} more; --json names {len(shown.problems):,}"


def recommendation(replay: Replay) -> str:
    """
    One sentence: what to do, why, and how sure that is; or that there is nothing to recommend.
    """
    advice = replay.advice
    if advice.verdict == "nothing":
        return "Nothing to recommend: no request was found."
    if advice.verdict == "ungraded" or advice.policy is None:
        return f"No recommendation: {replay.grade.problem}."
    best = replay.estimate(advice.policy)
    length = "1 hour" if advice.policy == "1h" else "5 minutes"
    if advice.verdict == "keep":
        return f"Leave it as it is: {length} for all would have been {_less_than_a_hundredth(best)}."
    gain = difference(best.difference_nusd)
    if advice.verdict == "few" or best.low_nusd is None or best.high_nusd is None:
        few = f"{_sessions(replay.sessions)} {'is' if replay.sessions == 1 else 'are'} too few to go by"
        return f"No recommendation: {length} for all would have been {gain}, but {few}."
    interval = f"{difference(best.low_nusd)} to {difference(best.high_nusd)}"
    if advice.verdict == "unclear":
        return f"No recommendation: {length} for all would have been {gain}, give or take: 90 % sure is {interval}."
    share = Fraction(-best.difference_nusd, replay.estimate("recorded").nusd)
    return f"Keep the cache for {length}: {gain} ({_share(share)}; 90 % sure: {interval}), {_reason(replay)}."


def _less_than_a_hundredth(best: Estimate) -> str:
    return f"{difference(best.difference_nusd)}, less than 1 % of the bill"


def _reason(replay: Replay) -> str:
    gaps = {one.name: one for one in replay.gaps}
    if replay.advice.policy == "1h":
        saved = gaps["to_1h"].nusd["recorded"] - gaps["to_1h"].nusd["1h"]
        return (
            f"for pauses of 5 minutes to 1 hour cost ${usd(saved)} less than they did, and dearer writes less than that"
        )
    return "for too few pauses last between 5 minutes and 1 hour to pay for dearer writes"


def _share(share: Fraction | None) -> str:
    return "n/a" if share is None else f"{float(share) * 100:.1f} %"


def _signed(share: Fraction) -> str:
    return f"{float(share) * 100:+.1f} %"


def _dollars(ausd: int) -> str:
    return f"${usd(nusd_of(ausd))}"


_UNITS = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))


def _tokens(count: int) -> str:
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return str(count) if count else "-"


def to_json(shown: Shown) -> dict[str, Any]:
    """
    For machines: nano-dollars as integers, dollars as text, tokens as integers, shares as numbers from 0 to 1.
    """
    replay = shown.replay
    return {
        "schema_version": SCHEMA_VERSION,
        "sessions": replay.sessions,
        "requests": replay.requests,
        "copies": replay.copies,
        "first_at": None if replay.first_at is None else stamp(replay.first_at),
        "last_at": None if replay.last_at is None else stamp(replay.last_at),
        "models": replay.models,
        "unpriced_requests": replay.unpriced,
        "grade": _grade_json(replay.grade),
        "changed_share": float(replay.changed),
        "product": shown.product,
        "product_idle_prone": shown.idle_prone,
        "policies": {one.name: _estimate_json(one) for one in _quotable(replay)},
        "pauses": [
            {"class": one.name, "requests": one.requests, **amounts(**_quotable_amounts(replay, one.nusd))}
            for one in sorted(replay.gaps, key=lambda one: GAPS.index(one.name))
        ],
        "pause_histogram": {"up_to_s": [*PAUSE_EDGES_S, None], "requests": list(replay.pauses)},
        "by_session": [] if replay.grade.problem else [_session_json(one) for one in replay.by_session],
        "spent": {
            "hour": [stamp(_hour(slot)) for slot in replay.curve_hours],
            **{f"{name}_nusd": list(curve) for name, curve in _quotable_curves(replay).items()},
        },
        "recommendation": {
            "verdict": replay.advice.verdict,
            "policy": replay.advice.policy,
            "words": recommendation(replay),
        },
        "upgrades": None if shown.upgrades is None else upgrades.to_json(shown.upgrades),
        "bodies_without_cost": shown.unusable,
        "malformed": shown.malformed,
        "malformed_places": list(shown.problems),
        "ignored_files": shown.ignored_files,
    }


def _quotable_amounts(replay: Replay, nusd: dict[PolicyName, int]) -> dict[str, int]:
    return {f"all_{name}" if name in ("5m", "1h") else name: nusd[name] for name in _quotable_names(replay)}


def _quotable_curves(replay: Replay) -> dict[str, Sequence[int]]:
    return {f"all_{name}" if name in ("5m", "1h") else name: replay.curves[name] for name in _quotable_names(replay)}


def _quotable_names(replay: Replay) -> tuple[PolicyName, ...]:
    return ("recorded",) if replay.grade.problem else ("recorded", "5m", "1h", "product")


def _grade_json(mark: Grade) -> dict[str, Any]:
    return {
        "passes": not mark.problem,
        "problem": mark.problem,
        "graded_requests": mark.requests,
        "right_share": _number(mark.right_share),
        "over_4_min_requests": mark.long_requests,
        "over_4_min_right_share": _number(mark.long_right_share),
        "first_requests": mark.firsts,
        "outcomes": [
            {"predicted": said, "recorded": was, "requests": count}
            for (said, was), count in sorted(mark.outcomes.items())
        ],
        "dollar_error": _number(mark.dollar_error),
        "dollar_error_without_content_changes": _number(mark.alone_error),
        **amounts(
            billed=nusd_of(mark.billed_ausd),
            predicted=nusd_of(mark.predicted_ausd),
            content_changes=nusd_of(mark.lost_ausd),
        ),
        "content_change_requests": mark.lost_requests,
        "recorded_tokens": _kinds_json(mark.recorded),
        "predicted_tokens": _kinds_json(mark.predicted),
        "survived_pauses": mark.pauses,
        "survived_pauses_changed": mark.pauses_lost,
    }


def _number(share: Fraction | None) -> float | None:
    return None if share is None else float(share)


def _kinds_json(kinds: Kinds) -> dict[str, int]:
    return {
        "input_tokens": kinds.input_tokens,
        "write_5m_tokens": kinds.write_5m_tokens,
        "write_1h_tokens": kinds.write_1h_tokens,
        "read_tokens": kinds.read_tokens,
    }


def _estimate_json(one: Estimate) -> dict[str, Any]:
    return {
        **_kinds_json(one.kinds),
        **amounts(cost=one.nusd, difference=one.difference_nusd, low=one.low_nusd, high=one.high_nusd),
    }


def _session_json(one: SessionDifference) -> dict[str, Any]:
    return {
        "session": one.id,
        "first_at": stamp(one.first_at),
        "requests": one.requests,
        **amounts(recorded=one.recorded_nusd, all_5m=one.five_nusd, all_1h=one.hour_nusd),
    }
