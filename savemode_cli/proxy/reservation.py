"""
The values of a request in the till, from its reservation to its invoice.

Rule of this file: it only defines values. Amounts are in nano-USD.
"""

from dataclasses import dataclass
from datetime import datetime

from savemode_cli.core.budget.admission import Allowed, Decision, Hold
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.money.pricing import Bill as PricedUsage
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.caller import Caller, Headers
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Usage


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """
    A model call that asks to start.
    """

    id: str
    """The ID of the request, which becomes the ID of its hold."""
    caller: Caller
    headers: Headers
    """All headers of the request, because a budget can depend on any of them."""
    facts: Facts
    body_bytes: int
    session: str
    """The key of the session; empty if it is not known."""
    now: datetime
    conversation: str = ""
    """The conversation, its sub-agents included; empty: what the headers name."""
    keep_warm: bool = False
    """Whether savemode sends it itself, to keep a cache warm."""


@dataclass(frozen=True, slots=True)
class Quote:
    """
    What a request may cost.
    """

    request: ReservationRequest
    session: str
    """The key of the session and model, because models share no cache and have different costs."""
    prompt_tokens: int
    """The largest possible number of tokens in its prompt."""
    expected_nusd: int
    ceiling_nusd: int
    """The highest possible cost."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """
    Whether a request may start, and how much is reserved for it.
    """

    quote: Quote
    decision: Decision

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
        return 0 if self.hold is None else self.hold.ask_nusd

    @property
    def facts(self) -> Facts:
        """
        The facts of the body.
        """
        return self.quote.request.facts

    @property
    def started_at(self) -> datetime:
        """
        When the request arrived.
        """
        return self.quote.request.now


@dataclass(frozen=True, slots=True)
class Invoice:
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


@dataclass(frozen=True, slots=True)
class SettledInvoice:
    """
    An invoice after it was written to the ledger.
    """

    invoice: Invoice
    decision: Decision
    """The decision of the reservation, with the state of the budgets that includes this invoice."""
