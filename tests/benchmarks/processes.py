"""
The processes a benchmark starts: alone with a temporary home, measured by their pid, stopped by their handle.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Running:
    """
    A process that was started; its CPU time and memory include those of its children. None where /proc is missing.
    """

    handle: subprocess.Popen[bytes]
    log: Path

    def cpu_s(self) -> float | None:
        """
        The CPU seconds used so far, of all threads, finished ones included.
        """
        try:
            # Linux: the clock of another process, in nanoseconds, where /proc/PID/stat counts in steps of 10 ms.
            return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._pids())
        except OSError:
            return None

    def resident_bytes(self) -> int | None:
        """
        The physical memory held now.
        """
        try:
            pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids())
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def check(self, what: str) -> None:
        """
        Raises:
            SystemExit: the process has ended, with the last lines of what it wrote.
        """
        if self.handle.poll() is not None:
            raise SystemExit(f"{what} ended with {self.handle.returncode}:\n{self.last_words()}")

    def last_words(self) -> str:
        """
        The end of what the process wrote.
        """
        return self.log.read_text(errors="replace")[-2000:]

    def _pids(self) -> Iterator[int]:
        waiting = [self.handle.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def python(*arguments: str) -> list[str]:
    """
    A command of the Python that runs this one.
    """
    return [sys.executable, *arguments]


def split_command(text: str) -> list[str]:
    """
    A command as typed; a leading `python` means the Python that runs this one.
    """
    words = shlex.split(text)
    return python(*words[1:]) if words[:1] == ["python"] else words


def clean_environment(home: Path) -> dict[str, str]:
    """
    Nothing of the user's but the search path, and a home of its own; the project's root is importable.
    """
    environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "PYTHONPATH": str(ROOT)}
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        environ[f"XDG_{name}_HOME"] = str(home / name.lower())
    return environ


def free_port() -> int:
    """
    A port nobody listens on at this moment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Iterator[Running]:
    """
    Run a command in a temporary home and working directory until the block is left.
    """
    with tempfile.TemporaryDirectory(prefix="savemode-benchmark-", ignore_cleanup_errors=True) as home:
        work, log = Path(home, "work"), Path(home, "output.log")
        work.mkdir()
        with log.open("wb") as out:
            handle = subprocess.Popen(
                command,
                cwd=work,
                env=clean_environment(Path(home)) | dict(environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the benchmark, which then stops its processes in order
            )
        try:
            yield Running(handle, log)
        finally:
            _stop(handle)


def _stop(handle: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if handle.poll() is None:
            handle.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            handle.wait(3)
            return
