"""
Folders and files that only their owner can read.

Rule of this file: permissions are set when something is made, and never by the umask; a symbolic link in the place of a
file is not followed, for somebody else may have put it there.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NOT_REGULAR = "it is not a regular file"


def make_folder(folder: Path) -> None:
    """
    Make a folder and whatever is missing above it, each with mode 0700.

    `Path.mkdir(mode=0o700, parents=True)` would give its mode to the last folder only.

    Raises:
        OSError: it cannot be made, or something else is in its place.
    """
    missing = [folder, *(one for one in folder.parents if not one.exists())]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)


def open_to_append(path: Path) -> int:
    """
    Open a file of one's own to append to; it is made with mode 0600, and closed to others if it was open to them.

    Returns:
        The file descriptor. The caller closes it.

    Raises:
        OSError: it cannot be opened, is a symbolic link, not a regular file, or somebody else's.
    """
    # NONBLOCK: opening a pipe that nobody reads would wait for ever.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link; name the file itself") from error
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, or a socket
            raise OSError(errno.ENXIO, _NOT_REGULAR) from error
        raise
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, _NOT_REGULAR)
        if found.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "it belongs to somebody else")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(file, 0o600)
    except OSError:
        os.close(file)
        raise
    return file


def write_new(path: Path, data: bytes) -> None:
    """
    Write a file that is not there yet, with mode 0600.

    Raises:
        OSError: it cannot be written, or is there.
    """
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)


def replace_file(path: Path, data: bytes) -> None:
    """
    Write a file with mode 0600 in place of the one that is there. Other processes see the old one or the new one.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW
        with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
            file.write(data)
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """
    Within this block, no other process that locks the file writes it. The lock is a file beside it.

    Raises:
        OSError: the lock cannot be opened.
    """
    lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
