"""
What the policy `auto` knows, as a table.

Rule of this file: it shows what would be decided next, by the same function that decides.
"""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from savemode_cli.core.budget.overview import stamp
from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.upgrade.auto import SITUATIONS, Decision, History, KeepWarmTerms, Run, Situation, decide
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
    head = ("", "runs", "with 5m", "with 1h", "1h - 5m", "next", "kept warm", "next then")
    rows: list[tuple[Cell | str, ...]] = [tuple(Cell(name, "dim") for name in head)]
    decisions, warm_decisions = _decisions(history), _decisions(history, KeepWarmTerms())
    for situation, decision in decisions.items():
        runs = history.runs(situation)
        five, hour = sum(run.five_nusd for run in runs), sum(run.hour_nusd for run in runs)
        change = Cell(signed_money(hour - five), "green" if hour < five else "red") if runs else Cell("-")
        costs = (money(five), money(hour)) if runs else ("-", "-")
        warm, known = _kept_warm_nusd(runs), warm_decisions[situation]
        with_it = "5m warm" if known.keeps_warm else known.ttl
        kept = "-" if warm is None or situation == "agent" else money(warm)
        rows.append((_NAMES[situation], f"{len(runs):,}", *costs, change, decision.ttl, kept, with_it))
    show_table(rows, console, right=(1, 2, 3, 4, 6))
    console.print(Text("  kept warm: 5m with --keep-warm, and what is chosen next where it is on", style="dim"))
    for situation, decision in decisions.items():
        reason = f"{_NAMES[situation]}: {decision.reason}"
        for line in wrap(reason, console.width, initial_indent="  ", subsequent_indent="    "):
            console.print(Text(line, style="dim"), soft_wrap=True)


def _kept_warm_nusd(runs: Sequence[Run]) -> int | None:
    """
    What the runs would have cost kept warm; None if that is not known of all of them.
    """
    costs = [run.warm_nusd for run in runs if run.warm_nusd is not None]
    return sum(costs) if costs and len(costs) == len(runs) else None


def _decisions(history: History, keep_warm: KeepWarmTerms | None = None) -> dict[Situation, Decision]:
    """
    What is chosen next in each situation. A sub-agent is never kept warm.
    """
    return {
        situation: decide(situation, history.runs(situation), None, None if situation == "agent" else keep_warm)
        for situation in SITUATIONS
    }


def to_json(histories: Mapping[str, History]) -> dict[str, Any]:
    """
    The same for machines.
    """
    return {
        "schema_version": 1,
        "persons": [
            {
                "person": person,
                "pauses": _pauses(history),
                "situations": {
                    situation: {
                        "runs": len(history.runs(situation)),
                        "last_at": _last_at(history, situation),
                        **amounts(
                            with_5m=sum(run.five_nusd for run in history.runs(situation)),
                            with_1h=sum(run.hour_nusd for run in history.runs(situation)),
                        ),
                        **_with_keep_warm(history, situation),
                        "next": {"ttl": decision.ttl, "reason": decision.reason},
                    }
                    for situation, decision in _decisions(history).items()
                },
            }
            for person, history in sorted(histories.items())
        ],
    }


def _with_keep_warm(history: History, situation: Situation) -> dict[str, Any]:
    """
    What is known of keep-warm; nothing for sub-agents.
    """
    if situation == "agent":
        return {}
    warm, decision = _kept_warm_nusd(history.runs(situation)), _decisions(history, KeepWarmTerms())[situation]
    return {
        **({} if warm is None else amounts(with_5m_kept_warm=warm)),
        "next_with_keep_warm": {
            "ttl": decision.ttl,
            "keeps_warm": decision.keeps_warm,
            "reason": decision.reason,
        },
    }


def _pauses(history: History) -> dict[str, Any]:
    pauses = history.pauses()
    return {"returned_by_4m30s": pauses.returned, "stayed_away": pauses.stayed_away}


def _last_at(history: History, situation: Situation) -> str | None:
    return next((stamp(run.ended_at) for run in history.runs(situation)), None)
