"""
Files that are not on this machine, by fsspec: `s3://bucket/folder`, `gs://...`, `memory://...`.

Rule of this file: such a file is a path like any other, so readers do not know the difference. fsspec is imported when a path
names a protocol.

Source: https://filesystem-spec.readthedocs.io (fsspec 2026.9.0).
"""

import os
import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path, PosixPath
from typing import Any

from savemode_cli.core.errors import BadInput, reason

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_COLLAPSED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_BUFFER_BYTES = 1024 * 1024
_LOCAL = ("file", "local")


class RemoteFile(PosixPath):
    """
    A file on a file system of fsspec, with the methods of a path that readers use.

    As a path it begins with `s3:/`, because a path has no empty parts. `url` has both slashes.
    """

    size: int | None = None
    """Its size in bytes, if the list of files had it. It is not kept when the path goes to another process."""

    @property
    def url(self) -> str:
        """
        The address of the file.
        """
        return _COLLAPSED.sub(r"\1://", str(self), count=1)

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        """
        Open the file to read bytes.

        Raises:
            OSError: it cannot be opened.
        """
        assert mode == "rb"  # noqa: S101 - readers do nothing else
        system, path = _opened(self.url)
        return BufferedReader(system.open(path, "rb"), _BUFFER_BYTES)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002 - there are none
        """
        The size of the file; everything else is 0.

        Raises:
            OSError: there is no such file.
        """
        size = self.size
        if size is None:
            system, path = _opened(self.url)
            size = system.size(path)
        return os.stat_result((0, 0, 0, 0, 0, 0, int(size), 0, 0, 0))

    def is_file(self) -> bool:
        """
        Whether there is such a file.
        """
        system, path = _opened(self.url)
        return bool(system.isfile(path))

    def absolute(self) -> "RemoteFile":
        """
        The same path: it does not depend on the working directory.
        """
        return self


def is_remote(name: str) -> bool:
    """
    Whether a path names a protocol.
    """
    return _URL.match(name) is not None


def remote_files(name: str) -> Iterator[Path]:
    """
    The files at and below an address, sorted by name. Those of `file://` are local files.

    Raises:
        BadInput: the address cannot be read, or fsspec is not installed.
    """
    protocol = name.partition("://")[0].lower()
    system, root = _opened(name)
    try:
        found = system.find(root, detail=True)
    except OSError as error:
        raise BadInput(f"cannot list {name}: {reason(error)}", hint="check the address and your access to it") from None
    if not found:
        raise BadInput(f"{name}: no such file or folder", hint="use transcripts, bodies, a HAR, or a folder")
    for path in sorted(found):
        if protocol in _LOCAL:
            yield Path(path)
        else:
            file = RemoteFile(system.unstrip_protocol(path))
            file.size = found[path].get("size")
            yield file


def _opened(name: str) -> tuple[Any, str]:
    """
    The file system of an address, which fsspec remembers, and the path in it.
    """
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra
    except ImportError:
        raise BadInput(f"{name} needs fsspec", hint="pipx install 'savemode-cli[fleet]'") from None
    try:
        system, path = url_to_fs(name)
    except (ImportError, ValueError) as error:
        raise BadInput(f"cannot open {name}: {error}", hint="install the package that fsspec names") from None
    return system, path
