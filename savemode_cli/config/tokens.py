"""
The access tokens of people: the `[tokens]` tables of config files, and the file `tokens.toml` in the user's config folder.

Rule of this file: it holds digests of tokens, and never a token. savemode writes `tokens.toml`, and never rewrites a config
file. A person may write the table into any trusted config file.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from savemode_cli.config.sources import Layer
from savemode_cli.core.budget.personal import check_who
from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.core.wire.access_tokens import AccessTokens

FILE_NAME = "tokens.toml"
_HEAD = """\
# Written by `savemode tokens add` and `savemode tokens revoke`. It has the digest of each person's access token. A token cannot
# be recovered from its digest. A proxy reads this file when it starts.
"""


def check_tokens(place: str, table: object) -> dict[str, str]:
    """
    The digests of a `[tokens]` table, by name.

    Raises:
        ConfigError: it is not a table of names and digests. The error does not repeat values, which may be tokens.
    """
    if not isinstance(table, dict):
        raise ConfigError(
            f"{place} is not a table", hint='write [tokens], and below it lines like alice = "sha256:..."'
        )
    for name, digest in table.items():
        try:
            check_who(name)
            AccessTokens({name: digest if isinstance(digest, str) else ""})
        except ConfigError as error:
            raise ConfigError(f"{place}: {error.message}", hint=error.hint) from None
    return dict(table)


def merged_tokens(layers: Sequence[Layer], user_folder: Path | None) -> AccessTokens:
    """
    The access tokens of all sources. If two sources have the same name, the nearer one counts.

    Args:
        layers: the sources, the nearest first.
        user_folder: the user's config folder; None if it is not known.

    Raises:
        ConfigError: a file cannot be read, or a row is not a name with a digest.
    """
    digests = {} if user_folder is None else read_file(user_folder)
    for layer in reversed(layers):
        digests |= check_tokens(f"{layer.source}: tokens", layer.table.get("tokens", {}))
    return AccessTokens(digests)


def read_file(folder: Path) -> dict[str, str]:
    """
    The digests of `tokens.toml` in the user's config folder, by name; empty if there is no such file.

    Raises:
        ConfigError: it cannot be read, or holds anything else.
    """
    import tomllib  # noqa: PLC0415 - takes time, and help does not need it

    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {reason(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not TOML: {error}", hint="savemode writes this file; rename it, and create the tokens again"
        ) from error
    others = sorted(set(table) - {"tokens"})
    if others:
        raise ConfigError(f"{path}: {others[0]} is not allowed in this file", hint="write options into savemode.toml")
    return check_tokens(f"{path}: tokens", table.get("tokens", {}))


def write_file(folder: Path, digests: Mapping[str, str]) -> Path:
    """
    Write `tokens.toml` as a whole or not at all. Only its owner can read it.

    Args:
        folder: the user's config folder.
        digests: the digests by the names of people.

    Returns:
        The path of the file.

    Raises:
        ConfigError: it cannot be written.
    """
    path = folder / FILE_NAME
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    lines = "".join(f"{line(name, digests[name])}\n" for name in sorted(digests))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(f"{_HEAD}[tokens]\n{lines}")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {reason(error)}") from error
    return path


def line(name: str, digest: str) -> str:
    """
    The line of a `[tokens]` table for one person. The name is quoted if TOML needs it.
    """
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return f"{name if bare else json.dumps(name, ensure_ascii=False)} = {json.dumps(digest)}"
