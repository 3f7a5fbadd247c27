"""
When a server is asked again, and its clock.
"""

from datetime import timedelta

import pytest

from savemode_cli.ledgers.remote.connection import FIRST_PAUSE_S, LONGEST_PAUSE_S, Contact, ServerClock
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked


class Clock:
    """
    A clock that stands.
    """

    def __init__(self) -> None:
        """
        At zero.
        """
        self.now = 0.0

    def __call__(self) -> float:
        """
        The time.
        """
        return self.now


def pause(contact: Contact, clock: Clock) -> float:
    """
    How long nobody asks.
    """
    start = clock.now
    while True:
        try:
            contact.check()
        except NotAsked:
            clock.now += 0.01
        else:
            return clock.now - start


def test_pauses_grow_to_a_bound_and_start_again() -> None:
    """
    Each is between half of its length and all of it.
    """
    clock = Clock()
    contact = Contact(clock)
    lengths = []
    for _ in range(10):
        contact.lost(NotAsked("refused"))
        with pytest.raises(NotAsked, match="refused"):
            contact.check()
        lengths.append(pause(contact, clock))

    assert FIRST_PAUSE_S / 2 <= lengths[0] <= FIRST_PAUSE_S + 0.02
    assert LONGEST_PAUSE_S / 2 <= lengths[-1] <= LONGEST_PAUSE_S + 0.02
    contact.made()
    contact.lost(NotAsked("refused"))
    assert pause(contact, clock) <= FIRST_PAUSE_S + 0.02


def test_connection_that_worked_is_made_anew_at_once() -> None:
    """
    The server was started again, and nobody noticed.
    """
    contact = Contact(Clock())
    contact.made()

    contact.lost(NoAnswer("closed", is_stale=True))

    contact.check()
    assert not contact.is_connected


@pytest.mark.parametrize(
    ("ahead_s", "took_s", "offset_s"), [(0, 0.5, 0), (300, 0, 300), (300, 2, 299), (-300, 2, -299), (0.2, 0.5, 0)]
)
def test_clock_of_the_server(ahead_s: float, took_s: float, offset_s: float) -> None:
    """
    As far as an answer that took so long tells: the server took its time half-way. What fits the answer is kept.
    """
    here = Clock()
    clock = ServerClock(here)
    sent_us = clock.now_us()
    here.now += took_s

    clock.learn(round((took_s / 2 + ahead_s) * 1_000_000), sent_us)

    assert clock.offset == timedelta(seconds=offset_s)
