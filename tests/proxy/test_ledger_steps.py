"""
The holds and charges of requests as a ledger gets them, and what its answer makes of a decision.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance, Decision, Hold, Refused, Standing
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.budget.ledger import Posted, Settle
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.caller import read_caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy.ledger_steps import (
    HOLD_LIFETIME,
    balances_in,
    decision_after,
    decision_unknown_after,
    hold_for,
    settle_for,
)
from savemode_cli.proxy.pricing_memory import PricingMemory
from savemode_cli.proxy.reservation import Invoice, Quote, reservation_of
from tests.builders import a_call_in_progress, a_price
from tests.proxy.test_pricing_memory import Meter

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)
AHEAD = timedelta(seconds=90)
"""How much the clock of the ledger is ahead."""
ASKED = Facts(model="claude-opus-5-5", max_tokens=10)
LIMITS = tuple(limit_of(Budget(name, 10**9), "", NOW) for name in ("a", "b"))
KEYS = ("a/month:2026-11-01/all", "b/month:2026-11-01/all")
HOLD = Hold("h", KEYS, 360_000, NOW + HOLD_LIFETIME)
STANDINGS = tuple(Standing(limit, Balance()) for limit in LIMITS)
REFUSED = Refused("spent", Standing(LIMITS[0], Balance(10**9)), 360_000)


def prices() -> PricingMemory:
    """
    The prices of one model: an input token costs 4,000 nano-dollars.
    """
    return PricingMemory(PriceTable([a_price()]), lambda _event, _text: None)


def a_quote() -> Quote:
    """
    What a request that asks for an override may cost.
    """
    caller = read_caller([(b"x-posthog-budget-override", b"true")], "wizard")
    return prices().quote(a_call_in_progress("h", ASKED, caller=caller, session="s", now=NOW))


def an_invoice(decision: Decision) -> Invoice:
    """
    The invoice of a request with this decision, whose answer used 25 input tokens.
    """
    account = reservation_of(a_quote(), decision)
    return prices().invoice(account, Ending("ok"), Meter(Usage(Tokens(input=25))), (), LATER)


def test_hold() -> None:
    """
    It counts under each key once, and expires by the clock of the ledger.
    """
    hold = hold_for(a_quote(), (*LIMITS, LIMITS[0]), AHEAD)

    assert hold == Hold(
        "h", KEYS, a_quote().expected_nusd, NOW + AHEAD + HOLD_LIFETIME, ASKED.model or "", override=True
    )


def test_hold_of_a_strict_budget() -> None:
    """
    The most that the request can cost is held.
    """
    quote = a_quote()
    strict = limit_of(Budget("c", 10**9, strict=True), "", NOW)

    assert hold_for(quote, (*LIMITS, strict), AHEAD).ask_nusd == quote.ceiling_nusd > quote.expected_nusd


def test_settle() -> None:
    """
    The charge asks for the state of the budgets that the decision was based on, and brings the hold.
    """
    settle = settle_for(an_invoice(Allowed(HOLD, "ok", STANDINGS)), HOLD, AHEAD)

    assert settle == Settle("h", 100_000, "reported", LATER + AHEAD, KEYS, HOLD)


def test_settle_without_standings() -> None:
    """
    A request that was judged without a ledger asks for no state.
    """
    assert settle_for(an_invoice(Allowed(HOLD, "unknown")), HOLD, AHEAD).keys == ()


def test_decision_after() -> None:
    """
    The standing with the fewest dollars left is first, which can be another one than before.
    """
    after = decision_after(Allowed(HOLD, "ok", STANDINGS), {KEYS[0]: Balance(1), KEYS[1]: Balance(2)})

    assert isinstance(after, Allowed)
    assert [(one.limit.key, one.balance) for one in after.standings] == [(KEYS[1], Balance(2)), (KEYS[0], Balance(1))]


@pytest.mark.parametrize("decision", [REFUSED, Allowed(HOLD, "unknown"), Allowed(None, None)])
def test_decision_without_standings_stays(decision: Decision) -> None:
    """
    A refusal stays as it was sent, and without standings there is nothing to bring up to date.
    """
    assert decision_after(decision, {}) is decision
    assert decision_unknown_after(decision) is decision


@pytest.mark.parametrize(("status", "then"), [("ok", "unknown"), ("warn", "unknown"), ("override", "override")])
def test_decision_if_the_ledger_does_not_answer(status: str, then: str) -> None:
    """
    The earlier figures are not shown as current.
    """
    decision = Allowed(HOLD, status, STANDINGS)  # type: ignore[arg-type]

    assert decision_unknown_after(decision) == Allowed(HOLD, then)  # type: ignore[arg-type]


def test_balances() -> None:
    """
    The hold of an allowed request is included, and a refusal gives the balance that refused it.
    """
    allowed = Allowed(HOLD, "ok", (Standing(LIMITS[1], Balance(1, 2, 3)),))
    posted = Posted([], {"x": Balance(7)}, [allowed, REFUSED, Refused("busy", None, 1)])

    assert list(balances_in(posted)) == [
        ("x", Balance(7)),
        (KEYS[1], Balance(1, 2, 360_003)),
        (KEYS[0], Balance(10**9)),
    ]


def test_balances_of_a_request_that_holds_nothing() -> None:
    """
    The balance stays as it is.
    """
    posted = Posted([], {}, [Allowed(None, "override", (Standing(LIMITS[0], Balance(4)),))])

    assert list(balances_in(posted)) == [(KEYS[0], Balance(4))]
