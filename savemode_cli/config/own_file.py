"""
The person's own config file, as `savemode init` writes it.

Rule of this file: what was not chosen is there too, as a comment that can be switched on.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from savemode_cli.config.trust import FILE_NAME
from savemode_cli.core.errors import BadInput, ConfigError, reason
from savemode_cli.private import make_folder

_HEAD = """\
# The options of savemode for you, in every folder. A flag or a variable SAVEMODE_... wins over this file.
# All options: docs/configuration.md. What decides in a folder: savemode doctor.
"""

_EXPLAINED = {
    "budget": (
        '"20"',
        """\
# Refuse new requests once this many US dollars are spent in a calendar month (UTC).
# Other windows, and budgets for people: docs/budgets.md.""",
    ),
    "warn_at": (
        "0.7",
        """\
# Warn once this share of the budget is spent.""",
    ),
    "save": (
        "true",
        """\
# Upgrade the prompt cache of your own conversations from 5 minutes to 1 hour where that is expected to cost less, as
# --save does. It pays when you pause for 5 to 60 minutes. It works on loopback only.""",
    ),
}
"""The options that `init` asks for: an example of the value, and what it does."""


def own_text(chosen: Mapping[str, str]) -> str:
    """
    The content of the file.

    Args:
        chosen: the options that were chosen, by name, with their values as TOML.
    """
    parts = [_HEAD]
    for name, (example, explained) in _EXPLAINED.items():
        line = f"{name} = {chosen[name]}" if name in chosen else f"# {name} = {example}"
        parts.append(f"{explained}\n{line}\n")
    return "\n".join(parts)


def write_own_file(folder: Path, text: str, *, force: bool) -> Path:
    """
    Write the file, which only the person can read, as a whole or not at all.

    Args:
        folder: the person's config folder.
        text: the content.
        force: whether a file that is there gives way; it is kept as `savemode.toml.old`.

    Returns:
        Its path.

    Raises:
        BadInput: it is there, and `force` is false.
        ConfigError: it cannot be written.
    """
    path = folder / FILE_NAME
    partial = path.with_name(f".{FILE_NAME}.{os.getpid()}.partial")
    try:
        make_folder(folder)
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        if force and os.path.lexists(path):
            path.replace(path.with_name(f"{FILE_NAME}.old"))
        _put_in_place(partial, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {reason(error)}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def _put_in_place(partial: Path, path: Path) -> None:
    """
    Give a file its name, by a link and not by a rename: that fails where a file appeared a moment ago.
    """
    try:
        os.link(partial, path)
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", hint="edit it, or add --force to replace it") from error
