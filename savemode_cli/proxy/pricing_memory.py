"""
What requests cost: the amount to reserve for the next request of a session, and the invoice of a finished one.

Rule of this file: it remembers what sessions cost. It does not use the ledger. Prices come from the price table.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from savemode_cli.core.budget.charge import (
    RECENT,
    Ending,
    ceiling_nusd,
    estimated,
    expected_nusd,
    opening_nusd,
    prompt_size,
    settlement,
)
from savemode_cli.core.money.pricing import Bill as PricedUsage
from savemode_cli.core.money.pricing import InputRates, PriceTable
from savemode_cli.core.money.rates import Price
from savemode_cli.core.upgrade.edits import Edit
from savemode_cli.core.upgrade.receipt import Receipt, receipt
from savemode_cli.core.upgrade.shadow import Shadow
from savemode_cli.core.wire.additions import Fallback
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.models import RECOMMENDED_FALLBACKS, context_tokens
from savemode_cli.core.wire.usage import Usage
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.reservation import Invoice, Quote, Reservation
from savemode_cli.proxy.server_held import ServerHeld

_REMEMBERED_SESSIONS = 10_000


def _output_price(price: Price) -> Decimal:
    return price.standard.output_usd_per_mtok


class Metered(Protocol):
    """
    What a finished exchange knows about its usage: the properties of `UsageMeter` that are read here.
    """

    final: bool
    emitted_chars: int
    model: str | None
    message_id: str | None

    @property
    def usage(self) -> Usage | None:
        """
        The reported usage.
        """


@dataclass(slots=True)
class _Past:
    costs_nusd: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    prompt_tokens: int = 0
    shadow: Shadow | None = None


class PricingMemory:
    """
    The prices, and the recent costs of each session.
    """

    def __init__(self, table: PriceTable, announce: Callable[[str, str], None]) -> None:
        """
        Args:
            table: the prices.
            announce: receives an event and a text for the user; each event is announced once.
        """
        self.downgraded_models: set[str | None] = set()
        """The models for which a 1h TTL was requested and 5m was billed."""
        self._table = table
        self._announce = announce
        self._pasts: OrderedDict[str, _Past] = OrderedDict()
        self._unpriced: set[str | None] = set()
        self._server_held = ServerHeld()

    def quote(self, call: CallInProgress) -> Quote:
        """
        What a request may cost.
        """
        facts, now = call.facts, call.started_at
        price = self._table.find(facts.model, now).price
        session = f"{call.session or ''} {facts.model or ''}"
        past = self._pasts.get(session) or _Past()
        size = prompt_size(facts, call.body_bytes, self._server_held.tokens(facts), context_tokens(facts.model))
        ceiling = ceiling_nusd(facts, size.most_tokens, price, self._fallbacks(facts, now))
        expected = expected_nusd(
            tuple(past.costs_nusd),
            ceiling,
            opening_nusd(facts, size.likely_tokens, price),
            prompt_tokens=size.most_tokens,
            new_tokens=size.most_tokens - past.prompt_tokens,
        )
        return Quote(call, session, size.most_tokens, expected, ceiling)

    def price(self, usage: Usage, model: str | None, when: datetime) -> PricedUsage:
        """
        What an answer costs, by the price of its model on that day.
        """
        return self._table.bill(usage, model, when)

    def input_rates(self, usage: Usage, model: str | None, when: datetime) -> InputRates:
        """
        The rates at which the prompt of an answer is billed.
        """
        return self._table.input_rates(usage, model, when)

    def _fallbacks(self, facts: Facts, now: datetime) -> list[tuple[Fallback, Price]]:
        """
        The attempts that may follow, each at the highest price of the models with which it may be made.
        """
        attempts = []
        for fallback in facts.added.fallbacks:
            models = (fallback.model,) if fallback.model is not None else RECOMMENDED_FALLBACKS
            prices = [self._table.find(model, now).price for model in models]
            attempts.append((fallback, max(prices, key=_output_price)))
        return attempts

    def invoice(
        self,
        reservation: Reservation,
        ending: Ending,
        meter: Metered | None,
        edits: Sequence[Edit],
        now: datetime,
    ) -> Invoice:
        """
        The invoice of a finished request. The session's next quote uses it.

        Args:
            reservation: the reservation of the request.
            ending: how the request ended.
            meter: what was read of the answer; None if there is no answer.
            edits: the edits in the forwarded request.
            now: the time.
        """
        facts, started_at = reservation.facts, reservation.started_at
        final = meter is not None and meter.final
        usage = meter.usage if meter is not None else None
        if usage is not None and meter is not None and not final:
            usage = estimated(usage, meter.emitted_chars)
        model = (meter.model if meter is not None else None) or facts.model
        priced = None if usage is None else self._table.bill(usage, model, started_at)

        def price(used: Usage) -> PricedUsage:
            return priced if priced is not None and used is usage else self._table.bill(used, model, started_at)

        cost = None if priced is None else priced.cost.total_nusd
        billed = priced is None or priced.billed
        charge = settlement(ending, cost, final=final, held_nusd=reservation.held_nusd, billed=billed)
        if priced is not None:
            self._announce_unpriced(priced, model)
        past = self._past(reservation.quote.session)
        keep_warm = reservation.quote.call.inbound.keep_warm
        printed, past.shadow = receipt(
            past.shadow,
            facts,
            edits,
            usage,
            price,
            started_at,
            now,
            final=final,
            reached=ending.reached,
            keep_warm=keep_warm,
        )
        self._announce_downgraded(printed, model)
        if charge.basis in ("reported", "estimated") and not keep_warm:
            past.costs_nusd.append(charge.nusd)
            past.prompt_tokens = reservation.quote.prompt_tokens
        if usage is not None and meter is not None and final:
            self._server_held.note(facts, meter.message_id, usage)
        return Invoice(reservation, charge, printed, usage, priced, now)

    def _announce_unpriced(self, priced: PricedUsage, model: str | None) -> None:
        if priced.state == "unpriced" and model not in self._unpriced:
            self._unpriced.add(model)
            self._announce(
                "model_unpriced",
                f"no price for {model or 'a request without a model'}: charged at the highest known price",
            )

    def _announce_downgraded(self, printed: Receipt, model: str | None) -> None:
        if printed.verified is False and model not in self.downgraded_models:
            self.downgraded_models.add(model)
            self._announce(
                "ttl_downgraded",
                f"{model or 'a model'} billed 5m although 1h was requested: the upgrade has no effect there, and costs nothing",
            )

    def _past(self, session: str) -> _Past:
        past = self._pasts.setdefault(session, _Past())
        self._pasts.move_to_end(session)
        if len(self._pasts) > _REMEMBERED_SESSIONS:
            self._pasts.popitem(last=False)
        return past
