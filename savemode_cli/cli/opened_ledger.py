"""
The ledger that a command reads or writes, and the running proxies that use the same ledger.

Rule of this file: it opens the ledger and closes it. The commands decide what happens in between.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.screen import echo
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.ledger import Ledger
    from savemode_cli.core.budget.overview import Asked, InForce

_HOW = "`savemode serve`, `savemode run` and `savemode budget set` create it"


def ask_proxies(settings: "Settings", ledger: "Ledger") -> "Asked":
    """
    Ask every running proxy that uses this ledger for its budgets.
    """
    from savemode_cli.core.budget.overview import Asked, in_force, merged, read_origin
    from savemode_cli.serving.running import health_of, running_proxies

    answered: list[str] = []
    silent: list[str] = []
    origins: list[InForce] = []
    mine = settings.ledger_id
    for proxy in running_proxies(settings.proxies_folder) if mine else ():
        if proxy.ledger != mine:
            continue
        health = health_of(proxy, settings.access_token)
        try:
            origins += [read_origin(cap, proxy.url) for cap in (health or {})["caps"]]
            answered.append(proxy.url)
        except (KeyError, TypeError, ValueError):
            silent.append(proxy.url)
    return Asked(
        tuple(answered), tuple(silent), merged(origins), in_force(settings.budgets(), ledger.budgets(), ledger.limits())
    )


def open_configured(settings: "Settings") -> "Ledger":
    """
    Open the ledger that is configured. The caller closes it.

    Raises:
        ConfigError: the address is not the address of a ledger.
        LedgerUnavailable: the ledger cannot be opened.
    """
    from savemode_cli.ledgers import open_ledger

    return open_ledger(settings.ledger_url, password=settings.password_of_ledger())


@contextmanager
def opened_ledger(
    flags: Flags, *, missing: Literal["create", "empty", "refuse"] = "create"
) -> "Iterator[tuple[Settings, Ledger]]":
    """
    The settings and the open ledger, which is closed at the end.

    Args:
        flags: the options of the command.
        missing: what to do if there is no ledger yet: create it, use an empty one and say so (`empty`), or raise.
    """
    from savemode_cli.core.budget.memory_ledger import MemoryLedger
    from savemode_cli.ledgers import file_of

    settings = flags.settings()
    if not settings.ledger_id and missing != "empty":
        raise BadInput(
            f"the ledger {settings.ledger_url} is in the memory of the proxy, so no command can reach it",
            hint="restart the proxy with a different --budget, or give a ledger: --ledger sqlite:///ledger.db",
        )
    file = file_of(settings.ledger_url)
    if missing == "create" or file is None or file.exists():
        ledger = open_configured(settings)
    else:
        words = f"there is no ledger at {file}"
        if missing == "refuse" or flags.given.get("ledger") is not None:
            raise BadInput(words, hint=_HOW)
        echo(f"{words} yet, so no spend is recorded\n  {_HOW}", err=True)
        ledger = MemoryLedger()
    try:
        yield settings, ledger
    finally:
        ledger.close()
