"""
Which refusals are billed, by date and category.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from savemode_cli.core.money.refusals import is_billed


def on(month: int, day: int) -> datetime:
    """
    Noon of a day in 2026.
    """
    return datetime(2026, month, day, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("declined", "when", "billed"),
    [
        (None, on(11, 1), True),
        (None, on(5, 1), True),
        ("", on(6, 1), True),
        ("cyber", on(6, 1), True),
        ("", on(6, 2), False),
        ("cyber", on(6, 2), False),
        ("bio", on(6, 2), False),
        ("bio", on(9, 23), False),
        ("bio", on(9, 24), True),
        ("frontier_llm", on(9, 24), True),
        ("reasoning_extraction", on(11, 30), True),
        ("cyber", on(11, 30), False),
        ("general_harms", on(11, 30), False),
        ("", on(11, 30), False),
        ("a-new-one", on(11, 30), False),
    ],
)
def test_is_billed(declined: str | None, when: datetime, billed: bool) -> None:
    """
    Before 2026-06-02 all refusals were billed. Since 2026-09-24 three categories are billed again.
    """
    assert is_billed(declined, when) == billed


def test_days_are_utc() -> None:
    """
    The last evening of June 1 in UTC is June 2 further east.
    """
    east = timezone(timedelta(hours=9))

    assert is_billed("cyber", datetime(2026, 6, 2, 8, 59, tzinfo=east))
    assert not is_billed("cyber", datetime(2026, 6, 2, 9, 0, tzinfo=east))
