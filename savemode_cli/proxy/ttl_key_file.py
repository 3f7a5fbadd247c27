"""
Experiments and their verdicts, in a file of the user's state folder.

Rule of this file: it contains models, times and counts, and no content.
"""

from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.core.upgrade.ttl_key import TtlKeyVerdict
from savemode_cli.private import make_folder, replace_file

SCHEMA_VERSION = 1
_MOST_FILE_BYTES = 1024 * 1024
_MOST_VERDICTS = 100


class TtlKeyState(Struct):
    """
    What is in the file.
    """

    schema_version: int = SCHEMA_VERSION
    asked_at: datetime | None = None
    """Since when a proxy is asked to make the experiment; None if it is not."""
    verdicts: list[TtlKeyVerdict] = field(default_factory=list)
    """The oldest first."""

    def latest(self) -> dict[str, TtlKeyVerdict]:
        """
        The latest clear verdict on each model.
        """
        return {verdict.model: verdict for verdict in self.verdicts if verdict.outcome != "unclear"}


class TtlKeyFile:
    """
    The file.
    """

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: where it is. It is made when there is something to write.
        """
        self.path = path

    def changed_at(self) -> int:
        """
        When it was written, as a number that only tells versions apart; 0 without a file.
        """
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0

    def read(self) -> TtlKeyState:
        """
        What is in it.

        Raises:
            ConfigError: it cannot be read, or is not one of these.
        """
        try:
            if self.path.stat().st_size > _MOST_FILE_BYTES:
                raise ValueError("it is too large")
            state = msgspec.json.decode(self.path.read_bytes(), type=TtlKeyState)
            if state.schema_version != SCHEMA_VERSION:
                raise ValueError("another version")
        except FileNotFoundError:
            return TtlKeyState()
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {reason(error)}", hint="make it readable") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            raise ConfigError(f"{self.path} is damaged", hint="to begin anew, delete it") from None
        return state

    def ask(self, now: datetime | None) -> None:
        """
        Ask the next proxy to make the experiment, or no proxy any more.

        Args:
            now: the time; None to ask no more.
        """
        state = self.read()
        state.asked_at = now
        self._write(state)

    def add(self, verdict: TtlKeyVerdict) -> None:
        """
        Add a verdict. A clear one ends the experiment.
        """
        state = self.read()
        state.verdicts = [*state.verdicts, verdict][-_MOST_VERDICTS:]
        if verdict.outcome != "unclear":
            state.asked_at = None
        self._write(state)

    def _write(self, state: TtlKeyState) -> None:
        try:
            make_folder(self.path.parent)
            replace_file(self.path, msgspec.json.encode(state))
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {reason(error)}", hint="make its folder writable") from error
