"""
What a recorded request costs: the rates of its prompt, and the parts of its bill that do not depend on the cache
policy.

Rule of this file: it asks the price table and remembers the answers. It contains no price.
"""

from dataclasses import dataclass
from datetime import UTC, date

from msgspec.structs import replace

from savemode_cli.core.money.pricing import InputRates, PriceTable
from savemode_cli.core.money.rates import Price
from savemode_cli.core.replay.recording import Recorded


@dataclass(frozen=True, slots=True)
class Rest:
    """
    What a request costs in addition to its prompt, in nano-dollars. It is the same under every cache policy.
    """

    beside_nusd: int
    """
    The prompts that were billed in addition to the answer's: of compactions, advisors and attempts of other models.
    """
    output_nusd: int
    """All output, and web searches."""
    unpriced: tuple[str, ...] = ()
    """The additionally billed models that have no price. Their tokens are in neither amount."""


class RequestRates:
    """
    The rates of recorded requests.
    """

    def __init__(self, prices: PriceTable) -> None:
        self._prices = prices
        self._rows: dict[tuple[str, date], Price] = {}
        self._rates: dict[tuple[object, ...], InputRates] = {}
        self._last: tuple[Recorded, InputRates] | None = None

    def __call__(self, request: Recorded) -> InputRates:
        """
        The rates of its prompt. They are looked up once for each model, day, length and label.
        """
        last = self._last
        if last is not None and last[0] is request:
            return last[1]
        usage, at = request.usage, request.started_at
        day = at.date() if at.tzinfo is UTC else at.astimezone(UTC).date()
        row = self._rows.get((request.model, day))
        if row is None:
            row = self._rows[request.model, day] = self._prices.find(request.model, request.started_at).price
        long = row.long is not None and usage.tokens.prompt > row.long.above_tokens
        key = (request.model, day, long, usage.speed, usage.service_tier, usage.inference_geo)
        rates = self._rates.get(key)
        if rates is None:
            rates = self._rates[key] = self._prices.input_rates(usage, request.model, at)
        self._last = request, rates
        return rates

    def whole_nusd(self, request: Recorded) -> int | None:
        """
        The whole cost in nano-dollars; None if a model has no price.
        """
        bill = self._prices.bill(request.usage, request.model, request.started_at)
        return None if bill.state == "unpriced" else bill.cost.total_nusd

    def rest(self, request: Recorded) -> Rest:
        """
        What it costs in addition to its prompt, for a model with a price.
        """
        usage, model, at = request.usage, request.model, request.started_at
        if not usage.extra:
            return Rest(0, self._prices.bill(usage, model, at).cost.output_nusd)
        beside = [extra.model or model for extra in usage.extra]
        unpriced = tuple(name for name in beside if self._prices.find(name, at).state == "unpriced")
        priced = tuple(extra for extra, name in zip(usage.extra, beside, strict=True) if name not in unpriced)
        whole = self._prices.bill(replace(usage, extra=priced), model, at).cost
        alone = self._prices.bill(replace(usage, extra=()), model, at).cost
        return Rest(whole.input_nusd - alone.input_nusd, whole.output_nusd, unpriced)
