"""
The options `--since` and `--until`.

Rule of this file: it checks a span, and filters nothing.
"""

from datetime import datetime

from savemode_cli.core.errors import BadInput


def check_span(since: datetime | None, until: datetime | None) -> None:
    """
    Whether anything can lie between the two.

    Raises:
        BadInput: the end is not after the beginning.
    """
    if since is not None and until is not None and until <= since:
        raise BadInput("--until is not after --since", hint="swap them")
