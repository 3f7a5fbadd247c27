"""
What a reservation knows about its hold.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.admission import Allowed, Hold, Refused
from savemode_cli.core.wire.facts import Facts
from savemode_cli.proxy.reservation import Quote, reservation_of
from tests.builders import a_call_in_progress

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUOTE = Quote(
    a_call_in_progress("h", Facts(model="m"), session="s", now=NOW),
    "s m",
    70,
    360_000,
    760_000,
)


def test_nothing_is_held_for_a_refused_request_or_without_a_ledger() -> None:
    """
    Nothing is held if the request was refused, or if no ledger answered.
    """
    refused = reservation_of(QUOTE, Refused("unknown", None, 0))
    uncounted = reservation_of(QUOTE, Allowed(None, "unknown"))

    assert [(one.hold, one.held_nusd) for one in (refused, uncounted)] == [(None, 0)] * 2


def test_what_is_held_is_the_amount_of_the_hold() -> None:
    """
    The decision has the hold; the facts and the start are those of the request.
    """
    hold = Hold("h", ("k",), 360_000, NOW + timedelta(minutes=30))
    reservation = reservation_of(QUOTE, Allowed(hold, None))

    assert (reservation.hold, reservation.held_nusd) == (hold, 360_000)
    assert (reservation.facts.model, reservation.started_at) == ("m", NOW)
