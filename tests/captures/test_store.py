"""
The store: what is appended comes back, whatever it is, whoever else writes, and whenever it is killed.
"""

import dataclasses
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.captures.file import FILE_NAME
from savemode_cli.captures.store import CaptureStore, Filter
from savemode_cli.core.capture import Capture
from savemode_cli.core.errors import BadInput, CaptureTooNew, CaptureUnavailable
from tests.builders import an_exchange
from tests.core.test_capture import a_capture
from tests.core.test_pieces import turns

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    Where the store is.
    """
    return tmp_path / "captures"


@pytest.fixture
def store(folder: Path) -> Iterator[CaptureStore]:
    """
    An empty store.
    """
    opened = CaptureStore.make(folder)
    yield opened
    opened.close()


def turn(body: bytes | None, answer: bytes | None = b"", **differences: Any) -> Capture:
    """
    An exchange with these bodies.
    """
    exchange = an_exchange(**differences)
    return Capture(exchange, exchange.started_at, request_body=body, response_body=answer)


def fresh(folder: Path) -> list[Capture]:
    """
    Everything in a store, as one who opens it now reads it.
    """
    opened = CaptureStore.open(folder)
    found = [row.capture for row in opened.captures()]
    opened.close()
    return found


def test_capture_comes_back(store: CaptureStore, folder: Path) -> None:
    """
    As a whole, under its number and its id.
    """
    number = store.append(a_capture())

    assert store.get(number) == a_capture()
    assert store.number_of("req_sm_1") == number
    assert store.number_of("req_sm_2") is None
    assert fresh(folder) == [a_capture()]


@given(st.lists(st.none() | st.binary(max_size=2000), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_bodies_come_back_byte_for_byte(tmp_path_factory: pytest.TempPathFactory, bodies: list[Any], rng: Any) -> None:
    """
    Whatever is in them: none, nothing, no JSON, half a conversation, the same again.
    """
    folder = tmp_path_factory.mktemp("store") / "captures"
    store = CaptureStore.make(folder)
    conversation = turns(6, marked=True)
    captures = [
        turn(body, rng.choice(conversation)[: rng.randrange(9000)]) for body in [*bodies, *conversation, *bodies]
    ]
    for capture in captures:
        store.append(capture)
    store.close()

    assert fresh(folder) == captures


def test_turns_share_what_they_have_in_common(store: CaptureStore) -> None:
    """
    A hundred turns take less than a twentieth of their bytes, those of a second conversation like it next to nothing.
    """
    bodies = turns(100, marked=True, separators=(",", ":"))
    for body in bodies:
        store.append(turn(body))
    store.close()
    once = store.path.stat().st_size

    again = CaptureStore.open(store.path)
    for body in bodies:
        again.append(turn(body, session="another"))
    again.close()

    assert once < sum(map(len, bodies)) / 20
    assert store.path.stat().st_size < 1.5 * once


def test_long_body_is_lists_of_lists(store: CaptureStore) -> None:
    """
    More pieces than one list has.
    """
    body = json.dumps([{"n": number, "t": "x" * 500} for number in range(3000)], separators=(",", ":")).encode()
    number = store.append(turn(body))

    assert store.get(number).request_body == body


def test_filter(store: CaptureStore) -> None:
    """
    By time, by the beginning of a session's key, by model; `until` is not included.
    """
    for hour, (session, model) in enumerate([("abc", "m"), ("abd", "m"), (None, "n"), ("b", None)]):
        store.append(turn(b"x", started_at=NOON + timedelta(hours=hour), session=session, model=model))

    def found(**which: Any) -> list[int]:
        numbers = [row.number for row in store.rows(Filter(**which))]
        assert [row.number for row in store.captures(Filter(**which))] == numbers
        return numbers

    assert found() == [1, 2, 3, 4]
    assert found(since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=3)) == [2, 3]
    assert found(session="ab") == [1, 2]
    assert found(session="a%") == []
    assert found(model="m", session="abd") == [2]


def test_rows_have_no_bodies_and_pages_no_seam(store: CaptureStore) -> None:
    """
    More exchanges than are read at once, all of them, in order, without what was said.
    """
    for number in range(450):
        store.append(turn(b"body", id=f"req_{number}"))

    rows = list(store.rows())

    assert [row.capture.exchange.id for row in rows] == [f"req_{number}" for number in range(450)]
    assert {row.capture.request_body for row in rows} == {None}
    assert len(list(store.captures())) == 450


def test_stats(store: CaptureStore) -> None:
    """
    Nothing, then something.
    """
    empty = store.stats()
    store.append(turn(b"12345", b"678", started_at=NOON))
    store.append(turn(None, b"9", started_at=NOON + timedelta(hours=1), session="other"))
    stats = store.stats()

    assert (empty.exchanges, empty.kept_bytes, empty.oldest) == (0, 0, None)
    assert (stats.exchanges, stats.sessions, stats.kept_bytes) == (2, 2, 9)
    assert (stats.oldest, stats.newest) == (NOON, NOON + timedelta(hours=1))
    assert stats.file_bytes > 0


def test_prune_removes_what_nobody_needs(store: CaptureStore, folder: Path) -> None:
    """
    The pieces of what is left stay, of what is gone nothing does; the space is given back.
    """
    rng = random.Random(1)
    shared = turns(3, marked=False)
    for number in range(10):
        noise = b"noise" + rng.randbytes(20_000)
        store.append(turn(noise, shared[number % 3], started_at=NOON + timedelta(days=number)))
    whole = store.stats().file_bytes

    assert store.prune(NOON + timedelta(days=8)) == 8

    assert [capture.response_body for capture in fresh(folder)] == [shared[8 % 3], shared[9 % 3]]
    assert store.stats().file_bytes < whole / 2
    assert store.prune(NOON) == 0
    assert store.prune() == 2
    assert store._db.execute("SELECT count(*) FROM pieces").fetchone() == (0,)


def test_what_was_pruned_is_overwritten(store: CaptureStore, folder: Path) -> None:
    """
    Not only let go of: no byte of it is found in any file of the store.
    """
    secret = random.Random(2).randbytes(3000)
    store.append(turn(secret))
    assert any(secret[500:600] in one.read_bytes() for one in folder.iterdir())

    store.prune()

    assert not any(secret[500:600] in one.read_bytes() for one in folder.iterdir())


def test_writer_forgets_what_another_pruned(store: CaptureStore, folder: Path) -> None:
    """
    Two processes on one store: the pieces that one remembers may have been removed by the other.
    """
    body = turns(2, marked=True)[-1]
    store.append(turn(body))
    other = CaptureStore.open(folder)
    other.prune()
    other.close()

    store.append(turn(body))

    assert [capture.request_body for capture in fresh(folder)] == [body]


def test_pruned_while_it_is_read_is_left_out(store: CaptureStore, folder: Path) -> None:
    """
    A reader in the midst of it goes on with what is left; asked for by its number it is not there.
    """
    for number in range(3):
        store.append(turn(b"x" * 100, started_at=NOON + timedelta(days=number)))
    other = CaptureStore.open(folder)
    reading = other.captures()
    first = next(reading)
    store.prune(NOON + timedelta(days=2))

    assert first.number == 1
    assert [row.number for row in reading] == [3]
    with pytest.raises(BadInput, match="there is no exchange 2"):
        other.get(2)
    other.close()


def test_failed_append_leaves_nothing(store: CaptureStore) -> None:
    """
    And what comes after it is whole: nothing refers to a piece that was taken back.
    """
    body = turns(3, marked=True)[-1]
    store._db.execute("CREATE TRIGGER full BEFORE INSERT ON exchanges BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(CaptureUnavailable):
        store.append(turn(body))
    store._db.execute("DROP TRIGGER full")

    assert store._db.execute("SELECT count(*) FROM pieces").fetchone() == (0,)
    assert store.get(store.append(turn(body))).request_body == body


def damage(folder: Path, statement: str, *values: Any) -> None:
    """
    Change a store behind its back.
    """
    db = sqlite3.connect(folder / FILE_NAME)
    db.execute(statement, values)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("UPDATE pieces SET data = x'00' WHERE kind = 0", ()),
        ("UPDATE pieces SET data = x'00' WHERE kind = 1", ()),
        ("UPDATE pieces SET data = x'00000000' WHERE kind = 2", ()),
        ("DELETE FROM pieces WHERE kind = 1", ()),
        ("UPDATE exchanges SET kept_bytes = 10", ()),
        ("UPDATE exchanges SET record = x'00'", ()),
        ("UPDATE exchanges SET record = ?", (b"x\x9c\x03\x00\x00\x00\x00\x01",)),
    ],
)
def test_damage_is_said_and_not_given_out(folder: Path, statement: str, values: tuple[Any, ...]) -> None:
    """
    A body comes back as it was or not at all; the rest of the store is read.
    """
    store = CaptureStore.make(folder)
    store.append(turn(b"a" * 200 + b'},{"' + turns(2, marked=True)[-1], b"short"))
    store.close()
    damage(folder, statement, *values)
    opened = CaptureStore.open(folder)
    opened.append(turn(b"intact"))
    told: list[int] = []

    with pytest.raises(BadInput):
        opened.get(1)
    with pytest.raises(BadInput):
        list(opened.captures())
    whole = [row.number for row in opened.captures(damaged=lambda number, _error: told.append(number))]

    assert (whole, told) == ([2], [1])
    opened.close()


def test_newer_record_is_named_and_the_rest_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A record of a later schema in a file of ours does not end the reading.
    """
    store = CaptureStore.make(folder)
    monkeypatch.setattr("savemode_cli.core.capture.SCHEMA", 2)
    store.append(turn(b"new"))
    monkeypatch.undo()
    store.append(turn(b"old"))
    told: list[type] = []

    rows = list(store.rows(damaged=lambda _number, error: told.append(type(error))))

    assert ([row.number for row in rows], told) == ([2], [CaptureTooNew])
    store.close()


def test_store_that_cannot_be_read_ends_the_reading(store: CaptureStore) -> None:
    """
    That is no damaged record.
    """
    store.append(turn(b"x"))
    store.close()

    with pytest.raises(CaptureUnavailable):
        list(store.rows(damaged=lambda _number, _error: None))


APPENDS = """
import sys
from pathlib import Path
from savemode_cli.captures.store import CaptureStore
from tests.captures.test_store import turn
from tests.core.test_pieces import turns

store = CaptureStore.make(Path(sys.argv[1]))
print("open", flush=True)
for number in range(int(sys.argv[2])):
    bodies = turns(8, marked=True) if not number else bodies
    print(store.append(turn(bodies[number % 8], b"answer %d" % number, session=sys.argv[3])), flush=True)
"""


def appending(folder: Path, count: int, session: str) -> "subprocess.Popen[str]":
    """
    A process that appends, and prints the number of each exchange once it is there.
    """
    return subprocess.Popen(
        [sys.executable, "-c", APPENDS, str(folder), str(count), session],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("after", [1, 7, 40])
def test_kill_loses_nothing_that_was_appended(folder: Path, after: int) -> None:
    """
    kill -9 at any moment: everything that was said to be there is, whole, and the next process goes on.
    """
    process = appending(folder, 100_000, "killed")
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(after + 1)]
    time.sleep(random.random() / 50)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()  # not `communicate`, which passes over what `readline` has read ahead
    process.communicate()
    last = int([*said, *rest.split()][-1])

    found = fresh(folder)

    bodies = turns(8, marked=True)
    assert len(found) in (last, last + 1)
    assert [one.request_body for one in found] == [bodies[number % 8] for number in range(len(found))]
    assert [one.response_body for one in found] == [b"answer %d" % number for number in range(len(found))]
    again = CaptureStore.make(folder)
    again.append(turn(bodies[0]))
    assert again._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again.close()


def test_processes_share_a_store(folder: Path) -> None:
    """
    What several append at the same time is all there, and all whole.
    """
    running = [appending(folder, 60, f"s{number}") for number in range(3)]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")

    found = fresh(folder)

    bodies = turns(8, marked=True)
    for session in ("s0", "s1", "s2"):
        of_it = [one for one in found if one.exchange.session == session]
        assert [one.request_body for one in of_it] == [bodies[number % 8] for number in range(60)]
    assert dataclasses.replace(found[0]) == found[0]


def test_full_disk_leaves_what_was_there(store: CaptureStore, folder: Path) -> None:
    """
    An append that does not fit is an error; what was appended before is whole, and smaller ones go on.
    """
    store.append(turn(b"first"))
    store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0] + 2}")

    with pytest.raises(CaptureUnavailable, match="full") as raised:
        store.append(turn(random.Random(3).randbytes(200_000)))

    assert "prune" in raised.value.hint
    store.append(turn(b"second"))
    assert [one.request_body for one in fresh(folder)] == [b"first", b"second"]
