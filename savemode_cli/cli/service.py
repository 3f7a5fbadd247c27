"""
`savemode service`: keep `savemode serve` running, by the service manager of the system.

Rule of this file: what the service would refuse at its start is refused here, before a file is written. A service reads the
user's own config file, and no variable of this shell.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli.screen import echo, echo_json
from savemode_cli.core.errors import BadInput, ConfigError

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.service.definition import Manager
    from savemode_cli.views.service import ServiceStatus

_ROOT = Path("/")
"""The working directory of the service."""


def install(
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION ...]", help="Options of savemode serve, such as --port 9000."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A TOML file of options, besides your own config file."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the file of the service, and change nothing.")
    ] = False,
) -> None:
    """
    Run savemode serve now and whenever you log in: a systemd user unit on Linux, a launchd agent on macOS.

    It uses your own config file. Running it again changes the service to what it would be now.
    """
    from savemode_cli.service.definition import service
    from savemode_cli.service.installing import content, manager
    from savemode_cli.service.installing import install as install_service

    found = manager(os.environ, must_exist=not dry_run)
    settings = _settings(options or [], config)
    made = service(sys.executable, options or [], config, os.environ, settings.grace_s)
    unseen = _unseen(os.environ)
    if unseen:
        echo(f"note: the service will not have these variables of your shell: {', '.join(unseen)}", err=True)
        echo(f"  {found.variables_hint}", err=True)
    if dry_run:
        echo(f"{found.file}:", err=True)
        echo(content(found, made).rstrip("\n"))
        return
    _check_port(found, settings)
    changed = install_service(found, made)
    echo(f"{'wrote' if changed else 'unchanged:'} {found.file}", err=True)
    echo(f"savemode serve is running, and starts when you log in; its log: {found.log}", err=True)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if the service is not running.")] = False,
) -> None:
    """
    Show whether the service runs, and where.
    """
    from savemode_cli.cli.screen import say, width_of
    from savemode_cli.service.installing import manager
    from savemode_cli.views.service import rows, to_json

    shown = _status(manager(os.environ))
    if as_json:
        echo_json(to_json(shown))
    else:
        say(sys.stdout, "\n".join(rows(shown, width_of(sys.stdout))))
    if check and not shown.is_running:
        raise typer.Exit(1)


def remove() -> None:
    """
    Stop the service and delete its file. Your config file and your ledger stay.
    """
    from savemode_cli.service.installing import manager
    from savemode_cli.service.installing import remove as remove_service

    found = manager(os.environ)
    if remove_service(found):
        echo(f"stopped savemode serve and deleted {found.file}", err=True)
    else:
        echo(f"nothing to remove: there is no {found.file}", err=True)


def _settings(options: Sequence[str], config: Path | None) -> "Settings":
    """
    The settings that the service will have.

    Raises:
        ConfigError: `serve` would not start with them.
        BadInput: an option contains a password, which would be in the file of the service.
    """
    from savemode_cli.cli.command_group import load as load_command
    from savemode_cli.cli.commands import COMMANDS
    from savemode_cli.config import OPTIONS, load, shown_url
    from savemode_cli.service.definition import service_environment

    line = next(line for line in COMMANDS if line.name == "serve")
    context = load_command(line).make_context("savemode serve", list(options))
    given = {name: value for name, value in context.params.items() if name in OPTIONS and value not in (None, ())}
    if context.params.get("config") is not None:
        raise BadInput("--config stands before --", hint="savemode service install --config FILE -- OPTION ...")
    url = given.get("ledger", "")
    if shown_url(url) != url or any(OPTIONS[name].secret for name in given):
        raise BadInput(
            "the file of a service is not a place for a password", hint="put this option into your own config file"
        )
    flags = {name: _value(name, value) for name, value in given.items()}
    file = None if config is None else config.absolute()
    settings = load(flags, service_environment(os.environ), config=file, folder=_ROOT)
    for name, path in _paths(settings):
        if not path.is_absolute():
            raise ConfigError(
                f"{name} is a relative path: {path}", hint="the service runs in the folder /, so give the whole path"
            )
    return settings


def _value(name: str, value: Any) -> Any:
    from savemode_cli.config import OPTIONS

    return not value if OPTIONS[name].is_negative else value


def _paths(settings: "Settings") -> "Iterator[tuple[str, Path]]":
    """
    The paths among the settings, with the names of their options.
    """
    from savemode_cli.config import OPTIONS
    from savemode_cli.ledgers import file_of

    for option in OPTIONS.values():
        value = getattr(settings, option.attribute, None) if option.attribute else None
        if isinstance(value, Path):
            yield option.name, value
    ledger = file_of(settings.ledger_url)
    if ledger is not None:
        yield "ledger", ledger


def _unseen(environ: Mapping[str, str]) -> list[str]:
    """
    The names of variables that savemode reads here, and that the service will not have.
    """
    from savemode_cli.config import OPTIONS, variables
    from savemode_cli.network import ADDING, REPLACING

    others = {name for option in OPTIONS.values() for name in option.other_variables} | {*REPLACING, *ADDING}
    others |= {name for name in environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")}
    return sorted({*variables(environ), *(name for name in others if environ.get(name))})


def _check_port(manager: "Manager", settings: "Settings") -> None:
    """
    Check that the port is free, unless the service itself runs already.

    Raises:
        ConfigError: another program uses it.
    """
    from savemode_cli.service.installing import installed
    from savemode_cli.serving.server import bind

    manager.reach()
    if installed(manager.file) is None or not manager.state().is_running:
        bind(settings.host, settings.port).close()


def _status(manager: "Manager") -> "ServiceStatus":
    from savemode_cli.config import load
    from savemode_cli.service.definition import State
    from savemode_cli.service.installing import installed
    from savemode_cli.serving.running import health_of, running_proxies
    from savemode_cli.views.service import ServiceStatus

    is_installed = installed(manager.file) is not None
    if is_installed:
        manager.reach()
    state = manager.state() if is_installed else State("not installed", is_running=False, is_enabled=False)
    settings = load({})
    proxy = next((one for one in running_proxies(settings.proxies_folder) if state.pid and one.pid == state.pid), None)
    health = None if proxy is None else health_of(proxy, settings.access_token)
    return ServiceStatus(
        manager=manager.name,
        file=manager.file,
        is_installed=is_installed,
        state=state.words,
        is_running=state.is_running,
        is_enabled=state.is_enabled,
        pid=state.pid,
        url="" if proxy is None else proxy.url,
        requests=None if health is None else health["requests"],
        log=manager.log,
    )
