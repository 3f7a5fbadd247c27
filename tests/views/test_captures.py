"""
Captures on the screen and for machines.
"""

from typing import Any

import pytest

from savemode_cli.captures.store import Stats
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.views.captures import row_json, show_rows, show_stats, show_whole, size, stats_json, whole_json
from tests.builders import an_exchange
from tests.core.exchange.test_capture import a_capture
from tests.support.drawn import drawn as text_of


def drawn(show: Any, *values: Any, width: int = 80) -> list[str]:
    """
    The lines that are printed.
    """
    return text_of(show, *values, width=width).splitlines()


def plain(**differences: Any) -> Capture:
    """
    An exchange of which little is known.
    """
    exchange = an_exchange(**differences)
    return Capture(exchange, exchange.started_at)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (9949, "9.9 KB"),
        (9950, "10 KB"),
        (999_499, "999 KB"),
        (999_500, "1.0 MB"),
        (12_345_678, "12 MB"),
        (10**15, "1000 TB"),
    ],
)
def test_size(count: int, expected: str) -> None:
    """
    Two digits at least, a unit that suits.
    """
    assert size(count) == expected


@pytest.mark.parametrize("width", [60, 80, 140])
def test_rows_fit_the_screen_whatever_they_hold(width: int) -> None:
    """
    Names that are too long are shortened, control characters are escaped, and no number, time or status is cut.
    """
    long = plain(
        model="claude-with-a-very-long-name-of-mine", status=529, outcome="upstream_error", request_bytes=10**12
    )
    odd = plain(model=None, path="/v1/\x1b[31mmodels", session=None, status=None, outcome="unreachable")
    lines = drawn(show_rows, [(12345, long), (2, odd)], width=width)

    assert max(map(len, lines)) <= width
    assert lines[1].split()[:5] == ["12345", "11-24", "12:00:00", "with-a-very-long-na…", "529"]
    assert "unreachable" in lines[2]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("width", "session"),
    [(60, "01234567…"), (80, "01234567-89ab-cdef-0123-4567…"), (140, "01234567-89ab-cdef-0123-456789abcdef")],
)
def test_session_is_as_long_as_there_is_room(width: int, session: str) -> None:
    """
    Cut with a mark, and whole where the screen is wide.
    """
    whole = "01234567-89ab-cdef-0123-456789abcdef"
    lines = drawn(show_rows, [(1, plain(session=whole))], width=width)

    assert lines[1].split()[-1] == session


def test_counts_and_times_are_read_at_a_glance() -> None:
    """
    Thousands are set apart as on the other screens, and a short answer did not take 0.0 seconds.
    """
    usage = Usage(Tokens(input=10866, read=1234567, output=25))
    text = " ".join("\n".join(drawn(show_whole, 1, plain(usage=usage, duration_ms=16.4))).split())

    tokens = "1,234,567 read from the cache, 0 written for 5 minutes, 0 for 1 hour, 10,866 uncached input, 25 output"
    assert f"tokens {tokens}" in text
    assert "took 16 ms" in text
    assert "took 1.2 s" in "\n".join(drawn(show_whole, 1, plain()))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("exact", "cost      $0.3278 (reported by the API)"),
        (
            "unpriced",
            "cost      $0.3278 (reported by the API; the model has no known price: the highest known one is used)",
        ),
        ("fallback", "cost      $0.3278 (reported by the API; the price is that of the model's plain name)"),
    ],
)
def test_a_cost_says_whose_price_it_rests_on(state: Any, expected: str) -> None:
    """
    Reported counts at a price that is a guess are no reported cost.
    """
    shown = plain(settlement=Settlement(327_810_000, "reported"), price_state=state)

    assert expected in drawn(show_whole, 1, shown, width=120)


def test_stats_in_words() -> None:
    """
    One is one.
    """
    assert drawn(show_stats, Stats(1, 1, 2000, 1000, None, None)) == [
        "1 exchange of 1 session, 2.0 KB of bodies in 1.0 KB on disk"
    ]


def test_stats_for_machines() -> None:
    """
    Units in the keys, times in UTC, null for none.
    """
    at = an_exchange().started_at

    assert stats_json(Stats(1, 2, 3, 4, at, None)) == {
        "schema_version": 1,
        "exchanges": 1,
        "sessions": 2,
        "kept_bytes": 3,
        "file_bytes": 4,
        "oldest": "2026-11-24T12:00:00.123+00:00",
        "newest": None,
    }


def test_little_is_known() -> None:
    """
    What is not known is not printed, or said to be none.
    """
    text = "\n".join(drawn(show_whole, 1, plain(model=None, session=None, status=None, product="", error="what")))

    assert "answer    none, 50 B, not kept" in text
    assert "outcome   ok: what" in text
    assert "model     none" in text
    assert "tokens" not in text
    assert "headers" not in text


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (Receipt(cost_nusd=10_000_000, counterfactual_nusd=4_000_000), "vs 5m     lost $0.0060"),
        (Receipt(cost_nusd=4_000_000, counterfactual_nusd=10_000_000, why="w"), "vs 5m     saved $0.0060; w"),
        (Receipt(cost_nusd=4, counterfactual_nusd=4), "vs 5m     saved nothing"),
        (Receipt(why="because"), "vs 5m     n/a; because"),
    ],
)
def test_receipt_in_words(receipt: Receipt, expected: str) -> None:
    """
    The difference is never a bare sign, and never 0 where it is not known.
    """
    assert expected in drawn(show_whole, 1, plain(receipt=receipt))


def test_machines_get_headers_and_sizes_and_no_body() -> None:
    """
    What was said goes out on its own.
    """
    whole = whole_json(7, a_capture())

    assert row_json(7, a_capture()).items() <= whole.items()
    assert (whole["number"], whole["request_kept_bytes"]) == (7, 11)
    assert whole["response_headers"] == [["request-id", "req_up"]]
    assert "the answer" not in str(whole)
