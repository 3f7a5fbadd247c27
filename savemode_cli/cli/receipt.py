"""
The receipt that `serve` and `run` print when they end.

Rule of this file: it collects what a receipt needs, and prints it. `Summary` has the figures.
"""

import json
from typing import TYPE_CHECKING, Any, TextIO

from savemode_cli.cli.screen import say, width_of
from savemode_cli.views.printable import printable_json

if TYPE_CHECKING:
    from savemode_cli.cli.compose import Proxy
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.admission import Standing


def final_standings(proxy: "Proxy") -> "tuple[Standing, ...] | None":
    """
    How much of each budget is used now: of the budgets for everybody, and of those that the exchanges used. None if the
    ledger does not answer.
    """
    from savemode_cli.core.errors import LedgerUnavailable

    try:
        till = proxy.relay.till
        return till.outside_loop(till.standings(proxy.now(), personal=True))
    except LedgerUnavailable:
        return None


def print_receipt(
    settings: "Settings",
    proxy: "Proxy",
    standings: "tuple[Standing, ...] | None",
    out: TextIO,
    command: list[str],
    *,
    reasons: list[str] | None = None,
    **more: Any,
) -> None:
    """
    Print the receipt: as text, or as one JSON object if the log is JSON.

    Args:
        settings: the settings of the proxy.
        proxy: the proxy, which has ended. It has the sums of its exchanges.
        standings: how much of each budget is used; None if that is unknown.
        out: where to print.
        command: the name of the savemode command, and the command that it ran.
        reasons: why no request came although one was expected; None if one came or none was expected.
        more: further members of the JSON object.
    """
    from savemode_cli.core.budget.overview import standing_json
    from savemode_cli.views.receipt import receipt
    from savemode_cli.views.save_advice import save_advice, save_json

    summary = proxy.summary.ended(proxy.relay.till.condition.lost_calls)
    gate, forgone = proxy.relay.gate(), proxy.relay.forgone
    name, *words = command
    if settings.log_format != "json":
        shown = receipt(
            summary,
            gate,
            standings,
            reasons=reasons,
            advice=save_advice(forgone, name, words, saving=settings.save),
            simulated=settings.is_simulated,
            width=width_of(out),
        )
        say(out, shown)
        return
    value = {
        **summary.to_json(),
        "event": f"{name}.done",
        **more,
        "simulated": settings.is_simulated,
        "no_call": reasons,
        "gate": {"on": gate.on, "why": gate.why},
        "save": save_json(forgone, name, words),
        "budgets": None if standings is None else [standing_json(one) for one in standings],
    }
    say(out, printable_json(json.dumps(value, separators=(",", ":"))))
