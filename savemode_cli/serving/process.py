"""
Settings of the process that serves: memory, garbage collection, open files, event loop.

Rule of this file: nothing in it depends on HTTP.
"""

import asyncio
import contextlib
import ctypes
import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


def tune_process() -> None:
    """
    Set the allocator and the garbage collector for a proxy. Call it once, when everything is imported.

    glibc keeps freed buffers of up to 32 MB instead of returning them to the system. Otherwise each copy of a body of 1
    MB causes about 700 page faults, a third of the time that the process spends on it. Objects that exist now are
    excluded from garbage collection, because they live as long as the process.
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 1024 * 1024)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 * 1024 * 1024)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


_MANY_FILES = 65_536
"""
The limit on open files if the system has none. Every supported system accepts it except macOS, which accepts at least
10,240.
"""


def open_file_limit() -> int:
    """
    How many files the process may have open (the soft limit).
    """
    if resource is None:
        return _MANY_FILES
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MANY_FILES if soft == resource.RLIM_INFINITY else soft


def raise_open_file_limit() -> None:
    """
    Raise the soft limit on open files to the hard limit. A server needs one file for each connection, and the soft limit
    is often 256 on macOS and 1,024 on Linux.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    for wanted in (_MANY_FILES, 10_240) if unlimited else (hard,):
        if open_file_limit() < wanted:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                _original_soft_limits.append(soft)
                return


@contextlib.contextmanager
def original_open_file_limit() -> Iterator[None]:
    """
    Within this block, new processes start with the soft limit that this process started with. Some programs iterate over
    all file numbers up to the limit, and some cannot use file numbers above 1,023.
    """
    if resource is None or not _original_soft_limits:
        yield
        return
    raised = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_original_soft_limits[0], raised[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, raised)


_original_soft_limits: list[int] = []
"""The soft limit that the process started with; empty if it was not raised."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


@functools.cache
def prepare() -> Callable[..., Any]:
    """
    Prepare the process to serve: open files, memory, event loop. The first call takes long, so a server makes it before
    it opens its port.

    Returns:
        The function that runs a coroutine: uvloop's if it is installed, otherwise `asyncio.run`.
    """
    run: Callable[..., Any] = asyncio.run
    with contextlib.suppress(ImportError):
        from uvloop import run  # noqa: PLC0415 - not on every platform
    raise_open_file_limit()
    tune_process()
    return run


def run_in_loop(main: Callable[[], Any]) -> Any:
    """
    Run a coroutine function in the event loop of `prepare`.

    Returns:
        The result of the coroutine.
    """
    return prepare()(main())
