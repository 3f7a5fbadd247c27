"""
The history of `auto` in a file: private, limited in size, shared by several proxies, and refused if it is damaged.
"""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.upgrade.auto import MOST_RUNS, Run
from savemode_cli.core.upgrade.pauses import Pauses
from savemode_cli.proxy.auto_history import AutoHistoryFile

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_run(number: int, saving: int = 0) -> Run:
    """
    A run that ended this many minutes after noon.
    """
    return Run(f"r{number}", "start", NOON + timedelta(minutes=number), 100, 100 - saving)


@pytest.fixture
def file(tmp_path: Path) -> AutoHistoryFile:
    """
    A file that does not exist, in a folder that does not exist.
    """
    return AutoHistoryFile(tmp_path / "state" / "auto.json")


def test_what_is_added_can_be_read(file: AutoHistoryFile) -> None:
    """
    Each person has a history; a known run is replaced.
    """
    assert file.read() == {}
    file.add([("", a_run(1)), ("alice", a_run(1)), ("", a_run(2))])
    file.add([("", a_run(2, 7))])

    histories = file.read()
    assert histories[""].runs("start") == [a_run(2, 7), a_run(1)]
    assert histories["alice"].runs("start") == [a_run(1)]


def test_what_keep_warm_needs_is_kept(file: AutoHistoryFile) -> None:
    """
    What a run would have cost kept warm, and how its pauses ended.
    """
    run = replace(a_run(1), warm_nusd=90, returned=(3, *[0] * 11))
    file.add([("", run)])

    history = file.read()[""]
    assert history.runs("start") == [run]
    assert (history.pauses().returned[0], history.pauses().stayed_away) == (3, 1)


def test_a_file_of_an_older_version_is_read(file: AutoHistoryFile) -> None:
    """
    It has runs without what keep-warm needs. They say nothing about pauses.
    """
    old = {"person": "", "key": "k", "situation": "start", "ended_at": "2026-11-24T12:00:00Z"}
    file.path.parent.mkdir()
    file.path.write_text(json.dumps({"schema_version": 1, "runs": [{**old, "five_nusd": 7, "hour_nusd": 5}]}))

    history = file.read()[""]
    assert [(run.five_nusd, run.warm_nusd, run.returned) for run in history.runs("start")] == [(7, None, None)]
    assert history.pauses() == Pauses()
    file.add([("", a_run(1))])
    assert len(file.read()[""]) == 2


def test_only_its_owner_can_read_it(file: AutoHistoryFile) -> None:
    """
    It shows how much somebody worked, and when.
    """
    file.add([("", a_run(1))])

    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(one.name for one in file.path.parent.iterdir()) == ["auto.json", "auto.lock"]


def test_it_stays_small(file: AutoHistoryFile) -> None:
    """
    Only the latest runs are kept.
    """
    file.add([("", a_run(number)) for number in range(MOST_RUNS + 3)])

    assert [run.key for run in file.read()[""].runs("start")] == [f"r{n}" for n in reversed(range(3, MOST_RUNS + 3))]


def test_several_writers_lose_nothing(file: AutoHistoryFile) -> None:
    """
    Each writer adds its runs to those in the file.
    """
    threads = [threading.Thread(target=file.add, args=([("", a_run(number))],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(file.read()[""]) == 8


def test_forgetting(file: AutoHistoryFile) -> None:
    """
    One person or all; an empty history is not an error.
    """
    assert file.forget() == 0
    file.add([("", a_run(1)), ("alice", a_run(1)), ("alice", a_run(2))])

    assert file.forget("bob") == 0
    assert file.forget("alice") == 2
    assert set(file.read()) == {""}
    assert file.forget() == 1
    assert file.read() == {}


GOOD = {
    "person": "",
    "key": "r1",
    "situation": "start",
    "ended_at": "2026-11-24T12:00:00Z",
    "five_nusd": 1,
    "hour_nusd": 2,
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        json.dumps({"schema_version": 1, "runs": [{**GOOD, "situation": "lunch"}]}).encode(),
        json.dumps({"schema_version": 1, "runs": [{**GOOD, "ended_at": "2026-11-24T12:00:00"}]}).encode(),
        json.dumps({"schema_version": 1, "runs": [{**GOOD, "five_nusd": "1"}]}).encode(),
        json.dumps({"schema_version": 2, "runs": []}).encode(),
    ],
)
def test_a_damaged_file_is_refused_and_can_be_removed(file: AutoHistoryFile, content: bytes) -> None:
    """
    The error names the file and the way out, and the file is not overwritten.
    """
    file.path.parent.mkdir()
    file.path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"auto\.json") as caught:
        file.add([("", a_run(1))])
    assert caught.value.hint == "to start again: savemode auto forget"
    assert file.path.read_bytes() == content
    assert file.forget() == -1
    assert file.read() == {}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """
    The error names it.
    """
    (tmp_path / "state").write_text("a file")

    with pytest.raises(ConfigError, match="cannot write"):
        AutoHistoryFile(tmp_path / "state" / "auto.json").add([("", a_run(1))])
