"""
What a request costs while it is in progress, from its reservation to its invoice.

Rule of this file: it only defines values. Amounts are in nano-USD.
"""

from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct

from savemode_cli.core.budget.admission import Allowed, Decision, Hold
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.budget.report import BudgetReport
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.money.pricing import Bill as PricedUsage
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Usage
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.serving.headers import RawHeaders


class Quote(Struct, frozen=True, gc=False):
    """
    What a request may cost.
    """

    call: CallInProgress
    session: str
    """The key of the session and model, because models share no cache and have different costs."""
    prompt_tokens: int
    """The largest possible number of tokens in its prompt."""
    expected_nusd: int
    ceiling_nusd: int
    """The highest possible cost."""


class Reservation(Struct, frozen=True, gc=False):
    """
    Whether a request may start, and how much is reserved for it.
    """

    quote: Quote
    decision: Decision
    report: BudgetReport
    """What the caller is told about the decision."""

    @property
    def hold(self) -> Hold | None:
        """
        The hold in the ledger; None if no ledger answered, or if the request was refused.
        """
        return self.decision.hold if isinstance(self.decision, Allowed) else None

    @property
    def held_nusd(self) -> int:
        """
        The reserved amount.
        """
        hold = self.hold
        return 0 if hold is None else hold.ask_nusd

    @property
    def facts(self) -> Facts:
        """
        The facts of the body.
        """
        return self.quote.call.facts

    @property
    def started_at(self) -> datetime:
        """
        When the request arrived.
        """
        return self.quote.call.started_at


@dataclass(slots=True)
class BillInProgress:
    """
    The third part of an exchange, before it is charged.
    """

    decision: Decision | None = None
    """None if no budget was checked."""
    reservation: Reservation | None = None
    """None if nothing is charged for the request."""
    alarm: Alarm | None = None
    """The sign for which the guard refused it, or warned of it."""
    headers: RawHeaders = field(default_factory=list)
    """The headers with the state of the budgets, which every answer has."""

    def unsettled(self) -> Bill:
        """
        The bill of a request that was not charged.
        """
        budget = None if self.decision is None else self.decision.report()
        return Bill(budget, budget, 0 if self.reservation is None else self.reservation.held_nusd)


def reservation_of(quote: Quote, decision: Decision) -> Reservation:
    """
    The reservation of a request that was judged.
    """
    return Reservation(quote, decision, decision.report())


class Invoice(Struct, frozen=True, gc=False):
    """
    What a finished request is charged.
    """

    reservation: Reservation
    settlement: Settlement
    receipt: Receipt
    usage: Usage | None
    """None if the answer reports no usage."""
    priced: PricedUsage | None
    """The cost of the usage; None if there is no usage."""
    now: datetime
