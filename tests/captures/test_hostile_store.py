"""
A capture store that is hostile or damaged: one error, with limited memory and time.
"""

import io
import json
import sqlite3
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from savemode_cli.captures.file import FILE_NAME
from savemode_cli.captures.har import archive
from savemode_cli.captures.jsonl import line
from savemode_cli.captures.store import MAX_RECORD_BYTES, CaptureStore
from savemode_cli.core.errors import BadInput, CaptureUnavailable, SavemodeError
from savemode_cli.core.exchange.capture import decode, encode
from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from savemode_cli.readers.calls import call_of_capture
from savemode_cli.views import captures as view
from tests.captures.test_store import damage
from tests.core.exchange.test_capture import a_capture
from tests.support.examples import examples


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


def a_record(started_at: str | None = None, **more: Any) -> bytes:
    """
    The record of a capture with changes, as a store contains it.
    """
    read = {**json.loads(encode(a_capture())), **more}
    if started_at is not None:
        read["exchange"]["started_at"] = started_at
    return zlib.compress(json.dumps(read).encode())


def nested(depth: int) -> bytes:
    """
    A record with a value that is nested this deep.
    """
    return zlib.compress(encode(a_capture())[:-1] + b',"upstream":' + b"[" * depth + b"]" * depth + b"}")


HOSTILE_RECORDS = {
    "a bomb": (zlib.compress(b" " * 200_000_000, 9), "its record is too large"),
    "a long one": (b"x" * (MAX_RECORD_BYTES + 1), "a capture is damaged"),
    "cut off": (zlib.compress(b"{}")[:-3], "truncated"),
    "text": ("no bytes", "a capture is damaged"),
    "nothing": (b"", "truncated"),
    "deep": (nested(100), "cannot be read"),
    "deeper than Python reads": (nested(100_000), "nested too deeply"),
    "a time before all others": (a_record(started_at="0001-01-01T00:00:00+14:00"), "a time that cannot be right"),
    "a time without a zone": (a_record(ended_at="2026-11-24T12:00:00"), "a time that cannot be right"),
}


@pytest.mark.parametrize("name", HOSTILE_RECORDS)
def test_hostile_records_are_read_within_limits(store: CaptureStore, folder: Path, name: str) -> None:
    """
    Each hostile record is one error and uses little memory; the other records are read.
    """
    record, said = HOSTILE_RECORDS[name]
    store.append(a_capture())
    store._db.execute(
        "INSERT INTO exchanges (started_at, request_id, kept_bytes, record) SELECT started_at, 'x', 1, record FROM exchanges"
    )
    damage_loosely(folder, record)
    reopened = CaptureStore.open(folder)
    told: list[str] = []
    tracemalloc.start()
    rows = list(reopened.rows(damaged=lambda number, error: told.append(f"{number}: {error.message}")))
    with pytest.raises(BadInput):
        reopened.get(2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    reopened.close()

    assert [row.number for row in rows] == [1]
    assert len(told) == 1
    assert told[0].startswith("2: ")
    assert said in told[0]
    assert peak < 16 * 1024 * 1024


def damage_loosely(folder: Path, record: object) -> None:
    """
    Put a value of any type into the second record, as a table that is not STRICT could contain it.
    """
    db = sqlite3.connect(folder / FILE_NAME)
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_master SET sql = replace(sql, 'STRICT', '') WHERE type = 'table'")
    db.commit()
    db.close()
    damage(folder, "UPDATE exchanges SET record = ? WHERE id = 2", record)


def with_chunks(folder: Path, *pieces: tuple[int, bytes]) -> None:
    """
    A store with one exchange whose request body has these chunks, the last one being its root. The row claims that the
    body is long.
    """
    store = CaptureStore.make(folder)
    store.append(a_capture(request_body=None, response_body=None))
    store.close()
    db = sqlite3.connect(folder / FILE_NAME)
    for kind, data in pieces:
        plain = data if kind != 1 else zlib.decompress(data)
        digest = sha256(plain).digest()
        key = digest[16:] if kind == 2 else digest[:16]
        db.execute("INSERT OR REPLACE INTO pieces (hash, kind, data) VALUES (?, ?, ?)", (key, kind, data))
    db.execute("UPDATE exchanges SET request_piece = (SELECT max(id) FROM pieces), kept_bytes = 1 << 60")
    db.commit()
    db.close()


def lists(*levels: int, of: int = 1) -> list[tuple[int, bytes]]:
    """
    Lists of lists, each with this many copies of the one before; the first list contains the chunk `of`.
    """
    return [(2, struct.pack(f"<{count}I", *[of + level] * count)) for level, count in enumerate(levels)]


HOSTILE_CHUNKS = {
    "lists of lists of a long piece": [(0, b"x" * 60_000), *lists(*[128] * 8)],
    "lists of lists of nothing": [(0, b""), *lists(*[128] * 8)],
    "a long list": [(0, b"x"), (2, struct.pack("<200I", *[1] * 200))],
    "a list of what is to come": [(2, struct.pack("<I", 1))],
    "a long piece": [(0, b"x" * 70_000)],
    "a bomb": [(1, zlib.compress(b" " * 100_000_000, 9))],
    "a kind that there is none of": [(7, b"x")],
}


@pytest.mark.parametrize("name", HOSTILE_CHUNKS)
def test_hostile_bodies_are_read_within_limits(tmp_path: Path, name: str) -> None:
    """
    Whatever length the row claims, the read is limited to the largest possible body and to a number of steps.
    """
    folder = tmp_path / "kept"
    with_chunks(folder, *HOSTILE_CHUNKS[name])
    store = CaptureStore.open(folder)
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"longer than recorded|damaged or missing"):
        store.get(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    store.close()

    assert peak < 3 * MAX_BODY_BYTES


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW v AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT x FROM r",
        "CREATE TRIGGER t AFTER INSERT ON exchanges BEGIN DELETE FROM exchanges; END",
        "CREATE VIRTUAL TABLE w USING fts5(x)",
    ],
)
def test_store_with_executable_objects_is_refused(store: CaptureStore, folder: Path, statement: str) -> None:
    """
    Code in a file that runs during a read may never end. Stores that savemode made contain no code.
    """
    damage(folder, statement)

    with pytest.raises(CaptureUnavailable, match="a view, a trigger or a virtual table"):
        CaptureStore.open(folder)


def test_times_in_a_damaged_table_are_one_error(store: CaptureStore, folder: Path) -> None:
    """
    The totals come from the table, not from the records.
    """
    store.append(a_capture())
    damage(folder, "UPDATE exchanges SET started_at = 'soon'")

    with pytest.raises(BadInput, match="a time in the captures is damaged"):
        store.stats()


def test_exchange_that_could_not_be_read_back_is_not_written(store: CaptureStore) -> None:
    """
    The limits for writing are those for reading.
    """
    for capture in (
        a_capture(request_headers=(("accept", "x" * MAX_RECORD_BYTES),)),
        a_capture(response_body=bytes(MAX_BODY_BYTES + 1)),
    ):
        with pytest.raises(CaptureUnavailable, match="too large"):
            store.append(capture)
    assert store.stats().exchanges == 0
    assert store.get(store.append(a_capture(request_body=bytes(MAX_BODY_BYTES)))).request_body == bytes(MAX_BODY_BYTES)


WHOLE = json.loads(encode(a_capture()))
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        -1,
        10**30,
        2**63,
        1e308,
        True,
        "",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "\u202e",
        [],
        {},
    ]
)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """
    The paths of all values in a JSON value.
    """
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


@examples(300)
@given(st.sampled_from(sorted(places(WHOLE), key=repr)), ODD | st.text() | st.integers() | st.recursive(ODD, st.lists))
def test_any_value_in_a_record_is_shown_or_refused(place: tuple[Any, ...], value: Any) -> None:
    """
    A record that can be decoded can be listed, shown, exported and replayed.
    """
    changed = json.loads(json.dumps(WHOLE))
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    try:
        capture = decode(json.dumps(changed).encode(), b'{"messages":[]}', b"x")
    except SavemodeError:
        return
    screen = Console(file=io.StringIO())
    view.show_whole(1, capture, screen)
    view.show_rows([(1, capture)], screen)
    json.dumps(view.whole_json(1, capture))
    assert b"".join(archive([capture], "test"))
    assert line(capture)
    call_of_capture(capture, "x")
