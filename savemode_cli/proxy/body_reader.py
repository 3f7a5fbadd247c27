"""
Reads request bodies without blocking the event loop.

Rule of this file: it decides in which process a body is read, and not what is read. `core.wire.facts.facts` gives the
same result in every process.

A large body is read in a separate process. A thread does not help: the parser holds the interpreter's lock during a whole
decode, and so does each walk over the decoded value (tests/benchmarks/stalls.py). The process gets the body through a
pipe, and reads and writes of a pipe release the lock.
"""

import asyncio
import json
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

from savemode_cli.core.wire import facts as wire_facts
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.facts_memory import FactsMemory
from savemode_cli.core.wire.prefixes import Beginning

INLINE_BYTES = 1280 * 1024
"""
How many bytes of a body are read on the event loop: the whole body, or its part that was not seen before. In the worst
case (one value for every two bytes) this takes about 30 ms.
"""

_PROCESSES = 2
"""More than one, so that a body that takes seconds does not delay every other large body."""

_ANSWER_S = 120.0
"""How long a process may take for a body, in seconds: far longer than the slowest body takes on a busy machine."""

_MAX_MEMORY_BYTES = 256 * 1024 * 1024
"""A process whose memory has grown beyond this ends after its answer; the next large body gets a new process."""

_SIZE = struct.Struct("<Q")
_REPLY = struct.Struct("<Q?")
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from savemode_cli.proxy.body_reader import answer; answer(sys.stdin.buffer, sys.stdout.buffer)"
)


async def facts(body: bytes, reader: "BodyReader") -> tuple[Facts, Beginning | None]:
    """
    The facts of a request body.

    Args:
        body: the body.
        reader: reads the body if much of it is new.

    Returns:
        The same as `core.wire.facts.facts`, and which beginning of the body was seen; None if it was read elsewhere.
    """
    known, beginning = reader.memory.read(body, INLINE_BYTES)
    return (await reader.read(body), None) if known is None else (known, beginning)


class BodyReader:
    """
    Reads bodies in processes that are started when the first body comes.
    """

    def __init__(self, announce: Callable[[str, str], None] = lambda _event, _text: None) -> None:
        """
        Args:
            announce: receives an event and a text, once, if no process can be started. Large bodies are then read in this
                process.
        """
        self.memory = FactsMemory()
        """Remembers what was read in this process; only the event loop uses it."""
        self._announce = announce
        self._threads = ThreadPoolExecutor(_PROCESSES, thread_name_prefix="savemode-bodies")
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = False
        self._announced = False

    async def read(self, body: bytes) -> Facts:
        """
        Read a body while the event loop continues.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, body)

    def close(self) -> None:
        """
        End the processes. Running reads are abandoned.
        """
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in list(self._all):
            process.kill()
        self._threads.shutdown()
        for process in list(self._all):
            self._end(process)

    def _read(self, body: bytes) -> Facts:
        for _ in range(2):  # another program may have ended the first process
            try:
                process = self._take()
            except OSError as error:
                self._tell(error)
                return wire_facts.facts(body)
            try:
                known, is_last = process.ask(body)
            except (OSError, EOFError):
                self._end(process)
                if self._closed:
                    break
                continue
            if is_last:
                self._end(process)
            else:
                self._idle.append(process)
            return known
        return Facts(problem="the process that read the body ended")

    def _take(self) -> "_Process":
        while self._idle:
            process = self._idle.pop()
            if process.is_running():
                return process
            self._end(process)
        process = _Process()
        self._all.add(process)
        return process

    def _end(self, process: "_Process") -> None:
        process.end()
        self._all.discard(process)

    def _tell(self, error: OSError) -> None:
        if not self._announced:
            self._announced = True
            reason = (error.strerror or type(error).__name__).lower()
            self._announce(
                "large_bodies", f"cannot start a process for them ({reason}); while one is read, other requests wait"
            )


class _Process:
    """
    A process that reads bodies, one at a time. Its methods block and are called in threads.
    """

    def __init__(self) -> None:
        """
        Start the process.

        Raises:
            OSError: it cannot be started.
        """
        self._process = subprocess.Popen(  # noqa: S603 - a fixed program
            # Python would add the working directory to the search path, and another user may be able to write there.
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must only reach the proxy, which then ends this process
        )

    def ask(self, body: bytes) -> tuple[Facts, bool]:
        """
        Read one body.

        Returns:
            The facts of the body, and whether the process ends now.

        Raises:
            OSError: the process has ended.
            EOFError: the process ended before it answered, or took too long.
        """
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        alarm = threading.Timer(_ANSWER_S, self.kill)
        alarm.daemon = True
        alarm.start()
        try:
            self._process.stdin.write(_SIZE.pack(len(body)))
            self._process.stdin.write(body)
            self._process.stdin.flush()
            size, is_last = _REPLY.unpack(_read(self._process.stdout, _REPLY.size))
            known: Facts = pickle.loads(_read(self._process.stdout, size))  # noqa: S301 - written by `answer` below
        finally:
            alarm.cancel()
        return known, is_last

    def is_running(self) -> bool:
        """
        Whether the process has not ended.
        """
        return self._process.poll() is None

    def kill(self) -> None:
        """
        End the process at once, from any thread.
        """
        self._process.kill()

    def end(self) -> None:
        """
        End the process, and wait until it has ended.
        """
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # the process has ended, so the data is not needed
        self._process.wait()


def answer(source: IO[bytes], sink: IO[bytes]) -> None:
    """
    The main function of the other process: read bodies until there are no more, and answer each with its facts.
    """
    while size := source.read(_SIZE.size):
        reply = pickle.dumps(wire_facts.facts(_read(source, *_SIZE.unpack(size))))
        is_last = _peak_bytes() > _MAX_MEMORY_BYTES
        sink.write(_REPLY.pack(len(reply), is_last) + reply)
        sink.flush()
        if is_last:
            return


def _read(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _peak_bytes() -> int:
    """
    The peak memory of this process; 0 if it is unknown.

    On Linux this is `VmHWM`, because `ru_maxrss` starts with the value of the parent process.
    """
    with suppress(OSError, StopIteration), Path("/proc/self/status").open("rb") as status:
        return int(next(line for line in status if line.startswith(b"VmHWM:")).split()[1]) * 1024
    try:
        import resource  # noqa: PLC0415 - not on every platform
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, kilobytes elsewhere
