"""
Which config files of folders are trusted.

Rule of this file: a person trusts a file by its path and its content, after reading both. Nothing in a file can make it
trusted. The records are in the user's state folder, one file for each trusted path.

The `savemode.toml` of a working directory may have been written by another person. If it is not trusted, it may only set
options that cannot send, spend, write or reveal anything: see `restricted`.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from savemode_cli.config.options import OPTIONS, by_risk
from savemode_cli.core.errors import ConfigError, reason

FILE_NAME = "savemode.toml"
MAX_FILE_BYTES = 1024 * 1024
"""The largest config file, and the largest price file that a config file names."""

_BUDGET_TERMS = {
    "budget_window": "window",
    "budget_zone": "zone",
    "budget_scope": "scope",
    "budget_allow_override": "allow_override",
    "budget_unknown": "unknown",
    "budget_action": "action",
    "strict": "strict",
}
"""The options that describe the budget of the option `budget`, and their keys in the table of a budget."""

_SLUG = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_BUDGET_NAME = 64
_MAX_BUDGETS = 8  # each request is checked against each of them


@dataclass(frozen=True, slots=True)
class TrustRecord:
    """
    The record of a file that a person trusted.
    """

    path: str
    """An absolute path. Its folders are not symbolic links."""

    digest: str
    """See `FolderFile.digest`."""

    trusted_at: datetime


@dataclass(frozen=True, slots=True)
class FolderFile:
    """
    The config file of a folder, read once, so that the content that is hashed is the content that is parsed.
    """

    path: Path
    """An absolute path. Its folders are not symbolic links."""

    content: bytes

    def digest(self, table: Mapping[str, Any]) -> str:
        """
        The SHA-256 of the content and of the price file that it names, because a price of zero lifts every limit.

        Args:
            table: the content, parsed.
        """
        digest = sha256(self.content)
        named = table.get("price_file")
        if isinstance(named, str):
            digest.update(sha256(_price_file(self.path.parent / Path(named).expanduser())).digest())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Restricted:
    """
    The part of a file that has an effect although the file is not trusted.
    """

    table: dict[str, Any]
    """The harmless options."""

    budgets: dict[str, Any]
    """The budgets of the file by new names, which no other budget has. Each can only refuse more requests."""

    renamed: dict[str, str]
    """The place of each of these budgets in the file, such as `budget` or `budgets.team`, by its new name."""

    ignored: tuple[str, ...]
    """The options without an effect; those with the highest risk first."""


class TrustStore:
    """
    The records of trusted files.
    """

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: the folder of the records. It is created with the first record.
        """
        self._folder = folder

    def record(self, path: Path) -> TrustRecord | None:
        """
        The record of a path, whatever its file holds now; None if there is none that can be read.
        """
        record = _read_record(self._record_file(path))
        return record if record is not None and record.path == str(path) else None

    def records(self) -> list[TrustRecord]:
        """
        All records, by path.
        """
        records = (_read_record(file) for file in sorted(self._folder.glob("*.json")))
        return sorted((record for record in records if record is not None), key=lambda record: record.path)

    def add(self, path: Path, digest: str, now: datetime) -> None:
        """
        Trust a file with its present content.

        Args:
            path: the file.
            digest: see `FolderFile.digest`.
            now: the time of the record.

        Raises:
            ConfigError: the record cannot be written.
        """
        record_file = self._record_file(path)
        partial = record_file.with_name(f".{record_file.name}.{os.getpid()}")
        value = {"path": str(path), "digest": digest, "trusted_at": now.astimezone(UTC).isoformat()}
        try:
            _make_private(self._folder)
            with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump(value, file)
            partial.replace(record_file)
        except OSError as error:
            raise ConfigError(
                f"cannot write to {self._folder}: {reason(error)}", hint="make the folder writable"
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def remove(self, path: Path) -> bool:
        """
        Stop trusting a path.

        Returns:
            Whether it was trusted.

        Raises:
            ConfigError: the record cannot be removed.
        """
        record_file = self._record_file(path)
        try:
            record_file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"cannot remove {record_file}: {reason(error)}") from error
        return True

    def _record_file(self, path: Path) -> Path:
        return self._folder / f"{sha256(os.fsencode(path)).hexdigest()}.json"


def folder_file(folder: Path) -> FolderFile | None:
    """
    The config file of a folder.

    Returns:
        None if there is none.

    Raises:
        ConfigError: it cannot be read, is not a regular file (reading a pipe might never end), or is too large.
    """
    try:
        path = Path(os.path.realpath(folder)) / FILE_NAME
        # Opening a pipe must not wait for its other end.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {folder / FILE_NAME}: {reason(error)}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ConfigError(f"{path} is not a regular file", hint="remove it, or run savemode in another folder")
    with os.fdopen(handle, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path} is larger than {MAX_FILE_BYTES:,} bytes", hint="make it smaller, or run savemode in another folder"
        )
    return FolderFile(path, content)


def restricted(path: Path, table: Mapping[str, Any]) -> Restricted:
    """
    Reduce a file that is not trusted to what may have an effect.

    Harmless options stay. A budget stays under a new name, in addition to the person's budgets. All budgets must admit a
    request, so another budget can lower what may be spent and never raise it.
    """
    budgets: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    passed = {name: value for name, value in table.items() if name in OPTIONS and OPTIONS[name].harmless}
    used = set(passed)
    if "budget" in table:
        terms = {key: table[name] for name, key in _BUDGET_TERMS.items() if name in table}
        name = _budget_name(path, "")
        budgets[name], renamed[name] = {"limit_usd": table["budget"], **terms}, "budget"
        used |= {"budget", *(name for name in _BUDGET_TERMS if name in table)}
    rows = table.get("budgets")
    if isinstance(rows, dict) and len(rows) <= _MAX_BUDGETS:
        budgets |= {_budget_name(path, name): _without_hint(row) for name, row in rows.items()}
        renamed |= {_budget_name(path, name): f"budgets.{name}" for name in rows}
        used.add("budgets")
    order = [option.name for option in by_risk()]
    ignored = sorted(
        (name for name in table if name not in used),
        key=lambda name: (order.index(name) if name in OPTIONS else len(order), name),
    )
    return Restricted(passed, budgets, renamed, tuple(ignored))


def _without_hint(row: Any) -> Any:
    """
    The table of a budget without `refusal_hint`, because a refusal must not print the words of another person.
    """
    return {key: value for key, value in row.items() if key != "refusal_hint"} if isinstance(row, dict) else row


def _budget_name(path: Path, name: str) -> str:
    """
    A name that shows the folder. It holds a hash of the path, so that no budget of the person has the same name.
    """
    slug = _SLUG.sub("-", path.parent.name)[:20].strip("-_") or "folder"
    full = f"{slug}-{sha256(os.fsencode(path)).hexdigest()[:6]}"
    return full if not name else f"{full}.{_SLUG.sub('-', name)}"[:_MAX_BUDGET_NAME]


def _price_file(path: Path) -> bytes:
    """
    The beginning of a price file; empty if it cannot be read. A larger file is refused when prices are read.
    """
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(MAX_FILE_BYTES)
    return b""


def _read_record(file: Path) -> TrustRecord | None:
    """
    The record in a file; None if it is missing or damaged, and then nothing is trusted.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        record = TrustRecord(value["path"], value["digest"], datetime.fromisoformat(value["trusted_at"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if isinstance(record.path, str) and isinstance(record.digest, str) else None


def _make_private(folder: Path) -> None:
    """
    Create a folder and its parents, so that only the user can read them.
    """
    for parent in reversed([folder, *folder.parents]):
        if not parent.exists():
            parent.mkdir(mode=0o700, exist_ok=True)
