"""
Makes captures from the requests that transcripts record, for the store of `savemode captures`.

Rule of this file: a capture contains what was recorded. Facts that only a proxy sees, such as the time until the first
byte, are absent.
"""

from datetime import datetime

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.kept_headers import REQUEST_HEADERS, kept_headers
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.bodies import UNRECORDED, caller_of
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.answer import Answer
from savemode_cli.core.wire.call import Call as CallPart
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.messages import MESSAGES_PATH
from savemode_cli.core.wire.products import Products
from savemode_cli.core.wire.sessions import session_key
from savemode_cli.core.wire.usage import Usage
from savemode_cli.readers.rebuilt import RebuiltSession


def imported_capture(
    session: RebuiltSession, number: int, prices: PriceTable, product: str, products: Products
) -> Capture | None:
    """
    The capture of one request of a session.

    Args:
        session: a session whose requests are known.
        number: the number of the request in the session, from 0.
        prices: what tokens cost.
        product: the product of requests that do not name one.
        products: the configured products.

    Returns:
        The capture; None if no answer to the request was recorded, because then it is unknown whether it was billed.
    """
    call = session.call(number)
    response = session.response(number)
    if call.usage is None or call.started_at is None or response is None:
        return None
    caller, known = caller_of(call, product, products), facts(call.body)
    asked = CallPart(
        "POST",
        MESSAGES_PATH,
        product=caller.product,
        model=known.model,
        request_bytes=len(call.body),
        session=session_key(caller, known),
    )
    ended_at = call.ended_at or call.started_at + UNRECORDED
    answer = Answer(
        status=200,
        duration_ms=(ended_at - call.started_at).total_seconds() * 1000,
        response_bytes=len(response.body),
        upstream_request_id=response.request_id,
        stop_reason=response.stop_reason,
        answered_by=response.model,
    )
    bill = _bill(call.usage, response.model or known.model, call.started_at, prices)
    exchange = Exchange(session.request_id(number), call.started_at, asked, Upgrade(), bill, answer)
    return Capture(exchange, ended_at, "", _headers(call), (), call.body, response.body)


def _headers(call: Call) -> tuple[tuple[str, str], ...]:
    return kept_headers(call.headers, REQUEST_HEADERS)


def _bill(usage: Usage, model: str | None, when: datetime, prices: PriceTable) -> Bill:
    priced = prices.bill(usage, model, when)
    settlement = (
        Settlement(priced.cost.total_nusd, "reported")
        if priced.billed
        else Settlement(0, "none", "the API does not bill a refusal before any output")
    )
    return Bill(usage=usage, settlement=settlement, price_state=priced.state, cost=priced.cost)
