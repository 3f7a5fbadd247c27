"""
Events that wait for the next start.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.telemetry.spool import Spool

ROOT = Path(__file__).parents[2]


def events(*uuids: str) -> list[dict[str, Any]]:
    """
    Events of these ids.
    """
    return [{"uuid": one, "event": "e"} for one in uuids]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    Where they wait; it is not there yet.
    """
    return tmp_path / "data" / "telemetry"


def test_what_is_saved_can_be_claimed_once(folder: Path) -> None:
    """
    In order, by one; and then it is gone.
    """
    assert Spool(folder, "a").save(events("1", "2")) == 2
    assert Spool(folder, "a").save(events("3")) == 1
    first, second = Spool(folder, "a"), Spool(folder, "a")

    assert first.claim() == events("1", "2", "3")
    assert second.claim() == []
    first.forget()
    assert second.claim() == []
    assert list(folder.iterdir()) == []


def test_what_is_not_delivered_is_there_again(folder: Path) -> None:
    """
    A claim ends with the process, also one that is killed.
    """
    Spool(folder, "a").save(events("1"))
    code = (
        "import os, signal, sys; from pathlib import Path; from savemode_cli.telemetry.spool import Spool\n"
        f"assert Spool(Path({str(folder)!r}), 'a').claim()\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)

    assert done.returncode < 0
    assert Spool(folder, "a").claim() == events("1")


def test_another_process_cannot_claim_it(folder: Path) -> None:
    """
    As long as the first one lives.
    """
    Spool(folder, "a").save(events("1"))
    holder = Spool(folder, "a")
    holder.claim()
    code = (
        "from pathlib import Path; from savemode_cli.telemetry.spool import Spool\n"
        f"print(Spool(Path({str(folder)!r}), 'a').claim())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_projects_are_apart_and_keys_not_written(folder: Path) -> None:
    """
    What waits for one does not go to another; the name of a file does not tell the key.
    """
    Spool(folder, "https://eu phc_secret").save(events("1"))

    assert Spool(folder, "https://us phc_secret").claim() == []
    assert Spool(folder, "https://eu phc_other0").claim() == []
    assert "secret" not in "".join(path.name + path.read_text() for path in folder.iterdir())


def test_only_the_owner_can_read_it(folder: Path) -> None:
    """
    The events say what somebody worked on, and may say what was said.
    """
    Spool(folder, "a").save(events("1"))
    (path,) = folder.iterdir()

    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_there_is_a_bound(folder: Path) -> None:
    """
    Of everything that waits for one project, whoever has claimed it.
    """
    size = len(json.dumps(events("1")[0], separators=(",", ":"))) + 1
    assert Spool(folder, "a", 3 * size).save(events("1", "2")) == 2
    assert Spool(folder, "a", 3 * size).save(events("3", "4")) == 1
    assert Spool(folder, "a", 3 * size).save(events("5")) == 0
    holder = Spool(folder, "a", 3 * size)
    holder.claim()

    assert holder.save(events("5")) == 0
    holder.forget()
    assert holder.save(events("5")) == 1


def test_what_is_given_back_can_be_claimed_again(folder: Path) -> None:
    """
    By any process, and it was never written a second time.
    """
    Spool(folder, "a").save(events("1"))
    (before,) = folder.iterdir()
    holder = Spool(folder, "a")
    holder.claim()
    holder.give_back()

    assert Spool(folder, "a").claim() == events("1")
    assert list(folder.iterdir()) == [before]


@pytest.mark.parametrize("kind", ["file", "unwritable"])
def test_no_place_to_write_keeps_nothing_and_raises_nothing(folder: Path, kind: str) -> None:
    """
    The caller counts what was not kept.
    """
    folder.parent.mkdir()
    if kind == "file":
        folder.write_text("")
    elif os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    else:
        folder.mkdir(mode=0o500)

    assert Spool(folder, "a").save(events("1")) == 0
    assert Spool(folder, "a").claim() == []


def test_lines_that_are_no_events_are_skipped(folder: Path) -> None:
    """
    Somebody may have edited the file, and a disk may have been full.
    """
    Spool(folder, "a").save(events("1", "2"))
    (path,) = folder.iterdir()
    first, second = path.read_bytes().splitlines()
    deep = b'{"uuid":' + b"[" * 100_000 + b"\n"
    path.write_bytes(b'7\n{"event":"no uuid"}\n\xff\n' + deep + first + b"\n" + second[:-1])

    assert Spool(folder, "a").claim() == events("1")


def test_half_a_file_is_no_file(folder: Path) -> None:
    """
    What was not written to its end was never there.
    """
    folder.mkdir(parents=True)
    name = Spool(folder, "a")._prefix
    (folder / f"{name}1.part").write_text('{"uuid":"1"}\n')

    assert Spool(folder, "a").claim() == []


def test_a_file_that_is_gone_before_it_is_locked_is_not_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Another process had delivered it and deleted it between the look and the lock.
    """
    Spool(folder, "a").save(events("1"))
    (path,) = folder.iterdir()
    opened = os.open

    def open_and_lose(*arguments: Any) -> int:
        file = opened(*arguments)
        path.unlink()
        return file

    monkeypatch.setattr(os, "open", open_and_lose)

    assert Spool(folder, "a").claim() == []
