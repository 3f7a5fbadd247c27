"""
Lines of a trace, good and bad.
"""

from datetime import timedelta

import pytest

from savemode_cli.core.budget.trace import Request, nearly_sorted, read_request
from tests.support.requests import NOW, USD, at


def test_read_request() -> None:
    """
    Text or number, rounded up to the nano-dollar; any time zone; other keys are left alone.
    """
    read = read_request(
        '{"at": "2026-11-24T14:00:00+02:00", "cost_usd": 0.1234567891, "duration_s": 1.5, "model": "m"}'
    )

    assert read == Request(NOW, 123_456_790, timedelta(seconds=1.5))
    assert read_request('{"at": "2026-11-24T12:00:00Z", "cost_usd": "0.12"}') == Request(NOW, 120_000_000)
    assert read_request('{"at": "2026-11-24T12:00:00Z", "cost_usd": 3}').cost_nusd == 3 * USD


def line(**more: str) -> str:
    """
    A line of a trace, with some values as they stand.
    """
    values = {"at": '"2026-11-24T12:00:00Z"', "cost_usd": '"1"'} | more
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("oops", "not JSON: expecting value"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "not a JSON object"),
        (line(cost_usd="1e9999999999999999999999"), "not JSON: a number without end"),
        ('{"cost_usd": 1}', "at is missing"),
        (line(at="7"), "at is no text"),
        (line(at='"noon"'), "at is no time like"),
        (line(at='"2026-11-24T12:00:00"'), "at has no time zone"),
        (line(at='"0001-01-01T00:00:00+14:00"'), "at is not between 1970 and 2199"),
        ('{"at": "2026-11-24T12:00:00Z"}', "cost_usd is missing"),
        (line(cost_usd='"-0.01"'), "cost_usd is negative or too large"),
        (line(cost_usd="1e30"), "cost_usd is negative or too large"),
        (line(cost_usd="1e999"), "cost_usd is no number"),
        (line(cost_usd="true"), "cost_usd is no number"),
        (line(cost_usd="NaN"), "cost_usd is no number"),
        (line(cost_usd='"NaN"'), "cost_usd is no number"),
        (line(cost_usd='"ten"'), "cost_usd is no number"),
        (line(cost_usd="9" * 5000), "cost_usd is no number"),
        (line(duration_s="-1"), "duration_s is negative or longer than a month"),
        (line(duration_s='"x"'), "duration_s is no number"),
    ],
)
def test_bad_line(text: str, words: str) -> None:
    """
    Each says what was found.
    """
    with pytest.raises(ValueError, match=words):
        read_request(text)


def test_nearly_sorted() -> None:
    """
    What is a few places late is put right; what is later than that stays late.
    """
    days = [at(day, "1") for day in (2, 1, 4, 3, 9, 5)]

    assert [one.at.day for one in nearly_sorted(days, lambda one: one.at, reach=2)] == [1, 2, 3, 4, 5, 9]
    assert [one.at.day for one in nearly_sorted([at(day, "1") for day in (5, 6, 1)], lambda one: one.at, reach=1)] == [
        5,
        1,
        6,
    ]
