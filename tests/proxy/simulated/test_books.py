"""
What was billed adds up, and what is left of a minute is told.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.proxy.simulated.answers import Billed
from savemode_cli.proxy.simulated.books import LIMITS, Books

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)


def left(books: Books, now: datetime = NOW) -> dict[str, str]:
    """
    What is left, as the headers tell it.
    """
    headers = {name.decode(): value.decode() for name, value in books.rate_limits(now)}
    return {name: headers[f"anthropic-ratelimit-{name}-remaining"] for name in LIMITS}


def test_sums() -> None:
    """
    By model and in all, under the API's names.
    """
    books = Books()
    books.bill("claude-a", Billed(1, 20, 300, 4000), 5)
    books.bill("claude-a", Billed(1, 20, 300, 4000), 5)
    books.bill("claude-b", Billed(input_tokens=7), 8)

    told = books.to_json()
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
    Sums of nothing are zeros.
    """
    told = Books().to_json()

    assert (told["answers"], told["models"], told["statuses"]) == (0, {}, {})
    assert told["usage"]["input_tokens"] == 0


def test_rate_limits() -> None:
    """
    A request counts at once, its tokens when it is billed; reads do not count, and a new minute begins anew.
    """
    books = Books()

    assert left(books) == {"requests": "3999", "input-tokens": "2000000", "output-tokens": "400000"}
    books.bill("claude-a", Billed(1, 20, 300, 4000), 5)
    assert left(books) == {"requests": "3998", "input-tokens": "1995699", "output-tokens": "399995"}
    assert left(books, NOW + timedelta(minutes=1))["requests"] == "3999"


def test_rate_limits_are_never_below_nothing() -> None:
    """
    They are told, not enforced.
    """
    books = Books()
    books.rate_limits(NOW)
    books.bill("claude-a", Billed(input_tokens=3_000_000), 5)

    assert left(books)["input-tokens"] == "0"


def test_reset_is_the_next_minute() -> None:
    """
    In the form in which the API spells times.
    """
    assert (b"anthropic-ratelimit-requests-reset", b"2026-11-24T12:01:00Z") in Books().rate_limits(NOW)
