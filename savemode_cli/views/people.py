"""
The people who have an access token, with what each spent and has left.

Rule of this file: it shows amounts and computes none.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from savemode_cli.core.budget.overview import stamp
from savemode_cli.core.budget.people import Person
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.views.budget import line_json, resets
from savemode_cli.views.money import STYLES, amount
from savemode_cli.views.printable import printable
from savemode_cli.views.tables import Column, Sheet, right


def to_json(people: Sequence[Person], ledger: str, at: datetime) -> dict[str, Any]:
    """
    The people for machines.

    Args:
        people: who has a token.
        ledger: the address of the ledger.
        at: when it was read.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "at": stamp(at),
        "ledger": ledger,
        "people": [
            {"name": one.name, "would_refuse": one.refused, "budgets": [line_json(line) for line in one.lines]}
            for one in people
        ],
    }


def show(people: Sequence[Person], console: Console, at: datetime) -> None:
    """
    Print a row for each person and budget; only the names, where no budget is for each person.

    Args:
        people: who has a token.
        console: where.
        at: when it was read.
    """
    if not any(one.lines for one in people):
        for one in people:
            console.print(Text(printable(one.name)), soft_wrap=True)
        return
    sheet = Sheet(
        Column("person", wraps=True),
        Column("budget", wraps=True),
        *map(right, ("spent", "held", "limit", "left")),
        Column("status"),
        Column("window", rank=1),
    )
    for one in people:
        for line in one.lines:
            limit, balance = line.standing.limit, line.standing.balance
            status = line.standing.verdict.status or "no cap"
            sheet.add(
                printable(one.name),
                limit.budget.name,
                amount(balance.spent_nusd),
                amount(balance.held_nusd),
                amount(limit.nusd) if limit.capped else "-",
                amount(line.remaining_nusd),
                Text(status, style=STYLES.get(status, "dim")),
                f"{limit.budget.window.words()}, {resets(line, at)}",
            )
    sheet.show(console)
