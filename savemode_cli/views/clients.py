"""
The table of clients: on a terminal, as JSON, and as the tables of docs/clients.md.

Rule of this file: everything that it prints comes from the rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.clients.table import Client
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION

URL = "http://127.0.0.1:8787"
"""The default address of `savemode serve`."""

_EXPORT = "export "


def to_json(rows: Sequence[Client]) -> dict[str, Any]:
    """
    The rows for programs: every column under its name in clients.toml, and the command to run as `run`.
    """
    clients = [{"run": run_line(row), **msgspec.to_builtins(row)} for row in rows]
    return {"schema_version": SCHEMA_VERSION, "clients": clients}


def show_all(rows: Sequence[Client], console: Console) -> None:
    """
    Print each client with the command to copy.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("client", "command", "base URL", "tried with"):
        table.add_column(title, no_wrap=title != "tried with", overflow="fold")
    for row in rows:
        table.add_row(*(Text(words) for words in (row.name, run_line(row), _spelling(row), row.tried)))
    console.print(table)
    console.print()
    words = "`savemode clients NAME` shows how to connect one without `savemode run`, and how it handles a refusal."
    console.print(Text(words, style="dim"))


def show(row: Client, console: Console) -> None:
    """
    Print one client. What may be copied stands on a line of its own and is not wrapped.
    """
    console.print(Text(row.title, style="bold"))
    for name, words in _to_copy(row):
        console.print(Text(f"  {name}:", style="dim"))
        console.print(Text(f"    {words}"), soft_wrap=True)
    console.print()
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, words in _facts(row):
        table.add_row(name, Text(words))
    console.print(table)


def run_line(row: Client) -> str:
    """
    The command to copy: the client's own, or an example of a program that uses the library.
    """
    programs = {"python": "python script.py", "node": "node script.js"}
    return f"savemode run -- {row.commands[0] if row.commands else programs[row.kind]}"


def _to_copy(row: Client) -> Iterator[tuple[str, str]]:
    yield "with a proxy of its own", run_line(row)
    by_hand = row.by_hand.format(url=URL)
    where = "in the client's shell" if by_hand.startswith(_EXPORT) else "in the client's config file"
    yield f"with `savemode serve`, {where}", by_hand


def _facts(row: Client) -> Iterator[tuple[str, str]]:
    if row.packages:
        yield "packages", ", ".join(row.packages)
    yield "base URL", f"{_spelling(row)} (the proxy accepts both)"
    yield "API key", f"in the header {row.key_header}"
    yield "refusal", f"status {row.refusal}: {attempts_words(row.attempts)}"
    if row.refusal != 429:
        yield "", f"status 429: {attempts_words(row.attempts_429, row.seconds_429)}"
    yield "tried with", row.tried
    if row.note:
        yield "note", row.note


def _spelling(row: Client) -> str:
    return "with /v1" if row.base_url_v1 else "without /v1"


def attempts_words(attempts: int | None, seconds: float | None = None) -> str:
    """
    How many requests a client makes when it is refused.

    Args:
        attempts: the requests that were counted; None if nobody counted; -1 if it did not give up.
        seconds: until it gave up or was stopped; None if nobody timed it.
    """
    if attempts is None:
        return "not measured"
    if attempts < 0:
        return "still retrying" if seconds is None else f"still retrying after {seconds:g} s"
    counted = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return counted if seconds is None else f"{counted} in {seconds:g} s"


def connect_table(rows: Sequence[Client]) -> str:
    """
    How each client is connected, in Markdown.
    """
    lines = ["| client | tried with | command | or by hand | base URL | API key in |", "|---|---|---|---|---|---|"]
    for row in rows:
        by_hand = row.by_hand.format(url=URL)
        copied = f"`{by_hand}`" if by_hand.startswith(_EXPORT) else by_hand
        cells = (row.title, row.tried, f"`{run_line(row)}`", copied, _spelling(row), f"`{row.key_header}`")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def refusal_table(rows: Sequence[Client]) -> str:
    """
    What each client does when it is refused, in Markdown.
    """
    lines = ["| client | user agent | status | then | with a 429 | note |", "|---|---|---|---|---|---|"]
    for row in rows:
        agents = ", ".join(f"`{agent}`" for agent in row.user_agents) or "see the note"
        status = str(row.refusal) if row.user_agents else "see the note"
        with_429 = attempts_words(row.attempts_429, row.seconds_429)
        lines.append(f"| {' | '.join((row.title, agents, status, attempts_words(row.attempts), with_429, row.note))} |")
    return "\n".join(lines)
