"""
Times and time zones that options give.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from savemode_cli.cli.periods import moment, time_zone
from savemode_cli.core.errors import BadInput


@pytest.mark.parametrize(
    ("text", "end", "zone", "at"),
    [
        ("2026-11-24", False, "UTC", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24", True, "UTC", datetime(2026, 11, 25, tzinfo=UTC)),
        ("2026-11-24", False, "Europe/Berlin", datetime(2026, 11, 23, 23, tzinfo=UTC)),
        ("2026-03-28", True, "Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC)),
        ("2026-03-29", True, "Europe/Berlin", datetime(2026, 3, 29, 22, tzinfo=UTC)),
        (" 2026-11-24T12:00 ", True, "UTC", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("2026-11-24T12:00+02:00", False, "Europe/Berlin", datetime(2026, 11, 24, 10, tzinfo=UTC)),
    ],
)
def test_moments(text: str, end: bool, zone: str, at: datetime) -> None:
    """
    A day begins and ends at midnight in the zone, also where clocks are changed; a time may name its own zone.
    """
    assert moment("--since", text, end=end, zone=ZoneInfo(zone)) == at


def test_the_zone_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Is None, and a day begins there.
    """
    local = datetime(2026, 11, 24).astimezone()

    assert time_zone("local") is None
    assert moment("--since", "2026-11-24", zone=None) == local
    assert moment("--since", None) is None


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "0001-01-01", "9999-12-31", "1969-01-01"])
def test_no_time(text: str) -> None:
    """
    Also a year in which no request can have been sent.
    """
    with pytest.raises(BadInput) as raised:
        moment("--since", text, end=True)
    assert raised.value.hint == "like --since 2026-11-24"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "utc\0"])
def test_no_time_zone(name: str) -> None:
    """
    A name is looked up, and never a path.
    """
    with pytest.raises(BadInput):
        time_zone(name)
