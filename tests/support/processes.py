"""
The command as a process of its own: what only a real process shows (signals, pipes, exit codes, what is imported).
"""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from unittest import mock

import pytest

from savemode_cli.cli import main
from tests.support.waiting import LONG_S

SAVEMODE = (sys.executable, "-m", "savemode_cli")
ROOT = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    """
    The test's environment, with this checkout to import.
    """
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def savemode(*arguments: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    """
    Run the command to its end; keywords are environment variables.
    """
    return subprocess.run(
        [*SAVEMODE, *arguments],
        input=stdin,
        capture_output=True,
        env=environment(**more),
        timeout=LONG_S,
        check=False,
    )


def savemode_here(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """
    The same without a process, for what ends before anything is started: ten times as fast.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        mock.patch("sys.argv", ["savemode", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        main()
    code = left.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, *(one.buffer.getvalue() for one in (out, err)))


def python(code: str, **more: str) -> str:
    """
    What a fresh interpreter prints.
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment(**more), timeout=LONG_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


class Lines:
    """
    What a process has written to a pipe so far.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        """
        Read along in a thread of its own, so that the process never waits for us.
        """
        self.lines: list[str] = []
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            self.lines.append(line.decode().rstrip("\n"))

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """
        The first line that holds a pattern, once it is there.
        """
        for _ in range(int(LONG_S / 0.02)):
            for line in list(self.lines):
                found = re.search(pattern, line)
                if found is not None:
                    return found
            time.sleep(0.02)
        raise AssertionError(f"no line with {pattern!r} in {self.lines}")

    def all(self) -> str:
        """
        Everything, once the process has ended.
        """
        self._thread.join(LONG_S)
        self._pipe.close()
        return "\n".join(self.lines)


class Running:
    """
    A process that runs, and both of its outputs.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """
        Start to read.
        """
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.out = Lines(process.stdout)
        self.err = Lines(process.stderr)

    def end(self, number: int | None = signal.SIGTERM) -> int:
        """
        Send a signal (None: only wait); the exit code.
        """
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(LONG_S)


@contextlib.contextmanager
def running(*command: str, **more: str) -> Iterator[Running]:
    """
    A process that is gone afterwards, whatever happened.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**more)
    )
    one = Running(process)
    try:
        yield one
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        one.out.all()
        one.err.all()


@contextlib.contextmanager
def serving(upstream: str, *options: str, **more: str) -> Iterator[tuple[Running, str]]:
    """
    `savemode serve` on a free port, and its URL once it answers.
    """
    with running(*SAVEMODE, "serve", "--port", "0", "--upstream", upstream, *options, **more) as one:
        url = one.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
        with urllib.request.urlopen(f"{url}/-/health", timeout=LONG_S) as answer:
            assert answer.status == 200
        yield one, url


def post(url: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> tuple[int, bytes]:
    """
    One messages call; status and body of the answer.
    """
    request = urllib.request.Request(f"{url}/v1/messages", body, {"content-type": "application/json", **dict(headers)})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Whatever())
    with opener.open(request, timeout=LONG_S) as answer:
        return answer.status, answer.read()


class _Whatever(urllib.request.HTTPErrorProcessor):
    """
    An answer is an answer, whatever its status.
    """

    def http_response(self, request: urllib.request.Request, response: object) -> object:
        """
        As it is.
        """
        return response
