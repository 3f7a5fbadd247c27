"""
A thread for each channel, which delivers alerts.

Rule of this file: nothing here makes a request of a client wait. An alert is tried a bounded number of times. That a channel
fails is said once, and again after it has worked in between.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from savemode_cli.core.budget.alerts import Alert, AlertFailed, Deliver

TIMEOUT_S = 5.0
TRIES = 3
_PAUSES_S = (0.5, 2.0)
_MOST_WAITING = 100
_CLOSING_S = 5.0


class Sender:
    """
    Delivers alerts on one channel. The thread starts with the first alert.
    """

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        announce: Callable[[str, str], None],
        *,
        pauses_s: tuple[float, ...] = _PAUSES_S,
    ) -> None:
        """
        Args:
            name: of the channel.
            deliver: delivers one alert.
            announce: tells the person at the terminal that an alert did not arrive.
            pauses_s: between the tries of one alert.
        """
        self.name = name
        self.sent = 0
        self.failed = 0
        self._deliver = deliver
        self._announce = announce
        self._pauses_s = pauses_s
        self._queue: queue.Queue[Alert | None] = queue.Queue(_MOST_WAITING)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    @property
    def waiting(self) -> int:
        """
        How many alerts have still to be sent.
        """
        return self._queue.qsize()

    def send(self, alert: Alert) -> None:
        """
        Take an alert. It neither waits nor raises: what is too much is counted as failed.
        """
        if self._closing.is_set():
            self.failed += 1
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"savemode-alerts-{self.name}", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(alert)
        except queue.Full:
            self._fail("too many alerts wait")

    def close(self) -> None:
        """
        Deliver what waits, each alert with one try, within a bound. Harmless when repeated.
        """
        if self._thread is not None and not self._closing.is_set():
            self._closing.set()
            with suppress(queue.Full):
                self._queue.put_nowait(None)
            self._thread.join(_CLOSING_S)
        self._closing.set()

    def _run(self) -> None:
        while (alert := self._queue.get()) is not None:
            self._try(alert)

    def _try(self, alert: Alert) -> None:
        for number in range(TRIES):
            try:
                self._deliver(alert, TIMEOUT_S)
            except AlertFailed as error:
                if error.final or number == TRIES - 1 or self._closing.wait(self._pauses_s[number]):
                    self._fail(error.reason)
                    return
            except Exception as error:  # noqa: BLE001 - whatever a channel does, the next alert is sent
                self._fail(f"an error ({type(error).__name__})")
                return
            else:
                self.sent += 1
                self._is_failing = False
                return

    def _fail(self, reason: str) -> None:
        self.failed += 1
        if not self._is_failing:
            self._is_failing = True
            self._announce("alert_failed", f"an alert was not sent by {self.name}: {reason}")
