"""
What both clients of Redis and Valkey share: the settings of connections, the keys, the scripts, and the errors.

Rule of this file: redis-py repeats a command whose answer was lost unless its options forbid it. They forbid it, because a step
must not be repeated without notice.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.ledger import Charge
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.errors import ConfigError
from savemode_cli.ledgers.remote.address import ServerAddress, parse_address
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked, Undo
from savemode_cli.ledgers.remote.texts import Terms, budget_of, budget_text, microseconds, moment, ordered

if TYPE_CHECKING:
    from redis.exceptions import RedisError

OLDEST = (7, 0)
"""The oldest version of Redis whose scripts are refused as a whole where memory is short. Valkey reports a later one."""

CHARGES_AT_ONCE = 1_000

_INSTALL = 'install it: pip install "savemode-cli[redis]"'
_SEPARATOR = "\n"


def redis_address(url: str, password: str | None) -> ServerAddress | None:
    """
    The address of a ledger on Redis; None if `url` has another form.

    Raises:
        ConfigError: it cannot be used, or redis-py is not installed.
    """
    address = parse_address(url, default_port=6379, password=password, parameters=("ca",))
    if address is None:
        return None
    if address.database and not address.database.isdigit():
        raise ConfigError(f"{address.shown}: the path must be the number of a database", hint="like /0")
    if "ca" in address.parameters and address.scheme != "rediss":
        raise ConfigError(f"{address.shown}: certificates need TLS", hint="begin the address with rediss:")
    try:
        import redis  # noqa: F401, PLC0415 - only where it is used
    except ImportError:
        raise ConfigError("a ledger on Redis needs redis-py", hint=_INSTALL) from None
    return address


def client_options(address: ServerAddress, timeout_s: float) -> dict[str, Any]:
    """
    What a client of redis-py is made with.

    Args:
        address: where the ledger is.
        timeout_s: how long it waits for an answer, in seconds.
    """
    options: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "db": int(address.database or 0),
        "username": address.user or None,
        "password": address.password,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "encoding_errors": "surrogatepass",
        "decode_responses": True,
        "protocol": 2,
        "max_connections": 8,
    }
    if address.scheme == "rediss":
        options |= {"ssl": True, "ssl_ca_certs": address.parameters.get("ca"), "ssl_check_hostname": True}
    return options


class Keys:
    """
    The names of the keys of one ledger, see `redis_step.lua`.
    """

    def __init__(self, name: str) -> None:
        """
        Args:
            name: the name of the ledger.
        """
        self.prefix = f"{{savemode:{name}}}:"
        self.version = f"{self.prefix}version"
        self.budgets = f"{self.prefix}budgets"
        self.limits = f"{self.prefix}limits"
        self.allowances = f"{self.prefix}allowances"
        self.keys = f"{self.prefix}keys"
        self.open = f"{self.prefix}open"
        self.charges = f"{self.prefix}charges"
        self.format = f"{self.prefix}format"

    def hold(self, hold_id: str) -> str:
        """
        The key of an open hold.
        """
        return f"{self.prefix}h:{hold_id}"

    def window(self, lettered_key: str) -> str:
        """
        The key of the charges in a rolling window.
        """
        return f"{self.prefix}w:{lettered_key}"


def script(name: str, *, is_read: bool = False) -> str:
    """
    The text of a script. A script that only reads also runs where memory is short.
    """
    text = files("savemode_cli.ledgers").joinpath(f"redis_{name}.lua").read_text(encoding="utf-8")
    return f"#!lua flags=no-writes\n{text}" if is_read else f"#!lua\n{text}"


def undo_arguments(undo: Undo) -> list[str]:
    """
    What `redis_undo.lua` is called with.
    """
    return [word for step, ids in undo.steps for word in (step, str(len(ids)), *ids)]


def terms_of(
    version: str | None, budgets: Mapping[str, str], limits: Mapping[str, str], lifted: Mapping[str, str]
) -> Terms:
    """
    The terms from what is stored.
    """
    found = []
    for name, value in limits.items():
        (budget, who), (nusd, set_at_us) = name.split(_SEPARATOR, 1), value.split(" ")
        found.append(PersonalLimit(budget, who, int(nusd), int(set_at_us)))
    allowances = [Allowance(moment(until), *name.split(_SEPARATOR, 1)) for name, until in lifted.items()]
    return ordered(version or "", [budget_of(text) for text in budgets.values()], found, allowances)


def stored_budgets(terms: Terms) -> dict[Any, Any]:
    """
    The budgets by name, as they are stored.
    """
    return {one.name: budget_text(one) for one in terms.budgets}


def stored_limits(terms: Terms) -> dict[Any, Any]:
    """
    The personal limits by budget and person, as they are stored.
    """
    return {f"{one.budget}{_SEPARATOR}{one.who}": f"{one.limit_nusd} {one.set_at_us}" for one in terms.limits}


def stored_allowances(terms: Terms) -> dict[Any, Any]:
    """
    The allowances by budget and person, as they are stored.
    """
    return {f"{one.budget}{_SEPARATOR}{one.who}": str(microseconds(one.until)) for one in terms.allowances}


def hold_of(hold_id: str, record: Mapping[str, str]) -> Hold:
    """
    A hold from its record.
    """
    return Hold(hold_id, _keys_of(record), int(record["a"]), moment(record["e"]), record["m"], record["o"] == "1")


def charge_of(record: Mapping[str, str]) -> Charge:
    """
    A charge from its record.
    """
    basis: Any = record["b"]
    head = record["i"], _keys_of(record), int(record["a"]), basis, record["m"]
    return Charge(*head, moment(record["t"]), record["o"] == "1")


def _keys_of(record: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(record[str(number)][1:] for number in range(1, int(record["n"]) + 1))


def is_since(charge: Charge, since: datetime | None) -> bool:
    """
    Whether a charge is from that moment on.
    """
    return since is None or charge.settled_at >= since


def check_server(info: Mapping[str, Any]) -> None:
    """
    Whether a server can keep a ledger.

    Args:
        info: what it answers to INFO.

    Raises:
        NotAsked: it cannot.
    """
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2]) < OLDEST:
        raise NotAsked(f"the server is Redis {version}", "use Redis 7 or newer, or Valkey")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys") and int(info.get("maxmemory", 0)):
        raise NotAsked(
            f"the server deletes keys when its memory is full (maxmemory-policy {policy}), so counts would be lost",
            "set maxmemory-policy to noeviction, or use another server",
        )
    if str(info.get("role", "master")) != "master":
        raise NotAsked("the server is a replica, which cannot be written", "give the address of the primary")


def concerns_of(info: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """
    What about a server may cost counts one day: what it is, and what helps. What a server does not say is no concern.

    Args:
        info: what it answers to INFO.
    """
    found = []
    if str(info.get("aof_enabled", "1")) == "0":
        what = (
            "the server does not write each count to its disk (appendonly no), so a restart loses some or all of them"
        )
        found.append((what, "set appendonly to yes"))
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        what = f"the server would delete keys once its memory is full (maxmemory-policy {policy})"
        found.append((what, "set maxmemory-policy to noeviction"))
    return tuple(found)


def failure(error: "RedisError | OSError", *, is_connected: bool) -> NotAsked:
    """
    What an error of redis-py means for a question.

    Args:
        error: the error.
        is_connected: whether the server had answered before, so that it may have got the question.
    """
    from redis import exceptions  # noqa: PLC0415

    text = " ".join(str(error).split()) or type(error).__name__
    refused = (
        exceptions.AuthenticationError,
        exceptions.AuthorizationError,
        exceptions.BusyLoadingError,
        exceptions.MaxConnectionsError,
        exceptions.NoPermissionError,
        exceptions.OutOfMemoryError,
        exceptions.ReadOnlyError,
        exceptions.MasterDownError,
    )
    if isinstance(error, exceptions.OutOfMemoryError) or "OOM " in text or "maxmemory" in text:
        return NotAsked("its memory is full (maxmemory)", "give it more memory, or move the ledger to another server")
    if isinstance(error, exceptions.ReadOnlyError):
        return NotAsked("it is a replica now, which cannot be written", "savemode connects again by itself")
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError) or "NOAUTH" in text:
        return NotAsked(f"it refuses this user ({text})", "set SAVEMODE_LEDGER_PASSWORD, and the user in the address")
    if isinstance(error, refused) or text.startswith(("BUSY ", "LOADING ")) or not is_connected:
        return NotAsked(text)
    return NoAnswer(text, is_stale=isinstance(error, exceptions.ConnectionError | OSError) and not _is_timeout(error))


def _is_timeout(error: Exception) -> bool:
    from redis.exceptions import TimeoutError as RedisTimeoutError  # noqa: PLC0415

    return isinstance(error, RedisTimeoutError | TimeoutError)


def score(text: str | float) -> str:
    """
    A score as whole microseconds.
    """
    value = float(text)
    return str(int(value)) if math.isfinite(value) else "0"
