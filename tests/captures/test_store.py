"""
The store: every exchange is read back, with any content, with several writers, and after a kill at any moment.
"""

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
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.captures.file import FILE_NAME
from savemode_cli.captures.store import CaptureStore, Filter
from savemode_cli.core.errors import BadInput, CaptureTooNew, CaptureUnavailable
from savemode_cli.core.exchange.capture import SCHEMA, Capture
from savemode_cli.database import lock_folder
from tests.builders import an_exchange
from tests.captures.test_chunks import turns
from tests.core.exchange.test_capture import a_capture
from tests.support.examples import examples

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    The folder of the store.
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
    The whole content of a store, read through a new connection.
    """
    opened = CaptureStore.open(folder)
    found = [row.capture for row in opened.captures()]
    opened.close()
    return found


def test_capture_is_read_back(store: CaptureStore, folder: Path) -> None:
    """
    The capture is read back completely, under its number and its request ID.
    """
    number = store.append(a_capture())

    assert store.get(number) == a_capture()
    assert store.number_of("req_sm_1") == number
    assert store.number_of("req_sm_2") is None
    assert fresh(folder) == [a_capture()]


@given(st.lists(st.none() | st.binary(max_size=2000), min_size=1, max_size=4), st.randoms(use_true_random=False))
@examples(25)
def test_bodies_are_read_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[Any], rng: Any
) -> None:
    """
    With any content: no body, an empty one, not JSON, half a conversation, the same body again.
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


def test_turns_share_space(store: CaptureStore) -> None:
    """
    A hundred turns need less than a twentieth of their bytes, and a second similar conversation needs almost nothing.
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
    A body with more chunks than one list can contain.
    """
    body = json.dumps([{"n": number, "t": "x" * 500} for number in range(3000)], separators=(",", ":")).encode()
    number = store.append(turn(body))

    assert store.get(number).request_body == body


def test_filter(store: CaptureStore) -> None:
    """
    By time, by the beginning of the session key, by model; `until` is exclusive.
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


def test_rows_of_several_pages_have_no_bodies(store: CaptureStore) -> None:
    """
    All exchanges are read in order and without bodies, also if there are more than one page.
    """
    for number in range(450):
        store.append(turn(b"body", id=f"req_{number}"))

    rows = list(store.rows())

    assert [row.capture.exchange.id for row in rows] == [f"req_{number}" for number in range(450)]
    assert {row.capture.request_body for row in rows} == {None}
    assert len(list(store.captures())) == 450


def test_stats(store: CaptureStore) -> None:
    """
    An empty store, then one with content.
    """
    empty = store.stats()
    store.append(turn(b"12345", b"678", started_at=NOON))
    store.append(turn(None, b"9", started_at=NOON + timedelta(hours=1), session="other"))
    stats = store.stats()

    assert (empty.exchanges, empty.kept_bytes, empty.oldest) == (0, 0, None)
    assert (stats.exchanges, stats.sessions, stats.kept_bytes) == (2, 2, 9)
    assert (stats.oldest, stats.newest) == (NOON, NOON + timedelta(hours=1))
    assert stats.file_bytes > 0


def test_prune_removes_unused_chunks(store: CaptureStore, folder: Path) -> None:
    """
    The chunks of remaining exchanges stay, all others are removed, and the space is returned to the system.
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


def test_pruned_data_is_overwritten(store: CaptureStore, folder: Path) -> None:
    """
    No byte of a pruned body is left in any file of the store.
    """
    secret = random.Random(2).randbytes(3000)
    store.append(turn(secret))
    assert any(secret[500:600] in one.read_bytes() for one in folder.iterdir())

    store.prune()

    assert not any(secret[500:600] in one.read_bytes() for one in folder.iterdir())


def test_writer_forgets_chunks_that_another_process_pruned(store: CaptureStore, folder: Path) -> None:
    """
    With two processes on one store, one may remove the chunks that the other remembers.
    """
    body = turns(2, marked=True)[-1]
    store.append(turn(body))
    other = CaptureStore.open(folder)
    other.prune()
    other.close()

    store.append(turn(body))

    assert [capture.request_body for capture in fresh(folder)] == [body]


def test_exchange_that_is_pruned_during_a_read_is_left_out(store: CaptureStore, folder: Path) -> None:
    """
    A reader continues with the remaining exchanges; a pruned one is no longer found by its number.
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
    Later exchanges are complete: none of them refers to a chunk of the failed transaction.
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
    Change a store with another connection.
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
def test_damaged_body_is_an_error(folder: Path, statement: str, values: tuple[Any, ...]) -> None:
    """
    A damaged body is an error and is never returned; the rest of the store is read.
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
    A record of a later schema does not stop the read.
    """
    store = CaptureStore.make(folder)
    monkeypatch.setattr("savemode_cli.core.exchange.capture.SCHEMA", SCHEMA + 1)
    store.append(turn(b"new"))
    monkeypatch.undo()
    store.append(turn(b"old"))
    told: list[type] = []

    rows = list(store.rows(damaged=lambda _number, error: told.append(type(error))))

    assert ([row.number for row in rows], told) == ([2], [CaptureTooNew])
    store.close()


def test_store_that_cannot_be_read_is_an_error(store: CaptureStore) -> None:
    """
    This differs from a damaged record.
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
from tests.captures.test_chunks import turns

store = CaptureStore.make(Path(sys.argv[1]))
print("open", flush=True)
for number in range(int(sys.argv[2])):
    bodies = turns(8, marked=True) if not number else bodies
    print(store.append(turn(bodies[number % 8], b"answer %d" % number, session=sys.argv[3])), flush=True)
"""


def appending(folder: Path, count: int, session: str) -> "subprocess.Popen[str]":
    """
    A process that appends exchanges, and prints the number of each one after it is stored.
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
    After kill -9 at any moment, every exchange whose number was printed is stored completely, and the next process
    continues.
    """
    process = appending(folder, 100_000, "killed")
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(after + 1)]
    time.sleep(random.random() / 50)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()  # not `communicate`, which ignores what `readline` has already buffered
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
    The exchanges of several concurrent writers are all stored completely.
    """
    running = [appending(folder, 60, f"s{number}") for number in range(3)]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in running]
    assert ended == [("", 0)] * 3

    found = fresh(folder)

    bodies = turns(8, marked=True)
    for session in ("s0", "s1", "s2"):
        of_it = [one for one in found if one.exchange.call.session == session]
        assert [one.request_body for one in of_it] == [bodies[number % 8] for number in range(60)]


def test_full_disk_keeps_earlier_exchanges(store: CaptureStore, folder: Path) -> None:
    """
    An append that does not fit is an error; earlier exchanges stay complete, and smaller ones can still be appended.
    """
    store.append(turn(b"first"))
    store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0] + 2}")

    with pytest.raises(CaptureUnavailable, match="full") as raised:
        store.append(turn(random.Random(3).randbytes(200_000)))

    assert "prune" in raised.value.hint
    store.append(turn(b"second"))
    assert [one.request_body for one in fresh(folder)] == [b"first", b"second"]


def test_new_store_waits_for_the_process_that_makes_it(folder: Path) -> None:
    """
    A process that finds the folder locked waits, and then says that another process keeps it locked.
    """
    folder.mkdir(mode=0o700)

    with lock_folder(folder, 0), pytest.raises(CaptureUnavailable, match="another process keeps it locked"):
        CaptureStore.make(folder, busy_s=0.05)

    CaptureStore.make(folder, busy_s=0.05).close()
