"""
What is the matter with the disk under a ledger: another process locks a file, or there is no room for one more byte.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """
    Another process is in the midst of writing to a ledger, and does not come to an end.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            other.stdin.close()
            other.wait()


@contextmanager
def full(path: Path) -> Iterator[None]:
    """
    No file of this process may grow beyond what the ledger's log has: a full disk, as SQLite sees it.
    """
    limit = path.with_name(f"{path.name}-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """
    A file system of so many bytes, mounted on a folder. Whether it is there: only root may mount one.
    """
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=True)


def fill(folder: Path) -> Path:
    """
    Write until there is no room left; the file that takes it.
    """
    file = folder / "filler"
    with file.open("ab", buffering=0) as out:
        for size in (65_536, 512, 1):
            try:
                while True:
                    out.write(b"x" * size)
            except OSError:
                continue
    return file
