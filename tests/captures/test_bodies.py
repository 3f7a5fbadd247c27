"""
Bodies in the store: what writer and reader remember has an end, and nothing depends on it.
"""

import struct
from pathlib import Path

import pytest

from savemode_cli.captures import bodies
from savemode_cli.captures.store import CaptureStore
from tests.captures.test_store import turn
from tests.core.test_pieces import turns


def test_memory_of_pieces_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is beyond the bounds is let go of, and every body comes back all the same.
    """
    monkeypatch.setattr(bodies, "_MOST_REMEMBERED", 5)
    monkeypatch.setattr(bodies, "_MOST_IN_TURNS_BYTES", 10_000)
    monkeypatch.setattr(bodies, "_MOST_READ_BYTES", 2_000)
    store = CaptureStore.make(tmp_path / "captures")
    said = turns(8, marked=True)
    numbers = [store.append(turn(body, session=f"s{number % 3}")) for number, body in enumerate(said)]

    assert [store.get(number).request_body for number in numbers] == said
    assert store._reader._read_bytes <= 2_000
    assert len(store._writer._turns) < 3
    store.close()


def test_bytes_of_a_body_are_no_list(tmp_path: Path) -> None:
    """
    A body whose bytes are those of a list that is stored comes back as itself.
    """
    store = CaptureStore.make(tmp_path / "captures")
    store.append(turn(turns(3, marked=False)[-1]))
    (listed,) = store._db.execute("SELECT data FROM pieces WHERE kind = 2").fetchone()

    number = store.append(turn(listed, struct.pack("<I", 1)))

    assert store.get(number).request_body == listed
    assert store.get(number).response_body == b"\x01\x00\x00\x00"
    store.close()


def test_turn_that_shares_its_start_is_only_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is cut anew of a turn is what the turn before does not begin with.
    """
    cut: list[int] = []
    pieces = bodies.pieces
    monkeypatch.setattr(bodies, "pieces", lambda body, start=0: cut.append(start) or pieces(body, start))
    store = CaptureStore.make(tmp_path / "captures")
    first, second = turns(9, marked=True)[-2:]

    store.append(turn(first, None))
    store.append(turn(second, None))
    store.append(turn(second, None, model="another"))

    assert cut[0] == cut[2] == 0
    assert cut[1] > 0.8 * len(first)
    store.close()
