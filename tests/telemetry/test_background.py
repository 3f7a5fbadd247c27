"""
The queue and the thread behind every outlet.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from savemode_cli.core.exchange.observed import Content, Observed
from savemode_cli.telemetry.background import BATCH, Background
from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.outlet import Undelivered
from tests.builders import an_observed
from tests.support.waiting import LONG_S, until


@dataclass
class Shelf:
    """
    An outlet that keeps what it is given, once it may; `fails` are its next failures.
    """

    where: str = "the shelf"
    batches: list[list[Event]] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    timeouts_s: list[float] = field(default_factory=list)

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:
        """
        Take a batch.
        """
        self.timeouts_s.append(timeout_s)
        self.asked.set()
        assert self.open.wait(LONG_S)
        if self.fails:
            raise self.fails.pop(0)
        self.batches.append(list(batch))


@dataclass
class Drawer:
    """
    A store in memory, of so many places.
    """

    left: list[Event] = field(default_factory=list)
    places: int = 1_000_000
    forgotten: int = 0
    given_back: int = 0
    saved: list[Event] = field(default_factory=list)

    def claim(self) -> list[Event]:
        """
        What was left.
        """
        return self.left

    def forget(self) -> None:
        """
        Count it.
        """
        self.forgotten += 1

    def give_back(self) -> None:
        """
        Count it.
        """
        self.given_back += 1

    def save(self, events: Sequence[Event]) -> int:
        """
        As many as there are places.
        """
        self.saved += events[: self.places]
        return len(self.saved)


@pytest.fixture
def shelf() -> Shelf:
    """
    An outlet that takes what comes.
    """
    one = Shelf()
    one.open.set()
    return one


@pytest.fixture
def said() -> list[tuple[str, str]]:
    """
    What was announced.
    """
    return []


def sink(shelf: Shelf, said: list[tuple[str, str]], **more: Any) -> Background:
    """
    A sink whose events are the ids of their exchanges; "none" is no event, "odd" cannot be made into one.
    """

    def make(record: Observed) -> Event | None:
        if record.exchange.id == "odd":
            raise ValueError("odd")
        if record.exchange.id == "none":
            return None
        told = {"id": record.exchange.id, "content": record.content is not None}
        answered_by = record.exchange.answer.answered_by
        return told | ({} if answered_by is None else {"answered_by": answered_by})

    options: dict[str, Any] = {"batch_s": 0.01, "close_s": LONG_S} | more
    return Background("telemetry", make, shelf, lambda *one: said.append(one), **options)


def record(number: object, content: Content | None = None) -> Observed:
    """
    The record of an exchange of this id.
    """
    return an_observed(id=str(number), content=content, answered_by="the model")


def ids(batches: Sequence[Sequence[Event]]) -> list[str]:
    """
    The ids of all events in order.
    """
    return [event["id"] for batch in batches for event in batch]


def test_events_come_in_order_and_in_batches(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    A batch that is full does not wait; the last one goes at the end.
    """
    one = sink(shelf, said, batch_s=LONG_S)
    for number in range(2 * BATCH + 1):
        one.keep(record(number))
    one.close()

    assert ids(shelf.batches) == [str(number) for number in range(2 * BATCH + 1)]
    assert max(map(len, shelf.batches)) == BATCH
    assert (one.delivered, one.lost, one.trouble, said) == (2 * BATCH + 1, 0, "", [])


def test_a_batch_waits_no_longer_than_it_may(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    One event alone goes after a moment, without an end.
    """
    one = sink(shelf, said)
    one.keep(record(1))

    assert shelf.asked.wait(LONG_S)
    one.close()


def test_what_is_no_event_is_skipped_and_what_cannot_be_one_is_lost(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    Neither ends the telemetry; the second is counted and said, without the words of the error.
    """
    one = sink(shelf, said)
    for name in ("none", "odd", "a", "odd"):
        one.keep(record(name))
    one.close()

    assert ids(shelf.batches) == ["a"]
    assert (one.lost, one.trouble) == (2, "2 events were lost")
    assert [event for event, _ in said] == ["telemetry_lost"]
    assert "(ValueError)" in said[0][1]


def test_after_the_end_nothing_is_taken(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    What comes later is lost, and counted.
    """
    one = sink(shelf, said)
    one.close()
    one.keep(record(1))

    assert (shelf.batches, one.lost) == ([], 1)


def test_a_delivery_gets_no_more_time_than_the_end_has(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    Ten seconds while it runs, what is left of the bound at the end.
    """
    one = sink(shelf, said, close_s=1.0, batch_s=LONG_S)
    one.keep(record(1))
    one.close()

    assert 0 < shelf.timeouts_s[-1] <= 1.0


def test_what_was_left_goes_first_and_is_forgotten_when_it_is_delivered(
    shelf: Shelf, said: list[tuple[str, str]]
) -> None:
    """
    Not before: a process that is killed in between leaves it for the next.
    """
    drawer = Drawer([{"id": f"old{number}"} for number in range(BATCH + 1)])
    shelf.open.clear()
    one = sink(shelf, said, store=drawer)
    one.keep(record("new"))
    assert shelf.asked.wait(LONG_S)
    assert drawer.forgotten == 0
    shelf.open.set()
    one.close()

    assert ids(shelf.batches) == [*(f"old{number}" for number in range(BATCH + 1)), "new"]
    assert drawer.forgotten >= 1
    assert drawer.saved == []


def test_what_an_earlier_process_left_is_not_written_again(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    It lies there already, and is given back as it is: on a disk that is full by now a copy would be the end of it.
    """
    drawer = Drawer([{"id": "old"}], places=0)
    shelf.fails = [Undelivered("no") for _ in range(100)]
    one = sink(shelf, said, store=drawer)
    one.keep(record("new"))
    one.close()

    assert (drawer.forgotten, drawer.given_back, drawer.saved) == (0, 1, [])
    assert one.lost == 1


def test_an_outlet_that_raises_what_it_may_not_does_not_end_the_telemetry(
    shelf: Shelf, said: list[tuple[str, str]]
) -> None:
    """
    The events it cannot take are lost one by one and named by their kind of error, without its words.
    """
    shelf.fails = [ValueError("secret")] * 2
    one = sink(shelf, said, batch_s=LONG_S)
    for number in range(2):
        one.keep(record(number))
    one.close()

    assert (ids(shelf.batches), one.lost) == (["1"], 1)
    assert "ValueError" in said[0][1]
    assert "secret" not in said[0][1]


def test_a_store_that_cannot_be_read_does_not_end_the_telemetry(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    What it holds stays there; what comes is delivered.
    """

    class Locked(Drawer):
        def claim(self) -> list[Event]:
            raise RuntimeError("secret")

    one = sink(shelf, said, store=Locked())
    one.keep(record(1))
    one.close()

    assert (ids(shelf.batches), one.lost) == (["1"], 0)
    assert [event for event, _ in said] == ["telemetry_unread"]


def test_what_finds_no_place_at_the_end_is_lost(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    The oldest are kept; how many were kept and lost is said.
    """
    drawer = Drawer(places=2)
    shelf.fails = [Undelivered("no") for _ in range(100)]
    one = sink(shelf, said, store=drawer)
    for number in range(5):
        one.keep(record(number))
    one.close()

    assert ids([drawer.saved]) == ["0", "1"]
    assert one.lost == 3
    assert [event for event, _ in said] == ["telemetry_trouble", "telemetry_kept", "telemetry_lost"]


def test_a_delivery_under_way_at_the_end_is_kept_too(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    Nobody knows whether it arrives: it may come twice, under one uuid, and is not counted as delivered.
    """
    drawer = Drawer()
    shelf.open.clear()
    one = sink(shelf, said, store=drawer, close_s=0.05)
    one.keep(record(1))
    assert shelf.asked.wait(LONG_S)
    one.keep(record(2))
    one.close()
    shelf.open.set()
    one._thread.join(LONG_S)

    assert ids([drawer.saved]) == ["1", "2"]
    assert one.delivered == 0


@pytest.mark.parametrize("bad", range(7))
def test_a_refused_batch_is_halved_until_what_is_refused_is_alone(said: list[tuple[str, str]], bad: int) -> None:
    """
    Wherever it stands; the others keep their order, and what was left by another process is forgotten once.
    """

    @dataclass
    class Picky(Shelf):
        def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:
            if any(event["id"] == str(bad) for event in batch):
                raise Undelivered("bad", final=True)
            self.batches.append(list(batch))

    shelf, drawer = Picky(), Drawer([{"id": str(number)} for number in range(4)])
    one = sink(shelf, said, store=drawer)
    for number in range(4, 7):
        one.keep(record(number))
    one.close()

    assert ids(shelf.batches) == [str(number) for number in range(7) if number != bad]
    assert (one.lost, one._from_store) == (1, 0)


def test_pauses_grow_and_what_the_outlet_asks_for_is_kept(
    shelf: Shelf, said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Half a second, twice as long each time up to half a minute, or what it asks for, up to a minute.
    """
    pauses: list[float] = []
    one = sink(shelf, said)
    monkeypatch.setattr(one, "_ending", Pause(one._ending, pauses))
    shelf.fails = [
        *(Undelivered("no") for _ in range(8)),
        Undelivered("no", after_s=45),
        Undelivered("no", after_s=1e9),
    ]
    one.keep(record(1))
    until(lambda: one.delivered)
    one.close()

    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 45, 60]


@dataclass
class Pause:
    """
    An event that is not waited for, but noted.
    """

    event: threading.Event
    pauses: list[float]

    def wait(self, seconds: float) -> bool:
        """
        Note the wait.
        """
        self.pauses.append(seconds)
        return False

    def set(self) -> None:
        """
        As the event.
        """
        self.event.set()

    def is_set(self) -> bool:
        """
        As the event.
        """
        return self.event.is_set()


def test_content_does_not_fill_the_memory(
    shelf: Shelf, said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Past the bound events go without; once the queue is shorter they have it again.
    """
    monkeypatch.setattr("savemode_cli.telemetry.background.MOST_CONTENT_BYTES", 10)
    content = Content([], b"12345678", [], b"90ab")
    shelf.open.clear()
    one = sink(shelf, said, wants_content=True)
    one.keep(record("first", content))
    assert shelf.asked.wait(LONG_S)
    for number in range(3):
        one.keep(record(number, content))
    shelf.open.set()
    one.close()
    found = {event["id"]: event["content"] for batch in shelf.batches for event in batch}

    assert found == {"first": True, "0": True, "1": False, "2": False}
    assert all(event["answered_by"] == "the model" for batch in shelf.batches for event in batch)
    assert one._content_bytes == 0
    assert [event for event, _ in said] == ["telemetry_trouble"]


def test_batches_with_content_are_small(shelf: Shelf, said: list[tuple[str, str]]) -> None:
    """
    A hundred of 800 KiB would be more than PostHog takes at once.
    """
    one = sink(shelf, said, wants_content=True, batch_s=LONG_S)
    for number in range(25):
        one.keep(record(number, Content([], None, [], None)))
    one.close()

    assert max(map(len, shelf.batches)) == 10
    assert len(ids(shelf.batches)) == 25
