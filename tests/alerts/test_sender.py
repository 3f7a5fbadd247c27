"""
The thread of a channel.
"""

import threading
from datetime import UTC, datetime

from savemode_cli.alerts.sender import Sender
from savemode_cli.core.budget.alerts import Alert, AlertFailed, sample_alert
from tests.support.waiting import until

ALERT = sample_alert(datetime(2026, 11, 24, tzinfo=UTC))


class Channel:
    """
    A channel that fails as often as it is told to.
    """

    def __init__(self, *errors: Exception | None) -> None:
        """
        The errors of the first tries, in order; None where a try succeeds, as all later ones do.
        """
        self.errors = list(errors)
        self.tries = 0
        self.said: list[tuple[str, str]] = []
        self.sender = Sender("pigeon", self.deliver, lambda *words: self.said.append(words), pauses_s=(0.0, 0.0))

    def deliver(self, _: Alert, timeout_s: float) -> None:
        """
        One try.
        """
        assert timeout_s > 0
        self.tries += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def send(self) -> None:
        """
        Send an alert, and wait for its end.
        """
        ends = self.sender.sent + self.sender.failed
        self.sender.send(ALERT)
        until(lambda: self.sender.sent + self.sender.failed > ends)


def test_tries_are_bounded_and_failure_is_said_once() -> None:
    """
    Three tries an alert; after a success it is said again.
    """
    channel = Channel(*[AlertFailed("no")] * 6, None, *[AlertFailed("no again")] * 3)
    for _ in range(4):
        channel.send()

    assert (channel.tries, channel.sender.sent, channel.sender.failed) == (10, 1, 3)
    assert channel.said == [
        ("alert_failed", "an alert was not sent by pigeon: no"),
        ("alert_failed", "an alert was not sent by pigeon: no again"),
    ]
    channel.sender.close()


def test_second_try_may_succeed() -> None:
    """
    Then nothing is said.
    """
    channel = Channel(AlertFailed("no"))
    channel.send()

    assert (channel.tries, channel.sender.sent, channel.said) == (2, 1, [])
    channel.sender.close()


def test_final_failure_is_not_tried_again() -> None:
    """
    Nor is an error that nobody foresaw, whose text may hold an address.
    """
    channel = Channel(AlertFailed("no program", final=True), None, ValueError("made-up secret"))
    for _ in range(3):
        channel.send()

    assert channel.tries == 3
    assert channel.said[-1] == ("alert_failed", "an alert was not sent by pigeon: an error (ValueError)")
    channel.sender.close()


def test_close_sends_what_waits() -> None:
    """
    And ends the thread; what comes later is counted as failed.
    """
    going = threading.Event()
    arrived: list[Alert] = []

    def deliver(alert: Alert, _: float) -> None:
        going.wait(20)
        arrived.append(alert)

    sender = Sender("slow", deliver, lambda *_: None)
    for _ in range(3):
        sender.send(ALERT)
    going.set()
    sender.close()
    sender.close()
    sender.send(ALERT)

    assert (len(arrived), sender.sent, sender.failed, sender.waiting) == (3, 3, 1, 0)


def test_too_many_alerts() -> None:
    """
    Nobody waits for a channel that is slow.
    """
    going = threading.Event()
    said: list[str] = []

    def deliver(_: Alert, __: float) -> None:
        going.wait(20)

    sender = Sender("slow", deliver, lambda _, text: said.append(text))
    for _ in range(150):
        sender.send(ALERT)

    assert sender.failed >= 49
    assert said == ["an alert was not sent by slow: too many alerts wait"]
    going.set()
    sender.close()
