"""
Which recorded requests are counted.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.replay.recording import Recorded, Wanted
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.support.values import replace

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ONE = Recorded("abc-1", "", "claude-opus-5-5", NOON, NOON + timedelta(seconds=3), Usage(Tokens(input=1)))


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


@pytest.mark.parametrize(
    ("declined", "day", "counted"),
    [(None, NOON, True), ("cyber", NOON, False), ("bio", NOON, True), ("cyber", NOON.replace(month=5), True)],
)
def test_what_was_not_billed_is_not_counted(declined: str | None, day: datetime, counted: bool) -> None:
    """
    A refusal before any output, by its category and its day.
    """
    one = replace(ONE, started_at=day, usage=Usage(Tokens(input=1), declined=declined))

    assert Wanted().takes(one) == one.billed == counted
