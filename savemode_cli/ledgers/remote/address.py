"""
The address of a ledger on a server.

Rule of this file: an address never holds a password, and what is shown of it names no user.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from savemode_cli.core.errors import ConfigError

DEFAULT_NAME = "default"
TIMEOUT_S = 0.5
COMMAND_TIMEOUT_S = 5.0
"""How long a command waits for an answer at least. No other request waits for it."""
_LONGEST_TIMEOUT_S = 60.0
_LONGEST_NAME = 40
KEEP_IT_APART = "put it into SAVEMODE_LEDGER_PASSWORD, or into a file that the option ledger_password_file names"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """
    Where a ledger is.
    """

    scheme: str
    host: str
    port: int
    database: str
    """What the path names; empty for the server's default."""
    user: str = ""
    password: str | None = field(default=None, repr=False)
    name: str = DEFAULT_NAME
    """Tells several ledgers of one server apart."""
    timeout_s: float = TIMEOUT_S
    """How long a step may take, in seconds."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The other parameters of the address."""

    @property
    def shown(self) -> str:
        """
        The address for people.
        """
        path = f"/{self.database}" if self.database else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        name = "" if self.name == DEFAULT_NAME else f"?name={self.name}"
        return f"{self.scheme}://{host}:{self.port}{path}{name}"


def parse_address(
    url: str, *, default_port: int, password: str | None = None, parameters: Collection[str] = ()
) -> ServerAddress | None:
    """
    Read an address like `redis://user@host:6379/0?name=team&timeout=1`.

    Args:
        url: the address.
        default_port: the port where it names none.
        password: the password, which comes from elsewhere.
        parameters: what it may set besides `name` and `timeout`.

    Returns:
        The address; None if it has another form.

    Raises:
        ConfigError: it holds a password, or a parameter that cannot be used.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or default_port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        return None
    if parts.password is not None:
        raise ConfigError(f"the address of the ledger ({parts.scheme}:...) holds a password", hint=KEEP_IT_APART)
    if not parts.hostname or parts.fragment:
        return None
    given = dict(pairs)
    unknown = sorted(given.keys() - {"name", "timeout", *parameters})
    if unknown:
        allowed = ", ".join(sorted({"name", "timeout", *parameters}))
        if "password" in unknown:
            raise ConfigError(f"the address of the ledger ({parts.scheme}:...) holds a password", hint=KEEP_IT_APART)
        raise ConfigError(f"the address of the ledger has the parameter {unknown[0]!r}", hint=f"allowed: {allowed}")
    return ServerAddress(
        parts.scheme,
        parts.hostname,
        port,
        unquote(parts.path.removeprefix("/")),
        unquote(parts.username or ""),
        password,
        _name(given.pop("name", DEFAULT_NAME)),
        _seconds(given.pop("timeout", str(TIMEOUT_S))),
        given,
    )


def _name(text: str) -> str:
    if (
        not text
        or len(text) > _LONGEST_NAME
        or not all(one.isascii() and (one.isalnum() or one in "._-") for one in text)
    ):
        raise ConfigError(
            f"the ledger cannot have the name {text!r}",
            hint=f"allowed: up to {_LONGEST_NAME} letters, digits, dots, dashes and underscores",
        )
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_TIMEOUT_S:
        raise ConfigError(
            f"the ledger cannot have the timeout {text!r}", hint=f"seconds, up to {_LONGEST_TIMEOUT_S:.0f}, like 0.5"
        )
    return seconds
