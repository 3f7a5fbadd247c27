"""
The sink behind every outlet: a bounded queue and one thread that makes events of records and delivers them.

Rule of this file: an event is delivered, or kept for the next start, or counted as lost; there is no fourth thing.

Why not the SDK's own queue. `posthog.Client` builds its message in the caller's thread, which here is the event loop; its
consumer drops a batch once its retries are over, and tells `on_error` so, but tells nobody of a batch that arrived. So
at a shutdown within a bound nobody could say which events are still to be sent. Hence the SDK's `batch_post`, which is
what its consumer calls, from a thread of our own that knows.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Protocol

from savemode_cli.core.event import Event
from savemode_cli.core.record import Record

MOST_WAITING = 10_000
"""Records in memory, as many as the SDK keeps; one without content is about 5 KB."""

MOST_CONTENT_BYTES = 64 * 1024 * 1024
"""Of the bodies in memory. Past it events go without content: they are what must not be lost."""

BATCH = 250  # a request costs the SDK as much as it takes to write 30 events
_BATCH_WITH_CONTENT = 10  # at 800 KiB each well below the 20 MB that PostHog takes
_EVENTS_A_TURN = 25  # half a millisecond
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_LAST_TRIES = 3  # of a batch once we are to end: who is not there now will not be there in a second
_LAST_PAUSE_S = 0.1


class Undelivered(Exception):
    """
    A batch did not arrive. `final`: nor will it ever; else it is tried again, after `after_s` if that is said.
    """

    def __init__(self, why: str, *, final: bool = False, after_s: float | None = None) -> None:
        """
        `why` is for people, and names no key.
        """
        super().__init__(why)
        self.why = why
        self.final = final
        self.after_s = after_s


class Outlet(Protocol):
    """
    Where events go. Called by one thread only.
    """

    @property
    def where(self) -> str:
        """
        What it is called in a sentence.
        """

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:
        """
        Hand over a batch. None of it may count as delivered if it raises.

        Raises:
            Undelivered: it did not arrive.
        """


class Store(Protocol):
    """
    Where events wait that could not be delivered before the end.
    """

    def claim(self) -> list[Event]:
        """
        What an earlier process has left, which is now ours alone to deliver.
        """

    def forget(self) -> None:
        """
        What was claimed has been delivered.
        """

    def give_back(self) -> None:
        """
        What was claimed has not been delivered, or not all of it: the next process may claim it.
        """

    def save(self, events: Sequence[Event]) -> int:
        """
        Keep events for the next start; how many were kept.
        """


class Background:
    """
    A sink that delivers in the background. It begins at once, and ends with `close`.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Record], Event | None],
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
        `batch_s` is how long a batch may wait to be full, `timeout_s` how long a delivery may take, `close_s` how long the
        end may.
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
        self._records: deque[Record] = deque()
        self._content_bytes = 0
        self._pending: deque[list[Event]] = deque()
        self._claimed = False
        self._from_store = 0  # how many of the first batches are of an earlier process
        self._failing = ""
        self._failures = 0
        self._said: set[str] = set()
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
        Why events wait, and how many; else how many were lost.
        """
        if self._failing:
            waiting = len(self._records) + sum(map(len, list(self._pending)))
            return f"{self._failing}; {waiting} events wait, {self.lost} were lost"
        return f"{self.lost} events were lost" if self.lost else ""

    def keep(self, record: Record) -> None:
        """
        Take a record, or count it as lost where there are too many.
        """
        records = self._records
        if len(records) >= MOST_WAITING or self._closed:
            self._lose(1, f"{self._outlet.where} is too slow: {MOST_WAITING} events wait")
            return
        if record.content is not None:
            record = self._weighed(record)
        records.append(record)
        waiting = len(records)
        # The thread is woken twice a batch, not once a record: waking it costs the event loop more than all of the rest.
        if waiting == 1:
            self._first.set()
        elif waiting == BATCH:
            self._full.set()

    def close(self) -> None:
        """
        Deliver what was taken, for as long as the end may take; the rest is kept for the next start.
        """
        if self._closed:
            return
        self._closed = True
        self._deadline = time.monotonic() + self._close_s
        for one in (self._ending, self._first, self._full):
            one.set()
        self._thread.join(self._close_s)
        with self._lock:
            # A delivery may still be under way. If it arrives after all, the copy that is kept has the same uuid.
            self._abandoned = True
            own = islice(self._pending, self._from_store, None)
            left = [*chain.from_iterable(own), *self._made(self._records)]
        if self._store is not None and self._claimed:
            # What is left of an earlier process lies there already. To write it again would need room that there may not be.
            self._store.give_back() if self._from_store else self._store.forget()
        kept = self._store.save(left) if left and self._store is not None else 0
        if kept:
            self._announce(f"{self.name}_kept", f"{kept} events for {self._outlet.where} are kept for the next start")
        if len(left) > kept:
            self._lose(len(left) - kept, f"{self._outlet.where} could not be reached before the end")

    def _weighed(self, record: Record) -> Record:
        """
        The record, without its content if there is too much of it in memory.
        """
        if self._content_bytes > MOST_CONTENT_BYTES:
            why = f"{self._outlet.where} is slow: events go without content until it is not"
            self._say("trouble", why, why)
            return record.without_content()
        with self._counting:
            self._content_bytes += _content_bytes(record)
        return record

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
        Take what an earlier process has left; whole into memory, for the store is bounded.
        """
        try:
            earlier = store.claim()
        except Exception as error:  # noqa: BLE001 - a file that somebody has edited must not end the telemetry
            why = f"what waits for {self._outlet.where} cannot be read ({type(error).__name__})"
            return self._say("unread", why, f"{why}; it stays where it is")
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
        Make a batch of the oldest records. They stay in their queue until it stands, so that none is ever nowhere.
        """
        records = self._records
        size = min(len(records), _BATCH_WITH_CONTENT if self.wants_content else BATCH)
        batch = self._made(records[index] for index in range(size))
        with self._lock:
            if self._abandoned:
                return
            if batch:
                self._pending.append(batch)
            done = [records.popleft() for _ in range(size)]
        with self._counting:
            self._content_bytes -= sum(map(_content_bytes, done))

    def _made(self, records: Iterable[Record]) -> list[Event]:
        events = []
        for number, record in enumerate(records):
            if number % _EVENTS_A_TURN == 0:
                # Let the event loop have the interpreter: it would wait 5 ms for it before it asked again.
                time.sleep(0)
            try:
                event = self._make(record)
            except Exception as error:  # noqa: BLE001 - a record that is odd beyond all tests must not end the telemetry
                self._lose(1, f"no event could be made of a request ({type(error).__name__})")
                continue
            if event is not None:
                events.append(event)
        return events

    def _deliver_first(self) -> bool:
        """
        Try the first batch; whether to go on.
        """
        batch = self._pending[0]
        try:
            left_s = max(self._deadline - time.monotonic(), 0.1)
            self._outlet.deliver(batch, min(self._timeout_s, left_s))
        except Undelivered as failure:
            if failure.final:
                self._take_apart(batch, failure.why)
                return True
            return self._wait_after(failure)
        except Exception as error:  # noqa: BLE001 - the thread that delivers is the only one
            self._take_apart(batch, f"{self._outlet.where} cannot take an event ({type(error).__name__})")
            return True
        self._done(batch)
        return True

    def _done(self, batch: Sequence[Event]) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._pending.popleft()
            self._one_less()
        self.delivered += len(batch)
        self._failures = 0
        if self._failing:
            self._failing = ""
            self._announce(f"{self.name}_back", f"{self._outlet.where} takes events again")

    def _one_less(self) -> None:
        """
        A batch less waits. With the lock: how many of them are an earlier process's must be true at the end.
        """
        if self._from_store:
            self._from_store -= 1
            if not self._from_store and self._store is not None:
                self._store.forget()

    def _take_apart(self, batch: Sequence[Event], why: str) -> None:
        """
        A batch is refused for one event in it, or for its size: halves of it may pass.
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
                self._one_less()
        if not half:
            self._lose(1, why)

    def _wait_after(self, failure: Undelivered) -> bool:
        self._failures += 1
        before, self._failing = self._failing, failure.why
        if not before:
            self._announce(f"{self.name}_trouble", f"{failure.why}; events wait until it is over")
        if self._ending.is_set():
            time.sleep(_LAST_PAUSE_S)
            return self._failures < _LAST_TRIES and time.monotonic() < self._deadline
        pause = min(_FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE_S)
        self._ending.wait(max(pause, min(failure.after_s or 0.0, 2 * _LONGEST_PAUSE_S)))
        return True

    def _lose(self, count: int, why: str) -> None:
        with self._counting:
            self.lost += count
        self._say(
            "lost", why, f"{'an event was' if count == 1 else f'{count} events were'} lost, and more may be: {why}"
        )

    def _say(self, event: str, why: str, text: str) -> None:
        """
        Once for each reason.
        """
        if why not in self._said:
            self._said.add(why)
            self._announce(f"{self.name}_{event}", text)


def _content_bytes(record: Record) -> int:
    content = record.content
    return 0 if content is None else len(content.request_body or b"") + len(content.response_body or b"")
