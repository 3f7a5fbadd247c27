"""
The ledger of a proxy whose ledger could not be opened.

Rule of this file: it never answers by itself. Each call tries to open the real one, at most once a second, and from then
on that one answers.
"""

import time
from collections.abc import Callable
from typing import Any

from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import Ledger

_PAUSE_S = 1.0


class UnavailableLedger:
    """
    Stands in for a ledger until it can be opened; every method raises `LedgerUnavailable` until then.
    """

    def __init__(self, error: LedgerUnavailable, reopen: Callable[[], Ledger]) -> None:
        """
        `error` is what opening it said, `reopen` tries again.
        """
        self._error = error
        self._reopen = reopen
        self._ledger: Ledger | None = None
        self._next_try = 0.0

    def close(self) -> None:
        """
        Close the ledger, if there is one by now.
        """
        if self._ledger is not None:
            self._ledger.close()

    def __getattr__(self, name: str) -> Any:
        """
        The real ledger's method.

        Raises:
            LedgerUnavailable: it still cannot be opened.
        """
        if self._ledger is None and time.monotonic() >= self._next_try:
            try:
                self._ledger = self._reopen()
            except LedgerUnavailable as error:
                self._error = error
                self._next_try = time.monotonic() + _PAUSE_S
        if self._ledger is None:
            raise LedgerUnavailable(self._error.message, hint=self._error.hint) from None
        return getattr(self._ledger, name)
