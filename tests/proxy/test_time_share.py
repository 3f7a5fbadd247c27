"""
The limit on optional work.
"""

import pytest

from savemode_cli.proxy.time_share import BURST_S, SHARE, TimeShare


class Watch:
    """
    A clock that the test sets.
    """

    now = 100.0

    def __call__(self) -> float:
        """
        The time in seconds.
        """
        return self.now


def spend(share: TimeShare, watch: Watch, seconds: float) -> None:
    """
    Work for this long.
    """
    with share:
        watch.now += seconds


def test_work_that_takes_longer_than_its_share_stops() -> None:
    """
    The saved time is used up, and then only a share of the passing time is available.
    """
    watch = Watch()
    share = TimeShare(watch)
    worked = 0
    for _ in range(10_000):
        if share.is_left():
            spend(share, watch, 0.01)
            worked += 1
        watch.now += 0.01

    elapsed = watch.now - 100
    assert BURST_S + SHARE * elapsed - 0.1 <= worked * 0.01 <= BURST_S + SHARE * elapsed + 0.02


def test_nothing_is_saved_up_beyond_the_burst() -> None:
    """
    Long idle times do not accumulate.
    """
    watch = Watch()
    share = TimeShare(watch)
    watch.now += 36_000
    assert share.is_left()
    spend(share, watch, 2 * BURST_S)
    assert not share.is_left()
    watch.now += BURST_S / SHARE
    assert share.is_left()


def test_work_that_fails_is_counted() -> None:
    """
    It took time too.
    """
    watch = Watch()
    share = TimeShare(watch)

    def fail() -> None:
        with share:
            watch.now += 2 * BURST_S
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fail()

    assert not share.is_left()
