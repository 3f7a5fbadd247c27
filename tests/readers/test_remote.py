"""
Files on file systems of fsspec are read like files of this machine.
"""

import builtins
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.errors import BadInput
from savemode_cli.readers.files import reader_of, walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.registry import TRANSCRIPTS
from savemode_cli.readers.remote import RemoteFile, is_remote
from savemode_cli.readers.transcript_files import groups
from tests.support.command import Run, error_line
from tests.support.transcripts import Transcript, a_session, usage


@pytest.fixture
def memory() -> Iterator[Any]:
    """
    fsspec's file system in memory, empty before and after.
    """
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def store(system: Any, made: Transcript, path: str, folder: Path) -> None:
    """
    Put a transcript there, and in a local folder.
    """
    text = made.write(folder, path).read_bytes()
    system.pipe_file(f"/traces/{path}", text)


def test_the_same_result(savemode: Run, memory: Any, tmp_path: Path) -> None:
    """
    Sub-agents and copies included; and for `file://`.
    """
    store(memory, a_session("a", [10, 400]), "p/a.jsonl", tmp_path)
    store(memory, Transcript("a", "x").user().answer("agent", usage(w5=9)), "p/a/subagents/agent-x.jsonl", tmp_path)
    store(memory, a_session("a", [10, 400]), "copy/a.jsonl", tmp_path)
    expected = savemode("replay", str(tmp_path / "p"), str(tmp_path / "copy"), "--json").out

    assert json.loads(expected)["requests"] == 4
    assert savemode("replay", "memory://traces", "--json").out == expected
    assert savemode("replay", "memory://traces/p", "memory://traces", "--json").out == expected
    assert savemode("replay", f"file://{tmp_path}/p", f"file://{tmp_path}/copy", "--json").out == expected


def test_recognised_and_grouped(memory: Any, tmp_path: Path) -> None:
    """
    A path that knows its size, and goes to another process.
    """
    store(memory, a_session("a", [10]), "p/a.jsonl", tmp_path)
    store(memory, Transcript("a", "x").user().answer("agent", usage(w5=9)), "p/a/subagents/agent-x.jsonl", tmp_path)
    first, second = walk(["memory://traces"])

    assert isinstance(first, RemoteFile)
    assert first.url == "memory://traces/p/a.jsonl"
    assert reader_of(first) is TRANSCRIPTS
    assert first.stat().st_size == (tmp_path / "p" / "a.jsonl").stat().st_size
    again = pickle.loads(pickle.dumps(first))  # noqa: S301 - our own
    assert (again, again.stat(), again.is_file(), again.absolute()) == (first, first.stat(), True, first)
    assert [len(group.sources) for group in groups([first, second])] == [2]
    assert Problems().count == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("memory://nothing", "memory://nothing: no such file or folder"),
        ("nosuch://x", "cannot open nosuch://x: Protocol not known: nosuch"),
    ],
)
def test_addresses_that_cannot_be_read(savemode: Run, memory: Any, name: str, said: str) -> None:
    """
    One error, which names the address.
    """
    assert said in error_line(savemode("replay", name))


def test_without_fsspec(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What to install.
    """
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "fsspec":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    done = savemode("replay", "s3://bucket/x")

    assert "s3://bucket/x needs fsspec" in error_line(done)
    assert "savemode-cli[fleet]" in done.err


def test_local_paths() -> None:
    """
    Only a protocol makes a path remote.
    """
    assert [is_remote(name) for name in ("s3://x", "a+b://x", "/s3:/x", "x", "C://x", "~/x")] == [True, True] + [
        False
    ] * 4
    with pytest.raises(BadInput, match="no such file"):
        list(walk(["/no/such/file"]))
