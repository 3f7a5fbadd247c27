"""
The sources of options: flags, variables and files. Each source is a table.

Rule of this file: it reads tables, decides which part of an untrusted file has an effect, and checks no value.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from savemode_cli.config.folders import user_state
from savemode_cli.config.options import OPTIONS
from savemode_cli.config.trust import TrustRecord, TrustStore, folder_file, restricted
from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.core.wire.products import ALIASES, KNOWN_PRODUCTS

MERGED_TABLES = ("products", "aliases", "budgets", "tokens")
"""The tables whose rows are taken from all files."""

TABLES_OF_OPTIONS = ("guard", "alerts")
"""The tables that hold options: each row is the option whose name begins with that of the table."""

_MAX_NAMED = 8  # options in a warning


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """
    A config file and what it decided.
    """

    path: str
    options: tuple[str, ...]
    """The options whose values come from this file, and the tables of which it has rows."""

    trusted: bool = True

    def __str__(self) -> str:
        """
        The file and its options, for people.
        """
        return f"{self.path}{'' if self.trusted else ' (not trusted)'}: {', '.join(self.options)}"


@dataclass(frozen=True, slots=True)
class Untrusted:
    """
    The config file of the working directory, if some of it has no effect because the file is not trusted.
    """

    path: str
    ignored: tuple[str, ...]
    """The options without an effect."""

    changed: bool
    """Whether it was trusted with other content."""

    only_own: bool = False
    """Whether the file is trusted, and these are options that no folder's file can set."""

    @property
    def advice(self) -> str:
        """
        What to do about it.
        """
        if self.only_own:
            return "put them into your own config file (savemode init), or give them as flags"
        return "savemode trust shows what they would do, and asks"

    def __str__(self) -> str:
        """
        What has no effect, and why.
        """
        more = len(self.ignored) - _MAX_NAMED
        names = ", ".join(self.ignored[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        if self.only_own:
            return f"no folder's file can set these options, so {self.path} does not: {names}"
        why = "has changed since it was trusted" if self.changed else "is not trusted"
        return f"{self.path} {why}, so these options of it are ignored: {names}"


@dataclass(frozen=True, slots=True)
class Layer:
    """
    The options of one source.
    """

    source: str
    """`flag`, `environment`, the name of other variables, or a file as it was named."""

    table: dict[str, Any]
    is_file: bool = False
    trusted: bool = True
    budgets: Mapping[str, Any] = field(default_factory=dict)
    """The budgets of a file that is not trusted, by their new names."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """The place of each of these budgets in the file, by its new name."""

    def decided(self, sources: Mapping[str, str]) -> ConfigFile:
        """
        What this file decided.

        Args:
            sources: the source of each option's value.
        """
        options = [name for name in self.table if name in MERGED_TABLES or sources.get(name) == self.source]
        budgets = [f"budget {name}" for name in self.budgets]
        return ConfigFile(absolute(Path(self.source)), (*options, *budgets), trusted=self.trusted)


def file_layer(path: Path, *, must_exist: bool = False) -> Layer:
    """
    Read a config file that needs no trust.

    Args:
        path: the file.
        must_exist: whether it is an error if there is no such file.

    Raises:
        ConfigError: it cannot be read, or does not exist although it must.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        if must_exist:
            raise ConfigError(f"no such config file: {path}", hint="give --config the path of a TOML file") from error
        return Layer(str(path), {}, is_file=True)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {reason(error)}") from error
    return Layer(str(path), parse_toml(content, str(path)), is_file=True)


def folder_layer(here: Path, others: Sequence[Layer]) -> tuple[Layer | None, Untrusted | None]:
    """
    Read the config file of the working directory. If it is not trusted, only part of it has an effect.

    Args:
        here: the path as errors name it.
        others: all other sources.

    Returns:
        The source, and what is ignored. Both are None if there is no such file, the second also if nothing is ignored.

    Raises:
        ConfigError: it cannot be read.
    """
    file = folder_file(here.parent)
    if file is None:
        return None, None
    table = parse_toml(file.content, str(here))
    record = _record(file.path)
    if record is not None and record.digest == file.digest(table):
        only_own = tuple(name for name in table if name in OPTIONS and OPTIONS[name].only_own)
        passed = {name: value for name, value in table.items() if name not in only_own}
        ignored_too = Untrusted(str(file.path), only_own, changed=False, only_own=True) if only_own else None
        return Layer(str(here), passed, is_file=True), ignored_too
    reduced = restricted(file.path, table)
    options, ignored = dict(reduced.table), list(reduced.ignored)
    product = options.get("product")
    if isinstance(product, str) and product.strip() not in _products(others):
        # The product may be in the file's own table, which has no effect.
        ignored.append("product")
        del options["product"]
    layer = Layer(str(here), options, is_file=True, trusted=False, budgets=reduced.budgets, renamed=reduced.renamed)
    return layer, Untrusted(str(file.path), tuple(ignored), changed=record is not None) if ignored else None


def parse_toml(content: bytes, path: str) -> dict[str, Any]:
    """
    Parse the content of a config file.

    Args:
        content: the content.
        path: the path as errors name it.

    Raises:
        ConfigError: it is not TOML.
    """
    import tomllib  # noqa: PLC0415 - takes time, and help does not need it

    try:
        return flat(tomllib.loads(content.decode()), path)
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply", hint="docs/configuration.md has an example") from error
    except ValueError as error:  # not TOML, not UTF-8, or a number that is too long
        raise ConfigError(f"{path} is not TOML: {error}", hint="docs/configuration.md has an example") from error


def flat(table: dict[str, Any], path: str) -> dict[str, Any]:
    """
    The table of a file with the rows of its tables in `TABLES_OF_OPTIONS` as options: `action` in `[guard]` is the option
    `guard_action`.

    Args:
        table: the content of a file.
        path: the path as errors name it.

    Raises:
        ConfigError: it gives an option in both ways.
    """
    for name in TABLES_OF_OPTIONS:
        rows = table.get(name)
        if not isinstance(rows, dict):
            continue
        options = {f"{name}_{key}": value for key, value in rows.items()}
        twice = sorted(options.keys() & table.keys())
        if twice:
            raise ConfigError(f"{path}: {twice[0]} is also in [{name}]", hint="leave out one of them")
        table = {**{key: value for key, value in table.items() if key != name}, **options}
    return table


def trust_store() -> TrustStore:
    """
    The records of trusted files.

    Raises:
        ConfigError: the user's home folder is not known.
    """
    return TrustStore(user_state() / "trusted")


def absolute(path: Path) -> str:
    """
    The absolute path. If the working directory was removed, the path as it is.
    """
    try:
        return os.path.abspath(path)  # noqa: PTH100 - without `..`, and without following links
    except OSError:
        return str(path)


def _record(path: Path) -> TrustRecord | None:
    try:
        return trust_store().record(path)
    except ConfigError:
        return None  # the user's home folder is not known, so nothing was trusted


def _products(layers: Sequence[Layer]) -> set[str]:
    """
    The names of all products without those of the working directory's file.
    """
    return {*KNOWN_PRODUCTS, *ALIASES, *_rows(layers, "products"), *_rows(layers, "aliases")}


def _rows(layers: Sequence[Layer], table: str) -> Iterator[str]:
    for layer in layers:
        rows = layer.table.get(table)
        if isinstance(rows, dict):
            yield from rows
