"""
What the policy `auto` knows, as a table.

Rule of this file: it shows what would be decided next, by the same function that decides.
"""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from savemode_cli.core.budget.overview import stamp
from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.upgrade.auto import SITUATIONS, Decision, History, Situation, decide
from savemode_cli.views.aligned import Cell, money, show_table, signed_money
from savemode_cli.views.printable import printable

_NAMES: dict[Situation, str] = {
    "start": "conversations",
    "pause": "after a pause",
    "agent": "sub-agents",
}


def show(histories: Mapping[str, History], console: Console) -> None:
    """
    Print the history of each person; without one, what is chosen while nothing is known.

    Args:
        histories: by person; the name is empty where nobody has an access token.
        console: where to print it.
    """
    for number, (person, history) in enumerate(sorted(histories.items()) or [("", History())]):
        if number:
            console.print()
        _show(person, history, console)


def _show(person: str, history: History, console: Console) -> None:
    whose = f" of {printable(person)}" if person else ""
    console.print(Text(f"the latest runs{whose}, and what is chosen next", style="bold"))
    head = ("", "runs", "with 5m", "with 1h", "1h - 5m", "next")
    rows: list[tuple[Cell | str, ...]] = [tuple(Cell(name, "dim") for name in head)]
    decisions = _decisions(history)
    for situation, decision in decisions.items():
        runs = history.runs(situation)
        five, hour = sum(run.five_nusd for run in runs), sum(run.hour_nusd for run in runs)
        change = Cell(signed_money(hour - five), "green" if hour < five else "red") if runs else Cell("-")
        costs = (money(five), money(hour)) if runs else ("-", "-")
        rows.append((_NAMES[situation], f"{len(runs):,}", *costs, change, decision.ttl))
    show_table(rows, console, right=(1, 2, 3, 4))
    for situation, decision in decisions.items():
        reason = f"{_NAMES[situation]}: {decision.reason}"
        for line in wrap(reason, console.width, initial_indent="  ", subsequent_indent="    "):
            console.print(Text(line, style="dim"), soft_wrap=True)


def _decisions(history: History) -> dict[Situation, Decision]:
    return {situation: decide(situation, history.runs(situation)) for situation in SITUATIONS}


def to_json(histories: Mapping[str, History]) -> dict[str, Any]:
    """
    The same for machines.
    """
    return {
        "schema_version": 1,
        "persons": [
            {
                "person": person,
                "situations": {
                    situation: {
                        "runs": len(history.runs(situation)),
                        "last_at": _last_at(history, situation),
                        **amounts(
                            with_5m=sum(run.five_nusd for run in history.runs(situation)),
                            with_1h=sum(run.hour_nusd for run in history.runs(situation)),
                        ),
                        "next": {"ttl": decision.ttl, "reason": decision.reason},
                    }
                    for situation, decision in _decisions(history).items()
                },
            }
            for person, history in sorted(histories.items())
        ],
    }


def _last_at(history: History, situation: Situation) -> str | None:
    return next((stamp(run.ended_at) for run in history.runs(situation)), None)
