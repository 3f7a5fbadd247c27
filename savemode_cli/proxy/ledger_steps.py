"""
What the till writes to a ledger for a request and for an invoice, and what the answer of the ledger says about each.

Rule of this file: it only converts values. `ledger_access` calls the ledger.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from savemode_cli.core.budget.admission import Allowed, Balance, Decision, Hold, Refused
from savemode_cli.core.budget.budget import Limit
from savemode_cli.core.budget.charge import ask_nusd
from savemode_cli.core.budget.ledger import Posted, Settle
from savemode_cli.proxy.reservation import Invoice, Quote

HOLD_LIFETIME = timedelta(minutes=30)
"""Longer than any answer takes. A later bill still counts, once."""


def hold_for(quote: Quote, limits: Sequence[Limit], offset: timedelta) -> Hold:
    """
    The hold of a request.

    Args:
        quote: what the request is expected to cost.
        limits: the limits that apply to the request.
        offset: how much the clock of the ledger is ahead of the local clock.
    """
    call = quote.call
    keys = tuple(dict.fromkeys(limit.key for limit in limits))
    nusd = ask_nusd(limits, quote.expected_nusd, quote.ceiling_nusd)
    expires_at = call.started_at + offset + HOLD_LIFETIME
    return Hold(call.id, keys, nusd, expires_at, call.facts.model or "", call.caller.override)


def settle_for(invoice: Invoice, hold: Hold, offset: timedelta) -> Settle:
    """
    The charge of a finished request in place of its hold.

    Args:
        invoice: the invoice.
        hold: the hold of the request.
        offset: how much the clock of the ledger is ahead of the local clock.
    """
    decision, settlement = invoice.reservation.decision, invoice.settlement
    keys = tuple(one.limit.key for one in decision.standings) if isinstance(decision, Allowed) else ()
    return Settle(hold.id, settlement.nusd, settlement.basis, invoice.now + offset, keys, hold)


def decision_after(decision: Decision, balances: Mapping[str, Balance]) -> Decision:
    """
    The decision with the current state of its budgets. A refusal stays as it was sent.
    """
    if isinstance(decision, Refused) or not decision.standings:
        return decision
    return decision.after([balances[one.limit.key] for one in decision.standings])


def decision_unknown_after(decision: Decision) -> Decision:
    """
    The decision after a charge if the ledger does not answer. An override stays an override.
    """
    if isinstance(decision, Refused) or not decision.standings:
        return decision
    return Allowed(decision.hold, "override" if decision.status == "override" else "unknown")


def balances_in(posted: Posted) -> Iterator[tuple[str, Balance]]:
    """
    The balances in an answer of the ledger, including the holds that it wrote.
    """
    yield from posted.balances.items()
    for decision in posted.decisions:
        if isinstance(decision, Refused):
            if decision.standing is not None:
                yield decision.standing.limit.key, decision.standing.balance
            continue
        ask_nusd = 0 if decision.hold is None else decision.hold.ask_nusd
        for one in decision.standings:
            balance = one.balance
            yield one.limit.key, Balance(balance.settled_nusd, balance.unsettled_nusd, balance.held_nusd + ask_nusd)
