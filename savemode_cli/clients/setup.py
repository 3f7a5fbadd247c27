"""
What `savemode run` gives a client so that its requests come to the proxy: variables, and a temporary file where it reads none.

Rule of this file: the user's own files are read and never written. What is written lies in the folder of the run.
"""

import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from savemode_cli.clients.documents import parse, values_at, with_value, write
from savemode_cli.clients.recognise import Recognised, recognise
from savemode_cli.clients.table import Client, TemporaryConfig

_OWN_API = "api.anthropic.com"
_MOST_BYTES = 4 * 1024 * 1024  # of a client's own file
_MOST_S_TO_STOP = 30


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a command runs: its variables, its working directory, and the folder for what is written for it.
    """

    environ: Mapping[str, str]
    folder: Path
    temporary: Path

    def file(self, path: str) -> Path:
        """
        A path of the table: `~` is the home folder, and a relative one is below the working directory.
        """
        home = self.environ.get("HOME") or self.environ.get("USERPROFILE") or os.path.expanduser("~")  # noqa: PTH111
        return Path(home, path[2:]) if path.startswith("~/") else self.folder / path


@dataclass(slots=True)
class Prepared:
    """
    A command as it is to be started.

    `variables` come on top of its environment. `told` are sentences about what was done, `warnings` about what leads the
    client elsewhere.
    """

    command: list[str]
    client: Client | None = None
    variables: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@contextmanager
def prepared(
    command: Sequence[str], url: str, environ: Mapping[str, str], folder: Path, *, passes_on: bool
) -> "Iterator[Prepared]":
    """
    A command ready to be started; see `prepare`. What was written for it is removed at the end of the block.
    """
    recognised = recognise(command)
    if recognised is None or recognised.client.config is None:
        yield prepare(recognised, command, url, Place(environ, folder, folder), passes_on=passes_on)
        return
    with tempfile.TemporaryDirectory(prefix="savemode-run-") as temporary:
        place = Place(environ, folder, Path(temporary))
        ready = prepare(recognised, command, url, place, passes_on=passes_on)
        try:
            yield ready
        finally:
            _stop(recognised, ready, command, environ)


def prepare(
    recognised: Recognised | None, command: Sequence[str], url: str, place: Place, *, passes_on: bool
) -> Prepared:
    """
    What a command needs so that it comes to the proxy.

    Args:
        recognised: the client that the command runs, if it is one of the table.
        command: its words.
        url: the proxy's address.
        place: where it runs.
        passes_on: whether the proxy goes on to an upstream that the person chose. Then an address in the client's own
            file gives way to the proxy's; else it is left alone, for the credentials beside it are for that address.
    """
    client = None if recognised is None else recognised.client
    prepared = Prepared(list(command), client, {"ANTHROPIC_BASE_URL": url})
    if recognised is None or client is None:
        return prepared
    for name, value in client.variables.items():
        prepared.variables[name] = value.format(url=url)
    prepared.variables |= {name: url for name in client.also_reads if place.environ.get(name)}
    if client.config is None:
        names = " and ".join(prepared.variables)
        prepared.told.append(f"{client.title} reads {names}, set to {url}")
    else:
        _add_config(prepared, recognised, client.config, url, place, passes_on=passes_on)
    prepared.warnings += settings_that_win(client, [url], place)
    return prepared


def _add_config(
    prepared: Prepared, recognised: Recognised, config: TemporaryConfig, url: str, place: Place, *, passes_on: bool
) -> None:
    client, own_words = recognised.client, prepared.command[recognised.position + 1 :]
    if own_words and own_words[0] in config.not_before:
        return
    given = next((word for word in own_words if word.partition("=")[0] in config.not_with), None)
    if given is not None:
        prepared.warnings.append(
            f"{client.title} already gets {given}, so savemode adds no file; put {_values(config, url)} into that one"
        )
        return
    base = _base(config, place)
    try:
        document = _document(config, base)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        prepared.warnings.append(f"{client.title} is not sent through savemode: {base} cannot be read: {reason}")
        return
    elsewhere = [host for key in config.set for value in values_at(document, key) if (host := _host(value, [url]))]
    if elsewhere and not passes_on:
        prepared.warnings.append(
            f"{client.title} goes to {elsewhere[0]}, by {base}: its requests do not come to savemode. To send them through "
            f"savemode and on to there, add --upstream with that address"
        )
        return
    file = place.temporary / config.name
    _write_privately(file, config.text.format(url=url) if config.text else _changed(config, document, url))
    if config.variable:
        prepared.variables[config.variable] = str(file)
    for name, value in config.further_variables.items():
        prepared.variables[name] = value.format(folder=place.temporary)
    at = recognised.position + 1
    prepared.command[at:at] = [word.format(file=file) for word in config.arguments]
    like = f", a copy of {base} with the proxy's address" if base is not None and base.is_file() else ""
    prepared.told.append(f"{client.title} reads its base URL from a file: it is given {file}{like}, removed at the end")


def _stop(recognised: Recognised, ready: Prepared, command: Sequence[str], environ: Mapping[str, str]) -> None:
    """
    End what the client left running: it would serve later runs with variables of this run, whose file is gone.
    """
    config = recognised.client.config
    if config is None or not config.stop or config.variable not in ready.variables:
        return
    words = [*command[: recognised.position + 1], *config.stop]
    quiet = subprocess.DEVNULL
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603 - the client that the person ran
            words,
            env={**environ, **ready.variables},
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            timeout=_MOST_S_TO_STOP,
            check=False,
        )


def _base(config: TemporaryConfig, place: Place) -> Path | None:
    """
    The user's own file, whether or not it exists.
    """
    named = place.environ.get(config.variable, "") if config.variable else ""
    if named:
        return Path(named)
    for variable, below in config.based_on_variables.items():
        if place.environ.get(variable):
            return Path(place.environ[variable]) / below
    return place.file(config.based_on) if config.based_on else None


def _document(config: TemporaryConfig, base: Path | None) -> Any:
    """
    The user's own document, or the one to begin with.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what its name says, or too long.
    """
    if base is None or not base.exists():
        return config.without_one
    if base.stat().st_size > _MOST_BYTES:
        raise ValueError("it is too long")
    document = parse(base.read_text("utf-8-sig"), base.name)
    if not isinstance(document, dict):
        raise ValueError("it is not a table")
    return document


def _changed(config: TemporaryConfig, document: Any, url: str) -> str:
    for place, value in config.set_if_absent.items():
        document = with_value(document, place, value, only_absent=True)
    for place, value in config.set.items():
        document = with_value(document, place, value.format(url=url))
    return write(document, config.name)


def _values(config: TemporaryConfig, url: str) -> str:
    return " and ".join(f"{place}: {value.format(url=url)}" for place, value in config.set.items())


def settings_that_win(client: Client, own: Collection[str], place: Place) -> list[str]:
    """
    Warnings about the client's own files that name another address and win over what `run` sets.

    Args:
        client: the row.
        own: the addresses of savemode's proxies.
        place: where the client runs.
    """
    warnings = []
    for settings in client.settings:
        file = place.file(settings.file)
        try:
            document = parse(file.read_text("utf-8-sig"), file.name) if file.stat().st_size <= _MOST_BYTES else None
        except (OSError, ValueError):
            continue
        for key in settings.keys:
            hosts = [host for value in values_at(document, key) if (host := _host(value, own))]
            if hosts:
                warnings.append(
                    f"{client.title} goes to {hosts[0]}, by {key} in {file}: its requests do not come to savemode"
                )
    return warnings


def _host(value: Any, own: Collection[str]) -> str:
    """
    The host of an address that is neither a proxy of savemode nor the API; else empty. User and path may be secret.
    """
    if not isinstance(value, str):
        return ""
    try:
        parts = urlsplit(value.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "an address that cannot be read"
    if host in ("", _OWN_API) or (host, port) in [(one.hostname, one.port) for one in map(urlsplit, own)]:
        return ""
    return host if port is None else f"{host}:{port}"


def _write_privately(file: Path, text: str) -> None:
    """
    A new file that only its owner can read: a copy of a client's file may hold a key.
    """
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:  # noqa: PTH123
        out.write(text)
