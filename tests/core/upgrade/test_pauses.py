"""
Pauses are counted by the window of 4.5 minutes in which they end.
"""

from datetime import timedelta

import pytest

from savemode_cli.core.upgrade.pauses import Pauses, window_of
from savemode_cli.core.upgrade.policy import MOST_PINGS

MINUTE = timedelta(minutes=1)


def test_pauses_are_counted_by_windows() -> None:
    """
    Of 4.5 minutes; a short one says nothing.
    """
    pauses = Pauses()
    for minutes in (1, 4.4, 4.5, 8.9, 9, 58.4, 58.5, 600):
        pauses.note(minutes * MINUTE)

    assert pauses.returned == [2, 1, *[0] * 9, 1]
    assert pauses.stayed_away == 2
    shares, away = pauses.shares()
    assert abs(sum(shares) + away - 1) < 1e-9


@pytest.mark.parametrize(
    ("minutes", "window"),
    [(4.4, None), (4.5, 0), (9, 1), (58.4, MOST_PINGS - 1), (58.5, MOST_PINGS), (9999, MOST_PINGS)],
)
def test_windows(minutes: float, window: int | None) -> None:
    """
    None is too short for a keep-warm request, and everything after the last one is alike.
    """
    assert window_of(minutes * MINUTE) == window


def test_the_published_pauses_decide_first() -> None:
    """
    A person's own pauses outweigh them soon.
    """
    pauses = Pauses()
    shares, away = pauses.shares()
    assert shares[0] == pytest.approx(67 / 341)
    assert away == pytest.approx(158 / 341)
    for _ in range(200):
        pauses.note(10 * MINUTE)

    assert pauses.shares()[0][1] > 0.9
