"""
What an exchange adds to the sums: its bill, and to whom it belongs.

Rule of this file: it makes no judgement. The bill, the receipt and the verdict on the cache come from the exchange.
"""

from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.totals import BilledRequest, MissedRead, beside
from savemode_cli.core.wire.usage import Usage


def billed_request(exchange: Exchange, *, session: str | None = None, agent: str | None = None) -> BilledRequest | None:
    """
    The bill of an exchange; None if nothing was charged and nothing was used.

    Args:
        exchange: the exchange.
        session: the name of its session; the key of the session if the client did not name it.
        agent: the ID of the sub-agent, "" for the main conversation; None if it is not known.
    """
    call, bill = exchange.call, exchange.bill
    if bill.settlement is None and bill.usage is None:
        return None
    usage, receipt = bill.usage or Usage(), bill.receipt
    misses = () if bill.verdict is None else bill.verdict.misses
    return BilledRequest(
        at=exchange.started_at,
        cost_nusd=bill.cost_nusd or 0,
        model=exchange.answer.answered_by or call.model,
        session=session or call.session,
        agent=agent,
        tokens=usage.tokens,
        beside=beside(usage),
        web_searches=usage.web_searches,
        missed=tuple(MissedRead(miss.cause, miss.tokens, miss.cost_nusd) for miss in misses),
        is_priced=bill.price_state != "unpriced",
        difference_nusd=None if receipt is None else receipt.difference_nusd,
    )
