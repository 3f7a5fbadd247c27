"""
What requests cost: what to hold for the next one of a session, and the bill and receipt of one that is over.

Rule of this file: it remembers sessions, not money. It knows no ledger; what a request costs is the price table's word.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from savemode_cli.core.admission import Allowed, Decision, Hold
from savemode_cli.core.caller import Caller, Headers
from savemode_cli.core.charge import (
    RECENT,
    Outcome,
    Settlement,
    ceiling_nusd,
    estimated,
    expected_nusd,
    opening_nusd,
    settlement,
)
from savemode_cli.core.messages import Facts
from savemode_cli.core.pricing import Bill, PriceTable, Usage
from savemode_cli.core.receipt import Receipt, Shadow, receipt
from savemode_cli.core.transform import Edit

_REMEMBERED_SESSIONS = 10_000


class Metered(Protocol):
    """
    What a finished exchange knows of its usage: the reading side of `UsageMeter`.
    """

    final: bool
    emitted_chars: int
    model: str | None

    @property
    def usage(self) -> Usage | None:
        """
        What was reported.
        """


@dataclass(slots=True)
class _Past:
    costs_nusd: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    body_bytes: int = 0
    shadow: Shadow | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """
    One request's place in the books, from its hold to its bill.
    """

    decision: Decision
    session: str
    known: Facts
    started_at: datetime
    body_bytes: int

    @property
    def hold(self) -> Hold | None:
        """
        Its hold; None where no ledger answered, or it was refused.
        """
        return self.decision.hold if isinstance(self.decision, Allowed) else None

    @property
    def held_nusd(self) -> int:
        """
        What is held for it.
        """
        return 0 if self.hold is None else self.hold.ask_nusd


@dataclass(frozen=True, slots=True)
class Ask:
    """
    A request that wants to start, and what it may cost: what is expected, and what it cannot exceed.
    """

    hold_id: str
    caller: Caller
    headers: Headers
    known: Facts
    body_bytes: int
    session: str
    now: datetime
    expected_nusd: int
    ceiling_nusd: int


@dataclass(frozen=True, slots=True)
class Due:
    """
    A request that is over: what it is charged, the receipt, and the usage and bill they rest on where there are any.
    """

    account: Account
    settlement: Settlement
    receipt: Receipt
    usage: Usage | None
    bill: Bill | None
    now: datetime


class Billing:
    """
    The prices, and the memory of what sessions cost. `announce` tells the person at the terminal, each thing once.
    """

    def __init__(self, table: PriceTable, announce: Callable[[str, str], None]) -> None:
        """
        Start with no session known.
        """
        self.downgraded_models: set[str | None] = set()
        self._table = table
        self._announce = announce
        self._pasts: OrderedDict[str, _Past] = OrderedDict()
        self._unpriced: set[str | None] = set()

    def ask(
        self, hold_id: str, caller: Caller, headers: Headers, known: Facts, body_bytes: int, session: str, now: datetime
    ) -> Ask:
        """
        What a request wants held.
        """
        price = self._table.find(known.model, now).price
        # Models share no cache, and cost differently: one session has a past with each.
        session = f"{session} {known.model or ''}"
        past = self._pasts.get(session) or _Past()
        ceiling = ceiling_nusd(known, body_bytes, price)
        expected = expected_nusd(
            tuple(past.costs_nusd),
            ceiling,
            opening_nusd(known, body_bytes, price),
            body_bytes=body_bytes,
            new_bytes=body_bytes - past.body_bytes,
        )
        return Ask(hold_id, caller, headers, known, body_bytes, session, now, expected, ceiling)

    def bill(
        self, account: Account, outcome: Outcome, meter: Metered | None, edits: Sequence[Edit], now: datetime
    ) -> Due:
        """
        The bill of a request that is over; the session's next one is judged by it from now on.

        `edits` are those that were on the wire.
        """
        final = meter is not None and meter.final
        usage = meter.usage if meter is not None else None
        if usage is not None and meter is not None and not final:
            usage = estimated(usage, meter.emitted_chars)
        model = (meter.model if meter is not None else None) or account.known.model

        bill = None if usage is None else self._table.bill(usage, model, account.started_at)

        def bill_for(used: Usage) -> Bill:
            return bill if bill is not None and used is usage else self._table.bill(used, model, account.started_at)

        cost = None if bill is None else bill.cost.total_nusd
        charge = settlement(outcome, cost, final=final, held_nusd=account.held_nusd)
        if bill is not None:
            self._say_unpriced(bill, model)
        past = self._past(account.session)
        reached = outcome in ("ok", "client_gone", "broken")
        printed, past.shadow = receipt(
            past.shadow, account.known, edits, usage, bill_for, account.started_at, now, final=final, reached=reached
        )
        self._say_downgraded(printed, model)
        if charge.basis in ("reported", "estimated"):
            past.costs_nusd.append(charge.nusd)
            past.body_bytes = account.body_bytes
        return Due(account, charge, printed, usage, bill, now)

    def _say_unpriced(self, bill: Bill, model: str | None) -> None:
        if bill.state == "unpriced" and model not in self._unpriced:
            self._unpriced.add(model)
            self._announce(
                "model_unpriced",
                f"no price for {model or 'a request without a model'}: charged at the dearest known price",
            )

    def _say_downgraded(self, printed: Receipt, model: str | None) -> None:
        if printed.verified is False and model not in self.downgraded_models:
            self.downgraded_models.add(model)
            self._announce(
                "ttl_downgraded",
                f"{model or 'a model'} was asked for 1h and billed 5m: the upgrade has no effect there, and costs nothing",
            )

    def _past(self, session: str) -> _Past:
        past = self._pasts.setdefault(session, _Past())
        self._pasts.move_to_end(session)
        if len(self._pasts) > _REMEMBERED_SESSIONS:
            self._pasts.popitem(last=False)
        return past
