"""
Installs and removes the file of a service.

Rule of this file: the file is installed and runs, or everything is as it was. A file that savemode did not write, or that
somebody has changed, is not touched.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from savemode_cli.core.errors import BadInput, ConfigError, ServiceUnavailable, reason
from savemode_cli.private import make_folder, write_new
from savemode_cli.service.definition import Manager, Service
from savemode_cli.service.launchd import Launchd
from savemode_cli.service.programs import exists
from savemode_cli.service.signature import is_own, signed
from savemode_cli.service.systemd import Systemd

_DOCTYPE_END = '.dtd">\n'


def manager(environ: Mapping[str, str], *, must_exist: bool = True) -> Manager:
    """
    The service manager of this system: the usual one of the platform, or another one whose program is there.

    Args:
        environ: the variables, which name the folders.
        must_exist: False: the usual one of the platform, if there is none.

    Raises:
        ConfigError: the home folder is not known.
        ServiceUnavailable: there is none.
    """
    home = Path(environ.get("HOME", ""))
    if not home.is_absolute():
        raise ConfigError("your home folder is not known", hint="set HOME")
    given = Path(environ.get("XDG_CONFIG_HOME", ""))
    managers: list[Manager] = [Systemd(given if given.is_absolute() else home / ".config"), Launchd(home)]
    if sys.platform == "darwin":
        managers.reverse()
    found = next((one for one in managers if exists(one.program)), None if must_exist else managers[0])
    if found is None:
        raise ServiceUnavailable(
            "this system has neither systemd nor launchd",
            hint="let another supervisor run `savemode serve`; `savemode service install --dry-run` prints a unit of systemd "
            "with the command",
        )
    return found


def content(manager: Manager, service: Service) -> str:
    """
    The content of the file, signed.
    """
    text = manager.content(service)
    if manager.name == "launchd":
        head, mark, _ = text.partition(_DOCTYPE_END)
        return signed(text, after=head + mark, comment=("<!-- ", " -->"))
    return signed(text)


def installed(file: Path) -> str | None:
    """
    The content of the file that savemode wrote; None if there is no file.

    Raises:
        BadInput: savemode did not write it, or it cannot be read.
    """
    if not os.path.lexists(file):
        return None
    try:
        text = None if file.is_symlink() else file.read_bytes().decode()
    except UnicodeDecodeError:
        text = None
    except OSError as error:
        raise BadInput(f"cannot read {file}: {reason(error)}") from None
    if text is None or not is_own(text):
        raise BadInput(
            f"{file} was not written by savemode, or was changed since",
            hint="savemode does not touch it: move it away, then run this command again",
        )
    return text


def install(manager: Manager, service: Service) -> bool:
    """
    Write the file, and run the service now and at every login.

    Returns:
        Whether the file is new or has changed.

    Raises:
        BadInput: there is a file that savemode did not write.
        ServiceUnavailable: the manager refuses. Then everything is as it was.
    """
    text, before = content(manager, service), installed(manager.file)
    manager.reach()
    if text == before:
        manager.start(changed=False)
        return False
    _check(manager, text)
    made = _write(manager.file, text)
    try:
        manager.start(changed=True)
    except (ServiceUnavailable, KeyboardInterrupt):
        _undo(manager, before, made)
        raise
    return True


def remove(manager: Manager) -> bool:
    """
    Stop the service and delete the file, and the folders of the manager if they are empty then.

    Returns:
        Whether there was one.

    Raises:
        BadInput: savemode did not write the file.
        ServiceUnavailable: the manager refuses. Then the file is still there.
    """
    if installed(manager.file) is None:
        return False
    manager.reach()
    manager.stop()
    _delete(manager.file, list(manager.file.parents)[:2])
    manager.forget()
    return True


def _check(manager: Manager, text: str) -> None:
    """
    Let the manager's own checker read the file before it is installed.

    Raises:
        ServiceUnavailable: it found something wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / manager.file.name
        file.write_text(text, encoding="utf-8")
        problem = manager.check(file)
    if problem:
        raise ServiceUnavailable(
            f"{manager.name} does not accept the file: {problem}", hint="`savemode service install --dry-run` prints it"
        )


def _write(file: Path, text: str) -> list[Path]:
    """
    Write a file, as a whole or not at all.

    Returns:
        The folders that were made for it, the innermost first.
    """
    made = [folder for folder in file.parents if not folder.exists()]
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        make_folder(file.parent)
        write_new(partial, text.encode())
        partial.replace(file)
    except OSError as error:
        with suppress(BadInput):
            _delete(partial, made)
        raise BadInput(f"cannot write {file}: {reason(error)}") from None
    return made


def _undo(manager: Manager, before: str | None, made: list[Path]) -> None:
    """
    Put the file back as it was. The error that led here is the one to report, so further errors of the manager are not.
    """
    if before is not None:
        _write(manager.file, before)
        with suppress(ServiceUnavailable):
            manager.start(changed=True)
        return
    with suppress(ServiceUnavailable):
        manager.stop()
    _delete(manager.file, made)
    with suppress(ServiceUnavailable):
        manager.forget()


def _delete(file: Path, folders: list[Path]) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"cannot delete {file}: {reason(error)}") from None
    with suppress(OSError):  # a folder that holds something else stays
        for folder in folders:
            folder.rmdir()
