"""
Bodies in the store: what the writer and the reader remember is limited, and no result depends on it.
"""

import struct
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures import bodies
from savemode_cli.captures.chunks import chunks
from savemode_cli.captures.store import CaptureStore
from tests.captures.test_chunks import turns
from tests.captures.test_store import turn


def test_memory_of_chunks_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Beyond the limits, chunks are forgotten, and every body is still read back.
    """
    monkeypatch.setattr(bodies, "_MAX_REMEMBERED", 5)
    monkeypatch.setattr(bodies, "_MAX_TURNS_BYTES", 10_000)
    monkeypatch.setattr(bodies, "_MAX_READ_BYTES", 2_000)
    store = CaptureStore.make(tmp_path / "captures")
    said = turns(8, marked=True)
    numbers = [store.append(turn(body, session=f"s{number % 3}")) for number, body in enumerate(said)]

    assert [store.get(number).request_body for number in numbers] == said
    assert store._reader._read_bytes <= 2_000
    assert len(store._writer._turns) < 3
    store.close()


def test_bytes_of_a_body_are_never_a_list(tmp_path: Path) -> None:
    """
    A body with the bytes of a stored list is read back as itself.
    """
    store = CaptureStore.make(tmp_path / "captures")
    store.append(turn(turns(3, marked=False)[-1]))
    (listed,) = store._db.execute("SELECT data FROM pieces WHERE kind = 2").fetchone()

    number = store.append(turn(listed, struct.pack("<I", 1)))

    assert store.get(number).request_body == listed
    assert store.get(number).response_body == b"\x01\x00\x00\x00"
    store.close()


def test_common_start_of_two_turns_is_only_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Only the part of a body that differs from the previous turn is divided again.
    """
    cut: list[int] = []

    def chunks_from(body: bytes, start: int = 0) -> Any:
        cut.append(start)
        return chunks(body, start)

    monkeypatch.setattr(bodies, "chunks", chunks_from)
    store = CaptureStore.make(tmp_path / "captures")
    first, second = turns(9, marked=True)[-2:]

    store.append(turn(first, None))
    store.append(turn(second, None))
    store.append(turn(second, None, model="another"))

    assert cut[0] == cut[2] == 0
    assert cut[1] > 0.8 * len(first)
    store.close()
