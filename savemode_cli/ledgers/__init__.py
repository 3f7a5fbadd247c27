"""
The ledgers there are, and how an address names one.

Rule of this file: a back end is imported where it is chosen, so that nobody waits for one he does not use.
"""

from pathlib import Path

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.ledger import Ledger, MemoryLedger


def open_ledger(url: str, *, busy_s: float | None = None) -> Ledger:
    """
    Open `memory:` or `sqlite:///PATH` (three slashes and a relative path, or four and an absolute one; `~` is home).

    `busy_s` is how long a call waits for other processes; None: as long as the ledger finds right for a command.

    Raises:
        ConfigError: no ledger has such an address. Only its scheme is repeated, the rest may hold a password.
        LedgerUnavailable: it has, and cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and rest in ("", "//"):
        return MemoryLedger()
    path = file_of(url)
    if path is not None:
        from savemode_cli.ledgers.sqlite import SqliteLedger  # noqa: PLC0415 - imported where it is chosen
        from savemode_cli.ledgers.sqlite_file import BUSY_S  # noqa: PLC0415

        return SqliteLedger(path, busy_s=BUSY_S if busy_s is None else busy_s)
    raise ConfigError(
        f"{scheme}: names no ledger", hint="like sqlite:///ledger.db, sqlite:////srv/ledger.db or memory:"
    )


def file_of(url: str) -> Path | None:
    """
    The file that an address names; None if it names none.
    """
    path = url.removeprefix("sqlite:///")
    return None if path in ("", url) else Path(path).expanduser()
