"""
What the policy `auto` knows about each person, in a file of the user's state folder.

Rule of this file: the file contains amounts, times and digests, and no content. Several proxies may write it: each one
adds its own runs to those in the file.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.core.upgrade.auto import SITUATIONS, History, Run, Situation
from savemode_cli.private import locked, make_folder, replace_file

SCHEMA_VERSION = 1
MAX_FILE_BYTES = 16 * 1024 * 1024

PersonRun = tuple[str, Run]
"""A person and one of their runs. The person is empty if there are no personal access tokens."""


class _RunJson(Struct):
    person: str
    key: str
    situation: Situation
    ended_at: datetime
    five_nusd: int
    hour_nusd: int
    warm_nusd: int | None = None
    """Absent in older files, as `returned` is."""
    returned: list[Annotated[int, Meta(ge=0)]] | None = None

    def __post_init__(self) -> None:
        if self.ended_at.tzinfo is None:
            raise ValueError("a time without a zone")


class _FileJson(Struct):
    schema_version: int
    runs: list[_RunJson]


class AutoHistoryFile:
    """
    The history file.
    """

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: its path. It is created when there is something to write.
        """
        self.path = path

    def read(self) -> dict[str, History]:
        """
        The history of each person; empty if there is no file.

        Raises:
            ConfigError: the file cannot be read, or is not a history file.
        """
        histories: dict[str, History] = {}
        for run in self._runs():
            returned = None if run.returned is None else tuple(run.returned)
            own = Run(run.key, run.situation, run.ended_at, run.five_nusd, run.hour_nusd, run.warm_nusd, returned)
            histories.setdefault(run.person, History()).put(own)
        return histories

    def add(self, runs: Iterable[PersonRun]) -> None:
        """
        Add runs. A run with a known key replaces the earlier one.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        with self._locked():
            histories = self.read()
            for person, run in runs:
                histories.setdefault(person, History()).put(run)
            self._write(histories)

    def forget(self, person: str | None = None) -> int:
        """
        Remove the runs of one person, or of all persons.

        Args:
            person: the person; None removes all runs, also from a damaged file.

        Returns:
            How many runs were removed; -1 if the file could not be read.

        Raises:
            ConfigError: the file cannot be written; or a person is named and the file cannot be read.
        """
        with self._locked():
            if person is not None:
                histories = self.read()
                count = len(histories.pop(person, History()))
                self._write(histories)
                return count
            try:
                count = sum(map(len, self.read().values()))
            except ConfigError:
                count = -1
            self.path.unlink(missing_ok=True)
            return count

    def _runs(self) -> list[_RunJson]:
        try:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError("it is too large")
            content = msgspec.json.decode(self.path.read_bytes(), type=_FileJson)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {reason(error)}", hint="make it readable") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            hint = "to start again: savemode auto forget"
            raise ConfigError(f"{self.path} is damaged and cannot be used", hint=hint) from None
        if content.schema_version != SCHEMA_VERSION:
            raise ConfigError(
                f"{self.path} was written by another version of savemode", hint="to start again: savemode auto forget"
            )
        return content.runs

    def _write(self, histories: dict[str, History]) -> None:
        runs = [
            _RunJson(
                person,
                run.key,
                run.situation,
                run.ended_at,
                run.five_nusd,
                run.hour_nusd,
                run.warm_nusd,
                None if run.returned is None else list(run.returned),
            )
            for person, history in sorted(histories.items())
            for situation in SITUATIONS
            for run in history.runs(situation)
        ]
        try:
            replace_file(self.path, msgspec.json.encode(_FileJson(SCHEMA_VERSION, runs)))
        except OSError as error:
            raise self._unwritable(error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """
        Within this block, no other process writes the file.
        """
        with ExitStack() as stack:
            try:
                make_folder(self.path.parent)
                stack.enter_context(locked(self.path))
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(f"cannot write {self.path}: {reason(error)}", hint="make its folder writable")
