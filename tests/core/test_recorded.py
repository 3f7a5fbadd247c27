"""
Which recorded requests are counted.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.pricing import Usage
from savemode_cli.core.recorded import Recorded, Wanted

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ONE = Recorded("abc-1", "", "claude-opus-5-5", NOON, NOON + timedelta(seconds=3), Usage(input_tokens=1))


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(), True),
        (Wanted(since=NOON), True),
        (Wanted(since=NOON + timedelta(seconds=1)), False),
        (Wanted(until=NOON), False),
        (Wanted(until=NOON + timedelta(seconds=1)), True),
        (Wanted(session="abc"), True),
        (Wanted(session="bc"), False),
        (Wanted(model="opus"), True),
        (Wanted(model="haiku"), False),
    ],
)
def test_filters(wanted: Wanted, takes: bool) -> None:
    """
    Ends of time are half open; a session is named by its beginning, a model by any part.
    """
    assert wanted.takes(ONE) is takes


def test_copies_are_never_counted() -> None:
    """
    They were counted where they stood first.
    """
    assert not Wanted().takes(replace(ONE, copy=True))
