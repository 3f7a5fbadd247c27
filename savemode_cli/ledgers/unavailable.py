"""
The ledger of a proxy while its real ledger cannot be opened.

Rule of this file: it never answers itself. Each call tries to open the real ledger; once it is open, it answers all
calls. The proxy makes at most one call a second, in a thread.
"""

from collections.abc import Callable
from typing import Any

from savemode_cli.core.budget.ledger import Ledger


class UnavailableLedger:
    """
    Replaces a ledger until that ledger can be opened; until then every method raises `LedgerUnavailable`.
    """

    def __init__(self, reopen: Callable[[], Ledger]) -> None:
        """
        Args:
            reopen: tries to open the real ledger.
        """
        self._reopen = reopen
        self._ledger: Ledger | None = None

    def close(self) -> None:
        """
        Close the real ledger, if it is open.
        """
        if self._ledger is not None:
            self._ledger.close()

    def __getattr__(self, name: str) -> Any:
        """
        A method of the real ledger.

        Raises:
            LedgerUnavailable: the ledger still cannot be opened.
        """
        if self._ledger is None:
            self._ledger = self._reopen()
        return getattr(self._ledger, name)
