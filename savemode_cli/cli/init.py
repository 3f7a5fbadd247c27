"""
`savemode init`: the user's own config file, from three questions or from options.

Rule of this file: it asks only on a terminal, and only what no option answers. It replaces an existing file only with
--force.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from savemode_cli.cli.screen import echo
from savemode_cli.core.errors import ConfigError
from savemode_cli.views.printable import printable


def init(
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="USD", help="Refuse requests past this much a month; none: no limit."),
    ] = None,
    warn_at: Annotated[
        str | None, typer.Option("--warn-at", metavar="SHARE", help="Warn at this share of the budget, like 0.7.")
    ] = None,
    save: Annotated[
        bool | None,
        typer.Option("--save/--no-save", help="Upgrade your own conversations to 1 hour where that costs less."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file; the old one is kept beside it.")] = False,
) -> None:
    """
    Write your own savemode.toml, with comments. On a terminal it asks for what no option answers.
    """
    from savemode_cli.config.folders import user_config
    from savemode_cli.config.own_file import own_text, write_own_file
    from savemode_cli.config.trust import FILE_NAME

    folder = user_config()
    if folder is None:
        raise ConfigError("your config folder is not known", hint="set HOME or XDG_CONFIG_HOME")
    _refuse_early(folder / FILE_NAME, force=force)
    asks = sys.stdin.isatty()
    chosen = _chosen(budget, warn_at, save, asks=asks)
    path = write_own_file(folder, own_text(chosen), force=force)
    echo(f"wrote {printable(str(path))}", err=True)
    echo(f"next: savemode run {'' if 'save' in chosen else '--save '}-- claude", err=True)


def _refuse_early(path: Path, *, force: bool) -> None:
    """
    Report an existing file before asking anything.
    """
    import os

    from savemode_cli.core.errors import BadInput

    if os.path.lexists(path) and not force:
        raise BadInput(f"{path} exists already", hint="edit it, or add --force to replace it")


def _chosen(budget: str | None, warn_at: str | None, save: bool | None, *, asks: bool) -> dict[str, str]:
    """
    The options that were chosen, with their values as TOML.
    """
    chosen: dict[str, str] = {}
    budget = _answer(budget, "Most to spend in a month, in US dollars (none: no limit)", "none", _budget, asks=asks)
    if budget != "none":
        chosen["budget"] = f'"{budget}"'
        share = _answer(warn_at, "Warn at which share of it", "0.7", _warn_at, asks=asks)
        chosen["warn_at"] = share
    elif warn_at is not None:
        from savemode_cli.core.errors import BadInput

        raise BadInput("--warn-at is a share of a budget", hint="add --budget")
    if save is None and asks:
        save = typer.confirm(
            "Upgrade the prompt cache of your own conversations to 1 hour where that costs less?",
            default=True,
            err=True,
        )
    return {**chosen, "save": "true"} if save else chosen


def _answer(given: str | None, question: str, default: str, check: Callable[[str], str], *, asks: bool) -> str:
    """
    The value of an option; else what the user enters; else the default. A value that cannot be used is asked for again.

    Raises:
        ConfigError: the value of an option cannot be used.
    """
    if given is not None:
        return check(given)
    while asks:
        said = typer.prompt(question, default=default, err=True)
        try:
            return check(said)
        except ConfigError as error:
            echo(f"{error.message}; {error.hint}", err=True)
    return default


def _budget(text: str) -> str:
    from savemode_cli.config import OPTIONS

    text = text.strip().removeprefix("$")
    if text.lower() in ("", "none"):
        return "none"
    OPTIONS["budget"].checked("--budget", text)
    return text


def _warn_at(text: str) -> str:
    """
    The share for the first warning. It must be below that of the next one.
    """
    from savemode_cli.config import OPTIONS, check_table

    share = OPTIONS["warn_at"].checked("--warn-at", text.strip())
    check_table({"warn_at": share}, "--warn-at")
    return f"{share:g}"
