"""
The table of clients, `savemode_cli/clients.toml`, read and checked.

Rule of this file: it is the only reader of the table, and a mistake in it is an error with the row and the key.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

TABLE = Path(__file__).parents[1] / "clients.toml"

ClientKind = Literal["agent", "python", "node"]


class SettingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A file of the client's own that may name another address.
    """

    file: str
    """Its path; `~` is the home folder, and a relative one is below the working directory."""

    keys: tuple[str, ...]
    """Where in it, with dots between the keys."""


class TemporaryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The file that `savemode run` writes for a client that reads its address from a file.
    """

    name: str
    """The file's name in the folder of the run."""

    variable: str = ""
    """The variable that names the file to the client; empty if an argument does."""

    further_variables: dict[str, str] = {}
    """Further variables that keep the run apart from other runs; `{folder}` is the folder of the run."""

    stop: tuple[str, ...] = ()
    """The client's own words that end what it left running in the background; run at the end of the run."""

    arguments: tuple[str, ...] = ()
    """The words that name the file to the client; `{file}` is its path. They stand before the client's own."""

    not_before: tuple[str, ...] = ()
    """First words of the client's own that begin no session, like a subcommand; the file is not given then."""

    not_with: tuple[str, ...] = ()
    """Options of the client's own that name such a file; the person's counts."""

    based_on: str = ""
    """The user's own file, which is copied if it exists."""

    based_on_variables: dict[str, str] = {}
    """Variables that name a folder, and the user's own file in it, in place of `based_on`."""

    without_one: dict[str, Any] = {}
    """The document to begin with where the user has no file."""

    set_if_absent: dict[str, Any] = {}
    """What the document must hold, by its place: see `savemode_cli/clients/documents.py`."""

    set: dict[str, str] = {}
    """What is set in the copy, by its place."""

    text: str = ""
    """The whole content, where it is not a document that is changed."""


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One row; `clients.toml` explains the columns. Texts may hold `{url}`, the proxy's address.
    """

    name: str
    title: str
    kind: ClientKind
    by_hand: str
    key_header: str
    base_url_v1: bool
    commands: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    also_reads: tuple[str, ...] = ()
    user_agents: tuple[str, ...] = ()
    refusal: Literal[400, 402, 403, 429] = 402
    settings: tuple[SettingsFile, ...] = ()
    config: TemporaryConfig | None = None
    tried: str = ""
    attempts: int | None = None
    attempts_429: int | None = None
    seconds_429: float | None = None
    note: str = ""


@cache
def clients() -> tuple[Client, ...]:
    """
    All rows, in the order of the table.
    """
    return read_table(TABLE.read_text(encoding="utf-8"))


def client_named(name: str) -> Client | None:
    """
    The row of this name, title or command, in any case; None if there is none.
    """
    wanted = name.strip().lower()
    return next((one for one in clients() if wanted in {one.name, one.title.lower(), *one.commands}), None)


def refusal_statuses() -> dict[str, int]:
    """
    With which status a permanent refusal is answered, by the beginning of the user agent, in lower case.
    """
    return {agent.lower(): one.refusal for one in clients() for agent in one.user_agents}


def read_table(text: str) -> tuple[Client, ...]:
    """
    The rows of a table.

    Raises:
        ValueError: a row lacks a key, has an unknown one or a value of the wrong type, or a name stands twice.
    """
    rows = msgspec.convert(tomllib.loads(text), _Table).client
    names = [row.name for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"these names occur twice: {', '.join(twice)}")
    return rows


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    client: tuple[Client, ...] = ()
