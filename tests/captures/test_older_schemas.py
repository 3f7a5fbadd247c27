"""
Captures that earlier versions wrote are read like new ones.

`schema1/` contains a store of the first schema, its rows as that version printed them, and its exports.
"""

import json
import shutil
from pathlib import Path

import pytest

from savemode_cli.captures.file import FILE_NAME
from savemode_cli.captures.jsonl import read_line
from savemode_cli.captures.store import CaptureStore, Row
from savemode_cli.views.captures import whole_json

SCHEMA1 = Path(__file__).parent / "schema1"


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """
    The rows of a store of the first schema.
    """
    shutil.copy(SCHEMA1 / FILE_NAME, tmp_path / FILE_NAME)
    store = CaptureStore.open(tmp_path)
    try:
        return list(store.captures())
    finally:
        store.close()


def test_rows_are_printed_as_they_were(rows: list[Row]) -> None:
    """
    The same keys in the same order with the same values; a field that the first schema did not have is null.
    """
    expected = json.loads((SCHEMA1 / "rows.json").read_text())
    shown = [whole_json(row.number, row.capture) for row in rows]

    assert [row.pop("verdict") for row in shown] == [None] * len(rows)
    assert [json.dumps(row) for row in shown] == [json.dumps(row) for row in expected]


def test_exported_lines_are_the_same_captures(rows: list[Row]) -> None:
    """
    Each line contains what the store contains, including bodies.
    """
    lines = (SCHEMA1 / "export.jsonl").read_bytes().splitlines()

    assert [read_line(line) for line in lines] == [row.capture for row in rows]
