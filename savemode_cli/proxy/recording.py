"""
The end of an exchange: it is charged, what follows from its bill is remembered, and the sinks receive it.

Rule of this file: every exchange is recorded once, when it is charged; at once if nothing was reserved for it.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.upgrade.forgone import Forgone, SentAsItCame
from savemode_cli.proxy.guarding import Guarding
from savemode_cli.proxy.misses import CacheMisses
from savemode_cli.proxy.previous_answers import PreviousAnswers
from savemode_cli.proxy.progress import ExchangeInProgress
from savemode_cli.proxy.till import Till

if TYPE_CHECKING:  # most proxies do not send requests of their own
    from savemode_cli.proxy.keep_warm import KeepWarm
    from savemode_cli.proxy.ttl_key import TtlKeyExperiment


class Recording:
    """
    Charges and records the exchanges of one proxy.
    """

    def __init__(
        self,
        till: Till,
        record: Callable[[Observed], None],
        misses: CacheMisses,
        guarding: Guarding,
        previous_answers: PreviousAnswers,
        *,
        forgone: Forgone | None,
        keep_warm: "KeepWarm | None" = None,
        ttl_key: "TtlKeyExperiment | None" = None,
    ) -> None:
        """
        Args:
            till: charges requests.
            record: called once for each exchange; it must not raise.
            misses: judges the cache miss of each call.
            guarding: the guard, which counts what a conversation costs.
            previous_answers: the last answer of each conversation.
            forgone: sums up what `--save` would have changed; None if nothing is upgraded on purpose.
            keep_warm: sends requests that keep caches warm.
            ttl_key: the experiment on whether a model reads a prefix that was written with the other TTL.
        """
        self._till = till
        self._record = record
        self._misses = misses
        self._guarding = guarding
        self._previous_answers = previous_answers
        self._forgone = forgone
        self._keep_warm = keep_warm
        self._ttl_key = ttl_key

    def forwarded(self, exchange: ExchangeInProgress, body: object) -> None:
        """
        The upstream has begun to answer. Remember what was sent, as far as something follows from it later.
        """
        if exchange.call.inbound.keep_warm:
            return  # of a conversation that its client has not gone on with, nothing is missed
        exchange.asked = self._misses.forwarded(exchange, body)
        if self._keep_warm is not None and isinstance(body, bytes) and self._keep_warm.wants(exchange):
            exchange.warm_body = body

    def close(self, exchange: ExchangeInProgress, now: datetime) -> None:
        """
        The exchange has ended: charge it, and record it when it is charged.
        """
        call, answer, reservation = exchange.call, exchange.answer, exchange.bill.reservation
        answer.conclude(now)
        if answer.meter is not None and answer.outcome == "ok":
            self._previous_answers.note(call.session, call.facts.model, answer.meter.message_id)
        if reservation is None:
            return self._settled(exchange, None)
        on_settled, edits = partial(self._settled, exchange), exchange.upgrade.on_wire
        return self._till.close(reservation, answer.ending, now, on_settled, meter=answer.meter, edits=edits)

    def _settled(self, exchange: ExchangeInProgress, bill: Bill | None) -> None:
        call = exchange.call
        cost_nusd = 0 if bill is None else bill.cost_nusd or 0
        self._guarding.end(call.id, cost_nusd, exchange.answer.ended_at or call.started_at)
        self._note_forgone(exchange, bill)
        if self._keep_warm is not None:
            self._keep_warm.answered(exchange, bill)
        if self._ttl_key is not None:
            self._ttl_key.answered(exchange, bill)
        verdict = None if bill is None else self._misses.verdict(exchange, bill.usage)
        if bill is not None and verdict is not None:
            bill = replace(bill, verdict=verdict)
        self._record(exchange.observed(bill))

    def _note_forgone(self, exchange: ExchangeInProgress, bill: Bill | None) -> None:
        """
        Add what `--save` would have changed, if the request was left alone because upgrades are not enabled.
        """
        call, answer = exchange.call, exchange.answer
        usage = None if bill is None else bill.usage
        if self._forgone is None or usage is None or answer.ended_at is None:
            return
        if call.inbound.keep_warm or not exchange.upgrade.was_left_alone:
            return
        price = partial(self._till.price, model=answer.answered_by or call.facts.model, when=call.started_at)
        sent = SentAsItCame(call.cache, call.facts, call.caller, usage, call.started_at, answer.ended_at)
        self._forgone.add(sent, price)
