"""
Captures on the screen and for machines.
"""

import io
from typing import Any

import pytest
from rich.console import Console

from savemode_cli.captures.store import Stats
from savemode_cli.core.capture import Capture
from savemode_cli.core.charge import Settlement
from savemode_cli.core.pricing import Usage
from savemode_cli.core.receipt import Receipt
from savemode_cli.views.captures import row_json, show_rows, show_stats, show_whole, size, stats_json, whole_json
from tests.builders import an_exchange
from tests.core.test_capture import a_capture


def drawn(show: Any, *values: Any) -> list[str]:
    """
    What is printed, in 80 columns without colour.
    """
    out = io.StringIO()
    show(*values, Console(file=out, width=80, no_color=True, highlight=False, markup=False))
    return [line.rstrip() for line in out.getvalue().splitlines()]


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


def test_rows_fit_the_screen_whatever_they_hold() -> None:
    """
    Names that are too long are shortened, control characters are escaped, an outcome stands in the place of a status.
    """
    long = plain(model="claude-with-a-very-long-name-20261124", outcome="upstream_error", request_bytes=10**12)
    odd = plain(model=None, path="/v1/\x1b[31mmodels", session=None, status=None)
    lines = drawn(show_rows, [(12345, long), (2, odd)])

    assert max(map(len, lines)) <= 80
    assert "claude-with-a-ver…" in lines[1]
    assert "upstream_error" in lines[1]
    assert "\x1b" not in "".join(lines)


def test_words_give_way_where_it_is_tight() -> None:
    """
    A time or an amount cut short would be another one: of a row too long, model and outcome are shortened alone.
    """
    wide = plain(outcome="upstream_error", request_bytes=1234, response_bytes=1300, model="claude-opus-4-5-of-mine")
    narrow = [plain(outcome=name, path="/v1/messages/count_tokens", model=None) for name in ("broken", "unreachable")]
    rows = [(12345, wide), *((2, one) for one in narrow)]
    text = "\n".join(drawn(show_rows, rows))

    for whole in ("12345", "11-24 12:00:00", "1.2 KB", "1.3 KB", "0123456…"):
        assert whole in text
    assert max(map(len, text.splitlines())) <= 80


def test_counts_and_times_are_read_at_a_glance() -> None:
    """
    Thousands are set apart as on the other screens, and a short answer did not take 0.0 seconds.
    """
    usage = Usage(input_tokens=10866, cache_read_tokens=1234567, output_tokens=25)
    text = "\n".join(drawn(show_whole, 1, plain(usage=usage, duration_ms=16.4)))

    assert "tokens      10,866 in, 1,234,567 read, 0 written for 5m, 0 for 1h, 25 out" in text
    assert "took 16 ms" in text
    assert "took 1.2 s" in "\n".join(drawn(show_whole, 1, plain()))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("exact", "cost        $0.32781 (reported)"),
        ("unpriced", "cost        $0.32781 (reported; no price is known for the model: the dearest known one)"),
        ("fallback", "cost        $0.32781 (reported; the price is that of the model's plain name)"),
    ],
)
def test_a_cost_says_whose_price_it_rests_on(state: Any, expected: str) -> None:
    """
    Reported counts at a price that is a guess are no reported cost.
    """
    shown = plain(settlement=Settlement(327_810_000, "reported"), price_state=state)

    assert expected in drawn(show_whole, 1, shown)


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

    assert "answer      none, 50 B, not kept" in text
    assert "outcome     ok: what" in text
    assert "model       none" in text
    assert "tokens" not in text
    assert "headers" not in text


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (Receipt(cost_nusd=10_000_000, counterfactual_nusd=4_000_000), "vs 5m       $0.006 more"),
        (Receipt(cost_nusd=4_000_000, counterfactual_nusd=10_000_000, why="w"), "vs 5m       $0.006 less; w"),
        (Receipt(cost_nusd=4, counterfactual_nusd=4), "vs 5m       the same"),
        (Receipt(why="because"), "vs 5m       n/a; because"),
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
