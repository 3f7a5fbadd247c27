"""
Announces exceptions in savemode's own code.

Rule of this file: an announcement contains the type and the place of the exception. It does not contain the message,
which may quote a request.
"""

import traceback
from collections.abc import Callable
from pathlib import PurePath


def tell_failure(announce: Callable[[str, str], None], error: Exception, request_id: str = "") -> None:
    """
    Announce an exception in savemode's code.

    Args:
        announce: receives an event and a text for the user.
        error: the exception.
        request_id: the ID of the request that it concerns; empty if there is none.
    """
    where = f"{place(error)} {request_id}".rstrip()
    announce("internal_error", f"{where}: please report this bug in savemode")


def place(error: Exception) -> str:
    """
    The type of an exception, and the line of savemode's code from which it came.
    """
    frames = traceback.extract_tb(error.__traceback__)
    package = __name__.partition(".")[0]
    own_frames = [frame for frame in frames if package in frame.filename] or frames
    where = f" at {PurePath(own_frames[-1].filename).name}:{own_frames[-1].lineno}" if own_frames else ""
    return f"{type(error).__name__}{where}"
