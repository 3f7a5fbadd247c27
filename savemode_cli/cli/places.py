"""
Whether something can be written to a place. The check leaves nothing behind.

Rule of this file: permissions are tried, not read. A superuser may write where the mode forbids it, and nobody can
write to a read-only file system or to /proc.
"""

import os
import tempfile
from pathlib import Path

from savemode_cli.core.errors import reason


def why_not_writable(path: Path, *, makes_folders: bool = True) -> str:
    """
    Why nothing can be written to a place; empty if it can.

    Args:
        path: a folder, or with `makes_folders` False a file. It may not exist yet.
        makes_folders: whether missing folders would be created.
    """
    if path.exists() and not path.is_dir():
        if makes_folders:
            return f"{path} is not a folder"
        return "" if os.access(path, os.W_OK) else "you have no permission to write it"
    folder = _nearest(path if makes_folders else path.parent)
    if not makes_folders and folder != path.absolute().parent:
        return f"there is no folder {path.parent}"
    if not folder.is_dir():
        return f"{folder} is not a folder"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder}: {reason(error)}"


def _nearest(path: Path) -> Path:
    """
    The path itself, or the nearest existing folder above it.
    """
    path = path.absolute()
    return next(one for one in (path, *path.parents) if _exists(one))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # above it is something that may not be looked into
        return False
