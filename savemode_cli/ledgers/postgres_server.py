"""
What both clients of PostgreSQL share: the settings of connections, the tables, the functions, and the errors.

Rule of this file: PostgreSQL cannot store every text, so every text is encoded by `plain` and decoded by `original`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.ledger import Charge
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.errors import ConfigError
from savemode_cli.ledgers.remote.address import DEFAULT_NAME, ServerAddress, parse_address
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked
from savemode_cli.ledgers.remote.texts import Terms, budget_of, budget_text, microseconds, moment, ordered

if TYPE_CHECKING:
    from psycopg import Error

OLDEST = 130_000
"""The oldest version of PostgreSQL, as it numbers them."""

_INSTALL = 'install it: pip install "savemode-cli[postgres]"'
_LONGEST_TEXT = 1_000
_ODD = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(\\|0|u([0-9a-f]{4}))")
_PARAMETERS = ("sslmode", "sslrootcert", "host")


def postgres_address(url: str, password: str | None) -> ServerAddress | None:
    """
    The address of a ledger on PostgreSQL; None if `url` has another form.

    Raises:
        ConfigError: it cannot be used, or psycopg is not installed.
    """
    address = parse_address(url, default_port=5432, password=password, parameters=_PARAMETERS)
    if address is None:
        return None
    try:
        import psycopg  # noqa: F401, PLC0415 - only where it is used
    except ImportError:
        raise ConfigError("a ledger on PostgreSQL needs psycopg", hint=_INSTALL) from None
    return address


def connection_options(address: ServerAddress, timeout_s: float) -> dict[str, Any]:
    """
    What a connection of psycopg is made with.

    Args:
        address: where the ledger is.
        timeout_s: how long the server may work on one statement, in seconds.
    """
    options: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "autocommit": True,
        "application_name": "savemode",
        "client_encoding": "utf-8",
        "connect_timeout": max(2, round(timeout_s)),
        "options": f"-c statement_timeout={round(timeout_s * 1000)} -c lock_timeout={round(timeout_s * 1000)}",
        "prepare_threshold": None,
    }
    login = {"user": address.user, "dbname": address.database, "password": address.password}
    return options | {name: value for name, value in login.items() if value} | dict(address.parameters)


def schema_of(name: str) -> str:
    """
    The schema of the ledger of this name, quoted. A name has no quotes.
    """
    return '"savemode"' if name == DEFAULT_NAME else f'"savemode_{name}"'


def definitions(schema: str) -> str:
    """
    The statements that make a ledger.
    """
    folder = files("savemode_cli.ledgers")
    texts = [folder.joinpath(f"postgres_{name}.sql").read_text(encoding="utf-8") for name in ("schema", "functions")]
    return f"CREATE SCHEMA IF NOT EXISTS {schema};\n" + "\n".join(texts).replace("SCHEMA.", f"{schema}.")


def plain(text: str) -> str:
    """
    A text as PostgreSQL can keep and index it: NUL and lone surrogates escaped, and a very long one shortened by a digest.
    """
    if _ODD.search(text):
        text = _ODD.sub(lambda found: _escape(found[0]), text)
    if len(text.encode()) > _LONGEST_TEXT:
        digest = hashlib.sha256(text.encode()).hexdigest()
        text = f"{text[:200]}...{digest}"
    return text


def original(text: str) -> str:
    """
    The text that `plain` was given.
    """
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[2], 16)) if found[2] else {"\\": "\\", "0": "\0"}[found[1]], text)


def _escape(one: str) -> str:
    return {"\\": "\\\\", "\0": "\\0"}.get(one) or f"\\u{ord(one):04x}"


def step_parameters(arguments: Sequence[str]) -> tuple[str, ...]:
    """
    The parameters of the function `step`: its head, and the settles, the wanted balances and the reserves as JSON. Each amount
    and time in it is a text.
    """
    words = iter(arguments)
    head = tuple(next(words) for _ in range(4))
    settles: list[Any] = []
    wanted: list[Any] = []
    reserves: list[Any] = []
    for _ in range(int(next(words))):
        hold_id, _place, *rest = _some(words, 7)
        settles.append([hold_id, *rest, _list(words)])
    wanted += [_some(words, 3) for _ in range(int(next(words)))]
    for _ in range(int(next(words))):
        hold_id, place, *rest = _some(words, 7)
        keys = _list(words)
        limits = [_some(words, 3) for _ in range(int(next(words)))]
        reserves.append([hold_id, *rest, keys, limits, "" if place else "1"])
    return (*head, *(json.dumps(one, separators=(",", ":")) for one in (settles, wanted, reserves)))


def _some(words: Iterator[str], count: int) -> list[str]:
    return [plain(next(words)) for _ in range(count)]


def _list(words: Iterator[str]) -> list[str]:
    return _some(words, int(next(words)))


def terms_of(row: Sequence[str]) -> Terms:
    """
    The terms from their row.
    """
    version, budgets, limits, allowances = row
    return ordered(
        version,
        [budget_of(text) for text in json.loads(budgets)],
        [PersonalLimit(*fields) for fields in json.loads(limits)],
        [Allowance(moment(until), budget, who) for until, budget, who in json.loads(allowances)],
    )


def terms_row(terms: Terms) -> tuple[str, str, str]:
    """
    The budgets, limits and allowances as they are stored.
    """
    limits = [(one.budget, one.who, one.limit_nusd, one.set_at_us) for one in terms.limits]
    allowances = [(microseconds(one.until), one.budget, one.who) for one in terms.allowances]
    return json.dumps([budget_text(one) for one in terms.budgets]), json.dumps(limits), json.dumps(allowances)


def hold_of(row: Sequence[Any]) -> Hold:
    """
    A hold from its row.
    """
    hold_id, keys, ask, expires, model, override = row
    return Hold(original(hold_id), _keys_of(keys), ask, moment(expires), original(model), override == "1")


def charge_of(row: Sequence[Any]) -> Charge:
    """
    A charge from its row.
    """
    hold_id, keys, nusd, basis, model, settled_at, override = row
    return Charge(original(hold_id), _keys_of(keys), nusd, basis, original(model), moment(settled_at), override == "1")


def _keys_of(keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(original(key)[1:] for key in keys)


def check_server(version: int, format_version: int | None) -> None:
    """
    Whether a server can keep a ledger.

    Args:
        version: of the server.
        format_version: of the ledger on it; None if there is none yet.

    Raises:
        NotAsked: it cannot.
    """
    if version < OLDEST:
        raise NotAsked(f"the server is PostgreSQL {version // 10_000}", f"use PostgreSQL {OLDEST // 10_000} or newer")
    if format_version not in (None, 1):
        raise NotAsked(
            f"it has the format {format_version}, which this savemode does not know",
            "use a newer savemode, or another ledger: add ?name=NAME to its address",
        )


def failure(error: "Error | OSError", *, is_connected: bool) -> NotAsked:
    """
    What an error of psycopg means for a question.

    Args:
        error: the error.
        is_connected: whether the connection had worked before, so that the server may have got the question.
    """
    from psycopg import OperationalError, errors  # noqa: PLC0415

    text = " ".join(str(error).split("\nCONTEXT")[0].split()) or type(error).__name__
    known: tuple[tuple[bool, str, str], ...] = (
        (
            isinstance(error, errors.QueryCanceled | errors.LockNotAvailable),
            "it did not finish in time, and undid the step",
            "",
        ),
        (
            isinstance(error, errors.DiskFull | errors.OutOfMemory | errors.TooManyConnections),
            f"it is full ({text})",
            "give it more room",
        ),
        (
            isinstance(error, errors.ReadOnlySqlTransaction),
            "it is a standby, which cannot be written",
            "give the address of the primary",
        ),
        (
            isinstance(error, errors.InsufficientPrivilege),
            f"it refuses this user ({text})",
            "let this user create a schema, or own the ledger's",
        ),
        (
            "password" in text or "authentication" in text,
            f"it refuses this user ({text})",
            "set SAVEMODE_LEDGER_PASSWORD, and the user in the address",
        ),
        (not is_connected, text, ""),
    )
    for applies, why, hint in known:
        if applies:
            return NotAsked(why, hint)
    return NoAnswer(text, is_stale=isinstance(error, OperationalError | OSError))
