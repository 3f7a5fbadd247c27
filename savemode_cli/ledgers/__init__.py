"""
The ledgers, and the addresses that name them.

Rule of this package: a ledger adds up and stores, and makes no decision about budgets. A back end is imported only when
an address names it.

To add a ledger: write a file in this folder, add its scheme to `SCHEMES`, and add it to `LEDGERS` in
`tests/ledgers/test_contract.py`, which checks what every ledger must do. A proxy calls a ledger on its event loop. If the
calls may wait, for example for a network, write an `AsyncLedger` too, and name it as `connect`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from savemode_cli.core.budget.ledger import AsyncLedger, Ledger
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Access:
    """
    How a ledger is opened, besides its address. The times are how long it may wait for other processes, in seconds.
    """

    busy_s: float | None = None
    """How long a call waits. None: the default of the ledger for commands."""

    opening_s: float | None = None
    """How long opening waits. None: as long as a call."""

    password: str | None = field(default=None, repr=False)
    """The password of the server that an address names; None if there is none."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """
    The ledgers whose addresses begin with the same word.
    """

    name: str
    """The word before the colon."""

    examples: tuple[str, ...]
    """Addresses for error messages."""

    open: Callable[[str, Access], Ledger | None]
    """Opens the ledger of a complete address. None: the address is not valid for this scheme."""

    file: Callable[[str], Path | None] = lambda _: None
    """
    The file that an address names; None if the ledger is not a file, or if the address is not valid for this scheme.
    """

    connect: Callable[[str, Access], AsyncLedger | None] | None = None
    """
    The ledger of a complete address for the event loop of a proxy. None: the ledger is on this machine, and a proxy calls
    the ledger that `open` returns.
    """


def open_ledger(
    url: str, *, busy_s: float | None = None, opening_s: float | None = None, password: str | None = None
) -> Ledger:
    """
    Open the ledger that an address names: `memory:`, a server such as `redis://HOST:PORT/0`, or `sqlite:///PATH` with
    three slashes before a relative path or four before an absolute one. `~` is the home folder.

    Args:
        url: the address.
        busy_s: see `Access.busy_s`.
        opening_s: see `Access.opening_s`.
        password: see `Access.password`.

    Raises:
        ConfigError: the address does not name a ledger. The error repeats only the scheme, because the rest may contain a
            password.
        LedgerUnavailable: the ledger cannot be opened.
    """
    name, _, _ = url.partition(":")
    scheme = SCHEMES.get(name)
    ledger = None if scheme is None else scheme.open(url, Access(busy_s, opening_s, password))
    if ledger is None:
        examples = [example for scheme in SCHEMES.values() for example in scheme.examples]
        raise ConfigError(f"{name}: does not name a ledger", hint=f"give an address like {', '.join(examples)}")
    return ledger


def connected_ledger(url: str, *, password: str | None = None) -> AsyncLedger | None:
    """
    The ledger that an address names, for the event loop of a proxy. None: a proxy calls the ledger that `open_ledger`
    returns.

    Args:
        url: the address.
        password: see `Access.password`.

    Raises:
        ConfigError: the address cannot be used.
    """
    scheme = SCHEMES.get(url.partition(":")[0])
    return None if scheme is None or scheme.connect is None else scheme.connect(url, Access(password=password))


def file_of(url: str) -> Path | None:
    """
    The file that an address names; None if it does not name one.
    """
    scheme = SCHEMES.get(url.partition(":")[0])
    return None if scheme is None else scheme.file(url)


def _open_memory(url: str, _: Access) -> Ledger | None:
    return MemoryLedger() if url in ("memory:", "memory://") else None


def _open_sqlite(url: str, access: Access) -> Ledger | None:
    path = _sqlite_file(url)
    if path is None:
        return None
    from savemode_cli.ledgers.sqlite import SqliteLedger  # noqa: PLC0415 - imported when it is named
    from savemode_cli.ledgers.sqlite_file import BUSY_S  # noqa: PLC0415

    busy_s = BUSY_S if access.busy_s is None else access.busy_s
    return SqliteLedger(path, busy_s=busy_s, opening_s=access.opening_s)


def _sqlite_file(url: str) -> Path | None:
    path = url.removeprefix("sqlite:///")
    return None if path in ("", url) else Path(path).expanduser()


def _open_redis(url: str, access: Access) -> Ledger | None:
    from savemode_cli.ledgers.redis_server import redis_address  # noqa: PLC0415 - imported when it is named

    address = redis_address(url, access.password)
    if address is None:
        return None
    from savemode_cli.ledgers.redis import RedisLedger  # noqa: PLC0415

    return RedisLedger(address)


def _connect_redis(url: str, access: Access) -> AsyncLedger | None:
    from savemode_cli.ledgers.redis_server import redis_address  # noqa: PLC0415 - imported when it is named

    address = redis_address(url, access.password)
    if address is None:
        return None
    from savemode_cli.ledgers.redis_awaited import AsyncRedisLedger  # noqa: PLC0415

    return AsyncRedisLedger(address)


def _open_postgres(url: str, access: Access) -> Ledger | None:
    from savemode_cli.ledgers.postgres_server import postgres_address  # noqa: PLC0415 - imported when it is named

    address = postgres_address(url, access.password)
    if address is None:
        return None
    from savemode_cli.ledgers.postgres import PostgresLedger  # noqa: PLC0415

    return PostgresLedger(address)


def _connect_postgres(url: str, access: Access) -> AsyncLedger | None:
    from savemode_cli.ledgers.postgres_server import postgres_address  # noqa: PLC0415 - imported when it is named

    address = postgres_address(url, access.password)
    if address is None:
        return None
    from savemode_cli.ledgers.postgres_awaited import AsyncPostgresLedger  # noqa: PLC0415

    return AsyncPostgresLedger(address)


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("sqlite", ("sqlite:///ledger.db", "sqlite:////srv/ledger.db"), _open_sqlite, _sqlite_file),
        Scheme("memory", ("memory:",), _open_memory),
        Scheme("redis", ("redis://HOST:6379/0",), _open_redis, connect=_connect_redis),
        Scheme("rediss", ("rediss://HOST:6380/0",), _open_redis, connect=_connect_redis),
        Scheme("postgresql", ("postgresql://HOST/DATABASE",), _open_postgres, connect=_connect_postgres),
        Scheme("postgres", (), _open_postgres, connect=_connect_postgres),
    )
}
"""The schemes by the word before the colon of an address."""
