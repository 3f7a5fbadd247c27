"""
The requests of files with their cache misses.
"""

import json
from pathlib import Path
from typing import Any

from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.prices import load_prices
from savemode_cli.readers.diagnosed import Reading, bodies_at, diagnosed_requests
from savemode_cli.readers.files import readable, walk
from tests.support.transcripts import a_session

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "out-of-reach.jsonl"


def test_all_kinds_of_files(tmp_path: Path) -> None:
    """
    Bodies have verdicts, transcripts have what their usage shows; every byte is reported to the progress bar.
    """
    (tmp_path / "calls.jsonl").write_bytes(EXAMPLE.read_bytes())
    a_session("one", [600]).write(tmp_path)
    files = list(readable(walk([str(tmp_path)])))
    reading = Reading()
    read: list[Any] = []
    found = list(diagnosed_requests(files, load_prices(None), "llm_gateway", PRODUCTS, reading, read.append))

    assert sum(read) == sum(path.stat().st_size for path, _ in files)
    assert [request.is_inferred for request in found] == [False] * 3 + [True] * (len(found) - 3)
    assert {miss.cause for request in found for miss in request.verdict.misses} == {"out_of_reach", "expired"}
    assert (reading.transcripts, reading.unusable) == (1, {})


def test_bodies_by_their_places() -> None:
    """
    The bodies as they are in the file.
    """
    files = list(readable([EXAMPLE]))
    found = bodies_at(files, {"out-of-reach.jsonl:2", "out-of-reach.jsonl:99"})

    lines = EXAMPLE.read_text().splitlines()
    assert {place: json.loads(body) for place, body in found.items()} == {
        "out-of-reach.jsonl:2": json.loads(lines[1])["body"]
    }
