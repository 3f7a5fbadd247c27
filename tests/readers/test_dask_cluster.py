"""
Sessions are replayed on a Dask cluster, with the result of one process.

The merge itself is tested in test_sessions.py, with any split in any order and without Dask.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.errors import BadInput
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.recording import Wanted
from savemode_cli.readers import dask_cluster
from savemode_cli.readers.dask_cluster import DaskCluster, Task
from savemode_cli.readers.files import walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.sessions import ReplayedSession, Work, replayed
from savemode_cli.readers.transcript_files import Group, groups
from tests.builders import a_price
from tests.support.command import Run, error_line
from tests.support.transcripts import NOON, a_session

needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="the extra fleet is not installed")
quiet = pytest.mark.filterwarnings("ignore")  # of Dask itself
WORK = Work(partial(PriceTable, [a_price()]), Wanted(), idle_prone=True)


def some_sessions(folder: Path, count: int) -> list[Group]:
    """
    Sessions that differ, the last one a copy.
    """
    for number in range(count):
        a_session(f"s{number}", [10, 400, 20 * number], at=NOON + timedelta(hours=number)).write(folder / "p")
    a_session("s1", [10, 400, 20], at=NOON + timedelta(minutes=59)).write(folder / "copy")
    return groups(walk([str(folder)]))


def result(sessions: list[Group], executor: DaskCluster | None) -> tuple[list[ReplayedSession], Problems, int]:
    """
    The sessions, the problems and the bytes that were reported.
    """
    problems, read = Problems(), list[int]()
    return list(replayed(sessions, WORK, executor, problems, read.append)), problems, sum(read)


@contextmanager
def scheduler(**options: Any) -> Iterator[str]:
    """
    The address of a cluster of somebody else, with workers in threads of this process.
    """
    from distributed import LocalCluster

    nowhere = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with LocalCluster(processes=False, protocol="tcp://", host="127.0.0.1", **nowhere, **options) as cluster:
        yield cluster.scheduler_address.replace("tcp", "dask")


@needs_dask
@quiet
def test_on_an_existing_cluster(tmp_path: Path) -> None:
    """
    It stays, and has everything that one process would have found.
    """
    sessions = some_sessions(tmp_path, 5)
    with scheduler(n_workers=2, threads_per_worker=1) as address:
        executor = DaskCluster(address, 2)
        assert result(sessions, executor) == result(sessions, None)

        sessions[0].sources[0].path.unlink()
        with pytest.raises(BadInput, match=r"does not have the file .*s0\.jsonl"):
            result(sessions, executor)


@needs_dask
@quiet
def test_a_lost_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its files are read again by another one. The cluster is encrypted, because it listens where other users can connect.
    """
    clusters: list[Any] = []
    real = DaskCluster._local_cluster

    def remembered(executor: DaskCluster) -> Any:
        clusters.append(real(executor))
        return clusters[0]

    def lose_a_worker(_: int) -> None:
        if len(clusters) == 1:
            assert clusters[0].scheduler_address.startswith("tls://127.0.0.1:")
            clusters.append("lost")
            os.kill(next(iter(clusters[0].workers.values())).pid, signal.SIGKILL)

    monkeypatch.setattr(DaskCluster, "_local_cluster", remembered)
    sessions, problems = some_sessions(tmp_path, 9), Problems()
    done = list(replayed(sessions, WORK, DaskCluster("dask", 2), problems, lose_a_worker))

    assert clusters[1:] == ["lost"]
    assert (done, problems) == result(sessions, None)[:2]


@needs_dask
@quiet
@pytest.mark.parametrize("kind", ["nobody", "no workers"])
def test_a_cluster_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    """
    One error, which names it.
    """
    monkeypatch.setattr(dask_cluster, "_CONNECT_S", 0.2)
    sessions = some_sessions(tmp_path, 2)
    if kind == "nobody":
        with pytest.raises(BadInput, match=r"cannot connect to the Dask scheduler at tcp://127.0.0.1:9"):
            result(sessions, DaskCluster("dask://127.0.0.1:9", 2))
    else:
        monkeypatch.setattr(dask_cluster, "_CONNECT_S", 15)
        with scheduler(n_workers=0) as address, pytest.raises(BadInput, match="has no workers"):
            result(sessions, DaskCluster(address, 2))


def test_a_task(tmp_path: Path) -> None:
    """
    A worker replays a part with the price table that it was sent, if it has the same versions.
    """
    sessions = some_sessions(tmp_path, 2)
    task = Task(pickle.dumps(dask_cluster._with_tables(WORK)), dask_cluster._versions(), has_own_files=True)

    assert [one.replay for one in task(sessions)] == [one.replay for one in result(sessions, None)[0]]
    with pytest.raises(BadInput, match=r"a worker on .* has .*, and this machine has \{'savemode-cli': '0'"):
        replace(task, versions={"savemode-cli": "0"})(sessions)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("KilledWorker", "two workers ended while they read the same files"),
        ("BadInput", "does not have it"),
        ("ModuleNotFoundError", "a worker cannot import what it needs: does not have it"),
    ],
)
def test_failures(name: str, said: str) -> None:
    """
    What a task's error means, and what to do about it.
    """
    reported = dask_cluster._failure(type(name, (Exception,), {})("does not have it"))

    assert isinstance(reported, BadInput)
    assert reported.message == said
    assert reported.hint
    assert isinstance(dask_cluster._failure(ZeroDivisionError()), ZeroDivisionError)


@pytest.mark.parametrize("name", ["spark", "dask:", "dask://", "dask+tls", "tcp://h:1", "dask:h"])
def test_no_such_executor(savemode: Run, name: str) -> None:
    """
    The error says what can be given.
    """
    done = savemode("replay", ".", "--executor", name)

    assert f"--executor is {name!r}" in error_line(done)
    assert "dask://HOST:PORT" in done.err


def test_workers_of_another_cluster(savemode: Run) -> None:
    """
    How many there are is not for savemode to say.
    """
    assert "--jobs has no effect" in error_line(savemode("replay", ".", "--executor", "dask://h:1", "--jobs", "2"))


@pytest.mark.parametrize("missing", ["distributed", "cryptography"])
def test_without_dask(savemode: Run, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """
    What to install.
    """
    monkeypatch.setitem(sys.modules, missing, None)
    done = savemode("replay", ".", "--executor", "dask")

    assert "--executor dask needs Dask" in error_line(done)
    assert "savemode-cli[fleet]" in done.err


def test_parts() -> None:
    """
    Small enough for the memory of a worker.
    """
    executor = object.__new__(DaskCluster)
    executor._jobs = 2

    assert (executor.parts(1), executor.parts(160 * 1024 * 1024 * 16)) == (8, 160)


def test_dask_is_imported_when_it_is_used() -> None:
    """
    Neither the commands nor the modules load it.
    """
    code = "import sys, savemode_cli.readers.dask_cluster, savemode_cli.readers.remote, savemode_cli.cli.replay; "
    code += "print({'dask', 'distributed', 'fsspec', 'tornado'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
