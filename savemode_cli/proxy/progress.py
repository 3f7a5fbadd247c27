"""
An exchange while it is in progress: its four parts, each filled by the file that knows it, and the finished exchange.

Rule of this file: it makes no decisions. `relay` fills the call, `upgrading` the upgrade, `spending` the bill, and
`answer` the answer.
"""

from dataclasses import dataclass, field

from msgspec.structs import replace

from savemode_cli.core.diagnosis.history import Asked
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.upgrade.upgrade import NO_UPGRADE, Upgrade
from savemode_cli.core.wire.caller import UNKNOWN_CALLER
from savemode_cli.proxy.answer import AnswerInProgress
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.reservation import BillInProgress


@dataclass(slots=True)
class ExchangeInProgress:
    """
    An exchange whose answer is not complete, or not charged yet.
    """

    call: CallInProgress
    answer: AnswerInProgress
    upgrade: Upgrade = NO_UPGRADE
    bill: BillInProgress = field(default_factory=BillInProgress)
    asked: Asked | None = None
    """The prompt without its text; None before it was forwarded."""
    warm_body: bytes | None = None
    """The body that was sent, where the cache may be kept warm later; None else."""

    def observed(self, bill: Bill | None) -> Observed:
        """
        The finished exchange, for the sinks.

        Args:
            bill: what it was charged; None if nothing was reserved for it.
        """
        call, answer = self.call, self.answer
        if bill is None:
            bill = self.bill.unsettled()
        if self.bill.alarm is not None:
            bill = replace(bill, alarm=self.bill.alarm)
        exchange = Exchange(
            call.id, call.started_at, call.finished(), self.upgrade, bill, answer.finished(self.upgrade)
        )
        caller = None if call.caller is UNKNOWN_CALLER else call.caller
        content = None if answer.bodies is None else answer.bodies.content(call.inbound.headers)
        return Observed(exchange, answer.ended_at or call.started_at, caller, content)
