"""
`savemode tokens`: the people who have an access token for a proxy.

Rule of this file: a token is printed once, when it is created, and is not stored. Its digest is stored.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.budget import AsJson
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.opened_ledger import ask_proxies, opened_ledger
from savemode_cli.cli.screen import console, echo, echo_json
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of the person, as budgets use it, for example alice.")
]


def add(
    name: Name,
    print_only: Annotated[
        bool, typer.Option("--print", help="Write no file; print the line for the config file of another machine.")
    ] = False,
) -> None:
    """
    Create a person's access token, print it once, and store its digest in your config folder.
    """
    import secrets

    from savemode_cli.config.tokens import line, read_file, write_file
    from savemode_cli.core.budget.personal import check_who
    from savemode_cli.core.wire.access_tokens import digest_of

    check_who(name)
    token = f"smt_{secrets.token_urlsafe(32)}"
    digest = digest_of(token)
    where = "no file was written; add this line to the config file of the proxy, below [tokens]:"
    if not print_only:
        folder = _folder()
        digests = read_file(folder)
        if name in digests:
            raise BadInput(f"{name} already has a token", hint=f"revoke it first: savemode tokens revoke {name}")
        where = f"its digest is in {write_file(folder, {**digests, name: digest})}, below [tokens]:"
    _say(f"{name}'s token is below. It is printed only now and stored nowhere: give it to {name}.")
    echo(token)
    _say(f"{where}\n  {line(name, digest)}")
    _say(
        "restart a running proxy, so that it knows the token\n"
        "clients send it as the header x-savemode-token; Claude Code with\n"
        f"  export ANTHROPIC_CUSTOM_HEADERS='x-savemode-token: {token}'"
    )


def list_tokens(flags: Flags, as_json: AsJson = False) -> None:
    """
    List the people who have an access token, with what each spent in the current windows and what is left.

    Budgets of the scopes token and user are for each person. The others are in `savemode budget show`.
    """
    from datetime import UTC, datetime

    from savemode_cli.core.budget.people import people

    names = flags.settings().tokens.names
    if not names:
        _say("nobody has a token; to create one: savemode tokens add NAME")
        if not as_json:
            return
    now = datetime.now(UTC)
    with opened_ledger(flags, missing="empty") as (settings, ledger):
        found = people(names, ask_proxies(settings, ledger).in_force, ledger, now)
    if as_json:
        from savemode_cli.config import shown_url
        from savemode_cli.views.people import to_json

        echo_json(to_json(found, shown_url(settings.ledger_url), now))
        return
    from savemode_cli.views.people import show

    show(found, console(), now)
    if not any(one.lines for one in found):
        _say("no budget is for each person; to set one: savemode budget set person 80 --scope token")


def revoke(name: Name) -> None:
    """
    Revoke a person's access token. A proxy that starts afterwards refuses it.
    """
    from savemode_cli.config import load
    from savemode_cli.config.tokens import read_file, write_file

    folder = _folder()
    digests = read_file(folder)
    if name not in digests:
        elsewhere = name in load({}).tokens.names
        hint = (
            "remove its line from your config file"
            if elsewhere
            else f"people with a token: {', '.join(digests) or 'nobody'}"
        )
        raise BadInput(f"savemode wrote no token for {name}", hint=hint)
    del digests[name]
    write_file(folder, digests)
    _say(f"{name}'s token is revoked; restart a running proxy, so that it refuses the token")


def _folder() -> "Path":
    from savemode_cli.config.folders import user_config

    folder = user_config()
    if folder is None:
        raise BadInput("your config folder is not known", hint="set HOME or XDG_CONFIG_HOME, or use --print")
    return folder


def _say(text: str) -> None:
    echo(text, err=True)
