"""
The ledgers there are, and how an address names one.

Rule of this file: a back end is imported where it is chosen, so that nobody waits for one he does not use.
"""

from pathlib import Path

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.ledger import Ledger, MemoryLedger


def open_ledger(url: str) -> Ledger:
    """
    Open `memory:` or `sqlite:///PATH` (three slashes and a relative path, or four and an absolute one; `~` is home).

    Raises:
        ConfigError: no ledger has such an address. Only its scheme is repeated, the rest may hold a password.
        LedgerUnavailable: it has, and cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and rest in ("", "//"):
        return MemoryLedger()
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > len("///"):
        from savemode_cli.ledgers.sqlite import SqliteLedger  # noqa: PLC0415 - imported where it is chosen

        return SqliteLedger(Path(rest.removeprefix("///")).expanduser())
    raise ConfigError(
        f"{scheme}: names no ledger", hint="like sqlite:///ledger.db, sqlite:////srv/ledger.db or memory:"
    )
