"""
The result of a trial, as text and as JSON.

Rule of this file: it prints what `core.exchange.trial` computed. As long as the interval includes zero it says "not enough
yet".
"""

from datetime import datetime, tzinfo
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from savemode_cli.core.exchange.trial import LEAST_SESSIONS, TrialResult
from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.upgrade.hold_out import GROUPS, Group
from savemode_cli.views.aligned import Cell, money, show_table

SCHEMA_VERSION = 1
_NAMES: dict[Group, str] = {"policy": "by the policy", "hold-out": "held out at 5m"}
_NO_BREAK = "\u00a0"
_BEGIN = "savemode run --save --hold-out 0.1 -- claude"


def show(result: TrialResult, console: Console, zone: tzinfo | None) -> None:
    """
    Print it: both groups, the difference, and what follows.

    Args:
        result: the result.
        console: where to print it.
        zone: the time zone of the days that are shown; None for that of the system.
    """
    if result.first_at is None or result.last_at is None:
        console.print("no session is in a trial yet; to begin one:")
        console.print(f"  {_BEGIN}")
        return
    days = f"{_day(result.first_at, zone)} to {_day(result.last_at, zone)}"
    console.print(Text(f"trial of upgraded cache TTLs, {days}", style="bold"))
    head = ("", "sessions", "requests", "prompt tokens", "prompts", "for 1,000 tokens")
    rows: list[tuple[Cell | str, ...]] = [tuple(Cell(name, "dim") for name in head)]
    for group in GROUPS:
        total = result.groups[group]
        counts = (f"{count:,}" for count in (total.sessions, total.requests, total.prompt_tokens))
        rows.append((_NAMES[group], *counts, money(total.prompt_nusd), _small(total.nusd_per_1000)))
    show_table(rows, console, right=(1, 2, 3, 4, 5))
    console.print()
    for text, style in _sentences(result):
        for line in wrap(text.replace(" %", f"{_NO_BREAK}%"), console.width):
            console.print(Text(line.replace(_NO_BREAK, " "), style=style), soft_wrap=True)


def _day(at: datetime, zone: tzinfo | None) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d}"


def _small(nusd: int) -> str:
    """
    An amount for people, to seven decimals.
    """
    return f"${nusd / 1e9:.7f}"


def _sentences(result: TrialResult) -> list[tuple[str, str]]:
    """
    What follows, each sentence with its style.
    """
    if result.verdict == "few":
        sentences = [
            (f"Not enough yet: each group needs {LEAST_SESSIONS} sessions before they are compared.", "yellow")
        ]
    elif result.verdict == "unclear":
        text = f"Not enough yet: {_difference(result)}, and the interval includes zero."
        sentences = [(text, "yellow"), (_needed(result), "dim")]
    else:
        saves = result.verdict == "cheaper"
        text = (
            f"The policy {'saves' if saves else 'costs more'}: {_difference(result)}, and the interval excludes zero."
        )
        sentences = [(text, "green" if saves else "red")]
    if result.switched:
        text = "changed their group, because the share was changed, and are left out"
        sentences.append((f"{result.switched:,} session{'' if result.switched == 1 else 's'} {text}.", "dim"))
    return sentences


def _difference(result: TrialResult) -> str:
    point, low, high = (
        _percent(result.percent(nusd)) for nusd in (result.difference_nusd, result.low_nusd, result.high_nusd)
    )
    return f"for the same tokens {point} (95 % interval: {low} to {high})"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.1f} %"


def _needed(result: TrialResult) -> str:
    total = sum(group.sessions for group in result.groups.values())
    if result.needed_sessions is None:
        return "Both groups cost the same: no number of sessions would show a difference."
    return (
        f"If the difference is what it looks like, about {result.needed_sessions:,} sessions would show it in 8 of 10 "
        f"trials; there are {total:,}. The closer the shares of both groups are to one half, the fewer are needed."
    )


def to_json(result: TrialResult, malformed: int = 0) -> dict[str, Any]:
    """
    The result for machines.

    Args:
        result: the result.
        malformed: how many lines of the file could not be read.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": result.verdict,
        "enough": result.verdict in ("cheaper", "dearer"),
        "first_at": None if result.first_at is None else result.first_at.isoformat(),
        "last_at": None if result.last_at is None else result.last_at.isoformat(),
        "groups": {
            group.replace("-", "_"): {
                "sessions": total.sessions,
                "requests": total.requests,
                "prompt_tokens": total.prompt_tokens,
                **amounts(prompts=total.prompt_nusd, per_1000_tokens=total.nusd_per_1000),
            }
            for group, total in result.groups.items()
        },
        "confidence_percent": 95,
        **amounts(difference=result.difference_nusd, low=result.low_nusd, high=result.high_nusd),
        "difference_percent": result.percent(result.difference_nusd),
        "low_percent": result.percent(result.low_nusd),
        "high_percent": result.percent(result.high_nusd),
        "needed_sessions": result.needed_sessions,
        "switched_sessions": result.switched,
        "malformed_lines": malformed,
    }
