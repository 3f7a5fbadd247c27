"""
`savemode trust`: let the config file of a folder take effect after the user has seen what it does.

Rule of this file: only content that was shown first is trusted, and exactly that content.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.screen import console, echo, echo_json
from savemode_cli.core.errors import BadInput
from savemode_cli.views.printable import printable

if TYPE_CHECKING:
    from savemode_cli.config.trust import TrustRecord
    from savemode_cli.views.trust import TrustedFile


def trust(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", show_default="this folder", help="The folder that contains savemode.toml."),
    ] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    untrust: Annotated[bool, typer.Option("--untrust", help="Stop trusting the file.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the files that are trusted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Output the list as JSON.")] = False,
) -> None:
    """
    Show what a folder's savemode.toml does, and trust its present content.
    """
    if untrust and listed:
        raise BadInput("--list and --untrust cannot be used together", hint="give one of them")
    if as_json and not listed:
        raise BadInput("--json needs --list", hint="savemode trust --list --json")
    if listed:
        _list(as_json=as_json)
    elif untrust:
        _untrust(folder)
    else:
        _trust(folder, yes=yes)


def _trust(folder: Path, *, yes: bool) -> None:
    from savemode_cli.config import check_table
    from savemode_cli.config.options import by_risk
    from savemode_cli.config.sources import parse_toml, trust_store
    from savemode_cli.config.trust import folder_file
    from savemode_cli.views.trust import show_effects

    file = folder_file(folder)
    if file is None:
        raise BadInput(f"there is no savemode.toml in {folder.absolute()}", hint="give the folder that contains it")
    table = parse_toml(file.content, str(file.path))
    check_table(table, str(file.path))
    digest = file.digest(table)
    effects = {option.name: option.effect for option in by_risk()}
    harmless = [option.name for option in by_risk() if option.harmless]
    show_effects(str(file.path), table, effects, harmless, console())
    record = trust_store().record(file.path)
    if record is not None and record.digest == digest:
        echo("this file is already trusted; to stop trusting it: savemode trust --untrust", err=True)
        return
    if record is not None:
        echo("this file was trusted with different content", err=True)
    if not yes:
        _ask()
    trust_store().add(file.path, digest, datetime.now(UTC))
    echo("trusted until it changes", err=True)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise BadInput(
            "cannot ask for confirmation: stdin is not a terminal", hint="read the list above, then add --yes"
        )
    if not typer.confirm("Trust this file?", err=True):
        echo("not trusted; nothing was changed", err=True)
        raise typer.Exit(1)


def _untrust(folder: Path) -> None:
    import os

    from savemode_cli.config.sources import trust_store
    from savemode_cli.config.trust import FILE_NAME

    path = Path(os.path.realpath(folder)) / FILE_NAME
    if not trust_store().remove(path):
        raise BadInput(f"{path} is not trusted", hint="savemode trust --list")
    echo(f"{printable(str(path))} is no longer trusted", err=True)


def _list(*, as_json: bool) -> None:
    from savemode_cli.config.sources import trust_store
    from savemode_cli.views.trust import files_json, show_files

    files = [_looked_at(record) for record in trust_store().records()]
    if as_json:
        echo_json(files_json(files))
    else:
        show_files(files, console())


def _looked_at(record: "TrustRecord") -> "TrustedFile":
    from savemode_cli.config.sources import parse_toml
    from savemode_cli.config.trust import folder_file
    from savemode_cli.core.errors import ConfigError
    from savemode_cli.views.trust import TrustedFile

    try:
        file = folder_file(Path(record.path).parent)
        if file is None:
            return TrustedFile(record.path, record.trusted_at, "missing")
        same = file.digest(parse_toml(file.content, record.path)) == record.digest
    except ConfigError:
        same = False
    return TrustedFile(record.path, record.trusted_at, "trusted" if same else "changed")
