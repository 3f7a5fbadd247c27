"""
Verdicts from usage and times.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.replay.inferred_misses import POSSIBLE, inferred_misses
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Recorded, Session, Wanted
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.prices import load_prices

RATES = RequestRates(load_prices(None))
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"


def request(minute: float, read: int, write_5m: int = 0, **more: Any) -> Recorded:
    """
    A request whose answer takes no time.
    """
    at = NOON + timedelta(minutes=minute)
    facts: dict[str, Any] = {"session": "s", "agent": "", "model": OPUS, "started_at": at, "ended_at": at, **more}
    return Recorded(usage=Usage(Tokens(3, write_5m, 0, read)), opens_turn=False, **facts)


@pytest.mark.parametrize(
    ("second", "cause", "missed"),
    [
        (request(1, 50_000, 500), None, 0),
        (request(9, 0, 50_500), "expired", 50_000),
        (request(9, 12_000, 38_500), "expired", 38_000),
        (request(1, 12_000, 38_500), "unknown", 38_000),
        (request(1, 12_000, 8_000), "compacted", 8_000),
        (request(1, 0, 50_500, model=HAIKU), "model_changed", 50_000),
        (request(1, 0, 9_000, model=HAIKU), None, 0),
        (request(1, 0, 50_500, agent="a"), None, 0),
    ],
)
def test_what_usage_and_times_show(second: Recorded, cause: str | None, missed: int) -> None:
    """
    The cause and what was missed; nothing for another agent, and for a short request to another model.
    """
    session = Session("s", (request(0, 0, 50_000), second))
    first, found = inferred_misses(session, RATES, Wanted())

    assert first.verdict.misses == ()
    assert [miss.cause for miss in found.verdict.misses] == ([] if cause is None else [cause])
    assert found.is_inferred
    assert sum(miss.tokens for miss in found.verdict.misses) == missed
    assert found.verdict.expected_tokens - found.verdict.read_tokens == missed
    assert (found.verdict.cost_nusd > 0) == (missed > 0)
    assert cause is None or cause in POSSIBLE


def test_an_hour_would_have_held() -> None:
    """
    The times are there, and so is the TTL that was billed.
    """
    session = Session("s", (request(0, 0, 50_000), request(9, 0, 50_500)))
    _, found = inferred_misses(session, RATES, Wanted())

    (miss,) = found.verdict.misses
    assert (miss.ttl, miss.held_by, miss.idle) == ("5m", "1h", timedelta(minutes=9))


def test_only_wanted_requests() -> None:
    """
    The others show how the cache stood.
    """
    session = Session("s", (request(0, 0, 50_000), request(9, 0, 50_500)))
    (found,) = inferred_misses(session, RATES, Wanted(since=NOON + timedelta(minutes=1)))

    assert found.verdict.missed_tokens == 50_000
