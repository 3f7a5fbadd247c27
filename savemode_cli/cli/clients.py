"""
`savemode clients`: the clients that savemode recognises, and how to connect each one.

Rule of this file: it prints the table of clients. It searches nothing and starts nothing.
"""

import difflib
from typing import Annotated

import typer

from savemode_cli.cli.screen import console, echo_json


def clients(
    name: Annotated[str | None, typer.Argument(help="Only this client, by its name or its command.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
) -> None:
    """
    List the clients that savemode recognises, how to connect each one, and how it handles a refusal.
    """
    from savemode_cli.clients import table
    from savemode_cli.core.errors import BadInput
    from savemode_cli.views.clients import show, show_all, to_json

    rows = table.clients()
    if name is not None:
        row = table.client_named(name)
        if row is None:
            near = difflib.get_close_matches(name.lower(), [one.name for one in rows], n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise BadInput(f"unknown client: {name!r}", hint=f"{hint}`savemode clients` lists all")
        rows = (row,)
    if as_json:
        echo_json(to_json(rows))
    elif name is None:
        show_all(rows, console())
    else:
        show(rows[0], console())
