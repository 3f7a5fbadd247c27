"""
What an exchange adds to the sums.
"""

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.diagnosis.causes import Miss, Verdict
from savemode_cli.core.exchange.billed import billed_request
from savemode_cli.core.exchange.running import RunningSummary
from savemode_cli.core.wire.usage import Tokens
from tests.builders import a_usage, an_exchange


def test_a_bill() -> None:
    """
    What was charged, and what was used.
    """
    exchange = an_exchange(usage=a_usage(3, 7), settlement=Settlement(42, "reported"), price_state="unpriced")
    request = billed_request(exchange, session="s", agent="a")

    assert request is not None
    assert (request.cost_nusd, request.tokens, request.is_priced) == (42, Tokens(3, 7), False)
    assert (request.session, request.agent, request.model) == ("s", "a", "claude-opus-5-5")


def test_a_charge_without_a_usage() -> None:
    """
    If the hold was charged, there are dollars without tokens.
    """
    request = billed_request(an_exchange(settlement=Settlement(42, "held")))

    assert request is not None
    assert (request.cost_nusd, request.tokens, request.session) == (42, Tokens(), "0123456789abcdef")


def test_no_bill() -> None:
    """
    A refused or failed request adds nothing.
    """
    assert billed_request(an_exchange(outcome="refused")) is None


def test_what_the_cache_missed() -> None:
    """
    Each cause of the verdict, and in a session the last one.
    """
    misses = (Miss("expired", 900, cost_nusd=7), Miss("system_changed", 100, cost_nusd=2))
    verdict = Verdict(1000, 0, misses)
    exchange = an_exchange(usage=a_usage(3, 7), settlement=Settlement(42, "reported"), verdict=verdict)
    running = RunningSummary(exchange.started_at)
    running.add(exchange, exchange.started_at)

    assert {cause: (one.tokens, one.nusd) for cause, one in running.total.missed.items()} == {
        "expired": (900, 7),
        "system_changed": (100, 2),
    }
    (session,) = running.to_json(exchange.started_at)["sessions"]
    assert (session["last_miss"]["cause"], session["last_miss"]["cost_nusd"]) == ("expired", 9)
