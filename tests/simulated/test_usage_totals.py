"""
The billed usage adds up, and the rate-limit headers show what remains of a minute.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.wire.usage import Tokens
from savemode_cli.simulated.answers import Billed
from savemode_cli.simulated.usage_totals import LIMITS, UsageTotals

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)


def left(totals: UsageTotals, now: datetime = NOW) -> dict[str, str]:
    """
    What remains, according to the headers.
    """
    headers = {name.decode(): value.decode() for name, value in totals.rate_limits(now)}
    return {name: headers[f"anthropic-ratelimit-{name}-remaining"] for name in LIMITS}


def test_sums() -> None:
    """
    Usage by model and in total, with the API's field names.
    """
    totals = UsageTotals()
    totals.bill("claude-a", Billed(Tokens(input=1, write_5m=300, write_1h=4000, read=20)), 5)
    totals.bill("claude-a", Billed(Tokens(input=1, write_5m=300, write_1h=4000, read=20)), 5)
    totals.bill("claude-b", Billed(Tokens(input=7)), 8)

    told = totals.to_json()
    assert (told["answers"], told["models"]["claude-a"]["answers"]) == (3, 2)
    assert told["usage"] == {
        "input_tokens": 9,
        "cache_creation_input_tokens": 8600,
        "cache_read_input_tokens": 40,
        "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 8000},
        "output_tokens": 18,
    }
    assert told["models"]["claude-b"]["usage"]["output_tokens"] == 8


def test_nothing_yet() -> None:
    """
    Without answers, all sums are zero.
    """
    told = UsageTotals().to_json()

    assert (told["answers"], told["models"], told["statuses"]) == (0, {}, {})
    assert told["usage"]["input_tokens"] == 0


def test_rate_limits() -> None:
    """
    A request counts at once and its tokens when it is billed; cache reads do not count; a new minute starts again.
    """
    totals = UsageTotals()

    assert left(totals) == {"requests": "3999", "input-tokens": "2000000", "output-tokens": "400000"}
    totals.bill("claude-a", Billed(Tokens(input=1, write_5m=300, write_1h=4000, read=20)), 5)
    assert left(totals) == {"requests": "3998", "input-tokens": "1995699", "output-tokens": "399995"}
    assert left(totals, NOW + timedelta(minutes=1))["requests"] == "3999"


def test_rate_limits_are_never_negative() -> None:
    """
    The limits are shown, not enforced.
    """
    totals = UsageTotals()
    totals.rate_limits(NOW)
    totals.bill("claude-a", Billed(Tokens(input=3_000_000)), 5)

    assert left(totals)["input-tokens"] == "0"


def test_reset_is_the_next_minute() -> None:
    """
    The time has the API's format.
    """
    assert (b"anthropic-ratelimit-requests-reset", b"2026-11-24T12:01:00Z") in UsageTotals().rate_limits(NOW)
