"""
The sink behind every outlet: a bounded queue, and one thread that makes events of exchanges and delivers them.

Rule of this file: each event is delivered, or kept for the next start, or counted as lost.

The queue of PostHog's SDK is not used, for three reasons. `posthog.Client` builds its message in the thread of the caller,
which here is the event loop. Its consumer drops a batch after the last retry and reports that to `on_error`, but reports no
batch that arrived. So at a shutdown with a time limit nobody could know which events are still to be sent. This file calls
the SDK's `batch_post`, as the SDK's consumer does, from a thread that knows what was delivered.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice

from savemode_cli.core.exchange.observed import Observed
from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.outlet import Outlet, Store, Undelivered

MOST_WAITING = 10_000
"""Exchanges in memory, as many as the SDK keeps. One without content has about 5 KB."""

MOST_CONTENT_BYTES = 64 * 1024 * 1024
"""The bodies in memory. Beyond that, events are sent without content, so that no event is lost."""

BATCH = 250  # events; a request takes the SDK as long as the JSON of 30 events
_BATCH_WITH_CONTENT = 10  # of 800 KiB at most: well below the 20 MB that PostHog accepts
_EVENTS_BETWEEN_YIELDS = 25  # half a millisecond
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_LAST_TRIES = 3  # of a batch after `close` was called
_LAST_PAUSE_S = 0.1


class Background:
    """
    A sink that delivers in a thread. The thread starts at once, and ends with `close`.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Observed], Event | None],
        outlet: Outlet,
        announce: Callable[[str, str], None],
        *,
        store: Store | None = None,
        wants_content: bool = False,
        batch_s: float = 1.0,
        timeout_s: float = 10.0,
        close_s: float = 3.0,
    ) -> None:
        """
        Args:
            name: the name of the sink.
            make: makes the event of an exchange; None if the exchange has no event.
            outlet: where the events go.
            announce: tells the person at the terminal; takes the name of an event and a sentence.
            store: where events are kept that could not be delivered; None: they are lost.
            wants_content: whether the events need headers and bodies.
            batch_s: how long a batch may wait until it is full, in seconds.
            timeout_s: how long a delivery may take, in seconds.
            close_s: how long `close` may take, in seconds.
        """
        self.name = name
        self.wants_content = wants_content
        self.delivered = 0
        self.lost = 0
        self._make = make
        self._outlet = outlet
        self._announce = announce
        self._store = store
        self._batch_s = batch_s
        self._timeout_s = timeout_s
        self._close_s = close_s
        self._records: deque[Observed] = deque()
        self._content_bytes = 0
        self._pending: deque[list[Event]] = deque()
        self._claimed = False
        self._from_store = 0  # how many of the first batches are from an earlier process
        self._failing = ""
        self._failures = 0
        self._announced_reasons: set[str] = set()
        self._first, self._full, self._ending = threading.Event(), threading.Event(), threading.Event()
        self._deadline = float("inf")
        self._abandoned = False
        self._closed = False
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"savemode-{name}", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """
        Why events wait, and how many; otherwise how many were lost; empty if there is no problem.
        """
        if self._failing:
            return f"{self._failing}; {self._waiting()} events wait, {self.lost} were lost"
        return f"{self.lost} events were lost" if self.lost else ""

    @property
    def counters(self) -> Mapping[str, int]:
        """
        How many events were delivered and lost, and how many wait.
        """
        return {"delivered": self.delivered, "lost": self.lost, "waiting": self._waiting()}

    def keep(self, observed: Observed) -> None:
        """
        Take an exchange, or count it as lost if too many wait.
        """
        records = self._records
        if len(records) >= MOST_WAITING or self._closed:
            self._count_lost(1, f"{self._outlet.where} is too slow: {MOST_WAITING} events wait")
            return
        if observed.content is not None:
            observed = self._within_content_limit(observed)
        records.append(observed)
        waiting = len(records)
        # The thread is woken twice a batch and not once an exchange: waking it costs the event loop more than the rest.
        if waiting == 1:
            self._first.set()
        elif waiting == BATCH:
            self._full.set()

    def close(self) -> None:
        """
        Deliver what was taken, for `close_s` at most. The rest is kept for the next start.
        """
        if self._closed:
            return
        self._closed = True
        self._deadline = time.monotonic() + self._close_s
        for event in (self._ending, self._first, self._full):
            event.set()
        self._thread.join(self._close_s)
        with self._lock:
            # A delivery may still be running. If it succeeds, the copy that is kept has the same uuid.
            self._abandoned = True
            own = islice(self._pending, self._from_store, None)
            undelivered = [*chain.from_iterable(own), *self._events_of(self._records)]
        if self._store is not None and self._claimed:
            # The events of an earlier process are in the store already, and a second copy may not fit.
            self._store.give_back() if self._from_store else self._store.forget()
        kept = self._store.save(undelivered) if undelivered and self._store is not None else 0
        if kept:
            events = "1 event" if kept == 1 else f"{kept} events"
            self._announce(f"{self.name}_kept", f"{events} for {self._outlet.where} kept for the next start")
        if len(undelivered) > kept:
            self._count_lost(
                len(undelivered) - kept, f"{self._outlet.where} could not be reached before savemode ended"
            )

    def _waiting(self) -> int:
        return len(self._records) + sum(map(len, list(self._pending)))

    def _within_content_limit(self, observed: Observed) -> Observed:
        """
        The exchange, without its content if too much content is in memory.
        """
        if self._content_bytes > MOST_CONTENT_BYTES:
            reason = f"{self._outlet.where} is slow: until it has caught up, events are sent without content"
            self._announce_once("trouble", reason, reason)
            return observed.without_content()
        with self._counting:
            self._content_bytes += _content_bytes(observed)
        return observed

    def _run(self) -> None:
        if self._store is not None:
            self._claim(self._store)
        while not self._abandoned:
            if not self._pending:
                self._await_records()
                self._fill()
            if self._pending:
                if not self._deliver_first():
                    return
            elif self._ending.is_set() and not self._records:
                return

    def _claim(self, store: Store) -> None:
        """
        Take the events of earlier processes into memory. The store is bounded.
        """
        try:
            earlier = store.claim()
        except Exception as error:  # noqa: BLE001 - a file that somebody has edited must not end the telemetry
            reason = f"the events kept for {self._outlet.where} cannot be read ({type(error).__name__})"
            return self._announce_once("unread", reason, f"{reason}; they stay where they are")
        with self._lock:
            self._pending.extend(earlier[at : at + BATCH] for at in range(0, len(earlier), BATCH))
            self._from_store = len(self._pending)
            self._claimed = True
        return None

    def _await_records(self) -> None:
        self._first.clear()
        if not self._records and not self._ending.is_set():
            self._first.wait()
        self._full.clear()
        if len(self._records) < BATCH and not self._ending.is_set():
            self._full.wait(self._batch_s)

    def _fill(self) -> None:
        """
        Make a batch of the oldest exchanges. They stay in the queue until the batch is in the other one, so that `close`
        finds each of them in one of the two.
        """
        records = self._records
        size = min(len(records), _BATCH_WITH_CONTENT if self.wants_content else BATCH)
        batch = self._events_of(records[index] for index in range(size))
        with self._lock:
            if self._abandoned:
                return
            if batch:
                self._pending.append(batch)
            handled = [records.popleft() for _ in range(size)]
        with self._counting:
            self._content_bytes -= sum(map(_content_bytes, handled))

    def _events_of(self, records: Iterable[Observed]) -> list[Event]:
        events = []
        for number, record in enumerate(records):
            if number % _EVENTS_BETWEEN_YIELDS == 0:
                # Give the interpreter to the event loop, which would otherwise wait for 5 ms before it asks for it.
                time.sleep(0)
            try:
                event = self._make(record)
            except Exception as error:  # noqa: BLE001 - an exchange that no test foresaw must not end the telemetry
                self._count_lost(1, f"no event could be made of a request ({type(error).__name__})")
                continue
            if event is not None:
                events.append(event)
        return events

    def _deliver_first(self) -> bool:
        """
        Try to deliver the first batch.

        Returns:
            Whether to go on.
        """
        batch = self._pending[0]
        try:
            remaining_s = max(self._deadline - time.monotonic(), 0.1)
            self._outlet.deliver(batch, min(self._timeout_s, remaining_s))
        except Undelivered as failure:
            if failure.final:
                self._split(batch, failure.reason)
                return True
            return self._pause_after(failure)
        except Exception as error:  # noqa: BLE001 - the thread that delivers is the only one
            self._split(batch, f"{self._outlet.where} cannot take an event ({type(error).__name__})")
            return True
        self._note_delivered(batch)
        return True

    def _note_delivered(self, batch: Sequence[Event]) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._pending.popleft()
            self._note_batch_done()
        self.delivered += len(batch)
        self._failures = 0
        if self._failing:
            self._failing = ""
            self._announce(f"{self.name}_back", f"{self._outlet.where} takes events again")

    def _note_batch_done(self) -> None:
        """
        Note that one batch less waits. The lock is held: `close` reads how many batches are from an earlier process.
        """
        if self._from_store:
            self._from_store -= 1
            if not self._from_store and self._store is not None:
                self._store.forget()

    def _split(self, batch: Sequence[Event], reason: str) -> None:
        """
        Replace a refused batch by its halves: it may be refused because of one event, or because of its size.
        """
        half = len(batch) // 2
        with self._lock:
            if self._abandoned:
                return
            self._pending.popleft()
            if half:
                self._pending.extendleft([list(batch[half:]), list(batch[:half])])
                self._from_store += 1 if self._from_store else 0
            else:
                self._note_batch_done()
        if not half:
            self._count_lost(1, reason)

    def _pause_after(self, failure: Undelivered) -> bool:
        self._failures += 1
        before, self._failing = self._failing, failure.reason
        if not before:
            self._announce(f"{self.name}_trouble", f"{failure.reason}; events wait until it takes them")
        if self._ending.is_set():
            time.sleep(_LAST_PAUSE_S)
            return self._failures < _LAST_TRIES and time.monotonic() < self._deadline
        pause = min(_FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE_S)
        self._ending.wait(max(pause, min(failure.after_s or 0.0, 2 * _LONGEST_PAUSE_S)))
        return True

    def _count_lost(self, count: int, reason: str) -> None:
        with self._counting:
            self.lost += count
        self._announce_once(
            "lost",
            reason,
            f"{'an event was' if count == 1 else f'{count} events were'} lost, and more may be: {reason}",
        )

    def _announce_once(self, event: str, reason: str, text: str) -> None:
        """
        Announce each reason once.
        """
        if reason not in self._announced_reasons:
            self._announced_reasons.add(reason)
            self._announce(f"{self.name}_{event}", text)


def _content_bytes(observed: Observed) -> int:
    content = observed.content
    return 0 if content is None else len(content.request_body or b"") + len(content.response_body or b"")
