"""
What the sessions of a trial cost, in a file of the user's state folder.

Rule of this file: the file contains amounts, times and digests, and no content. Only whole lines are appended, so that
several proxies can share the file. An invalid line is counted and ignored.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.core.exchange.trial import TrialRequest
from savemode_cli.core.upgrade.hold_out import Group
from savemode_cli.private import locked, make_folder, open_to_append, replace_file

MAX_FILE_BYTES = 256 * 1024 * 1024
COMPACT_BYTES = 4 * 1024 * 1024
"""A longer file is rewritten when a proxy starts, with one line for each session instead of one for each request."""


class _Line(Struct):
    session: str
    group: Group
    at: datetime
    prompt_tokens: int
    prompt_nusd: int
    requests: int = 1

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a time without a zone")


class TrialFile:
    """
    The file of a trial.
    """

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: its path. It is created with the first request.
        """
        self.path = path
        self.malformed = 0
        """How many lines could not be read so far."""

    def read(self) -> Iterator[TrialRequest]:
        """
        The requests, or their totals by session; empty if there is no file.

        Raises:
            ConfigError: the file cannot be read.
        """
        decoder = msgspec.json.Decoder(_Line)
        for text in self._lines():
            try:
                line = decoder.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
                self.malformed += 1
                continue
            yield TrialRequest(
                line.session, line.group, line.at, line.prompt_tokens, line.prompt_nusd, requests=line.requests
            )

    def add(self, requests: Iterable[TrialRequest]) -> None:
        """
        Append requests.

        Raises:
            ConfigError: the file cannot be written.
        """
        try:
            make_folder(self.path.parent)
            with locked(self.path):
                file = open_to_append(self.path)
                try:
                    _append(file, _encoded(requests))
                finally:
                    os.close(file)
        except OSError as error:
            raise self._unwritable(error) from error

    def compact(self) -> None:
        """
        Rewrite the file if it is longer than `COMPACT_BYTES`.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        try:
            if not self.path.exists() or self.path.stat().st_size <= COMPACT_BYTES:
                return
            with locked(self.path):
                replace_file(self.path, _encoded(_summed(self.read())))
        except OSError as error:
            raise self._unwritable(error) from error

    def _lines(self) -> list[bytes]:
        try:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise ConfigError(f"{self.path} is too large to be read", hint="to start a new trial, delete it")
            return self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {reason(error)}", hint="make it readable") from None

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(f"cannot write {self.path}: {reason(error)}", hint="make its folder writable")


def _encoded(requests: Iterable[TrialRequest]) -> bytes:
    return msgspec.json.Encoder().encode_lines(
        [_Line(one.session, one.group, one.at, one.prompt_tokens, one.prompt_nusd, one.requests) for one in requests]
    )


def _append(file: int, data: bytes) -> None:
    """
    Append all of the data, or nothing.
    """
    written = os.write(file, data)
    if written < len(data):
        os.ftruncate(file, os.fstat(file).st_size - written)
        raise OSError("the disk is full")


def _summed(requests: Iterable[TrialRequest]) -> list[TrialRequest]:
    """
    One total for each session and group, at the time of its first request.
    """
    sums: dict[tuple[str, Group], TrialRequest] = {}
    for request in requests:
        key = request.session, request.group
        before = sums.get(key)
        sums[key] = request if before is None else _added(before, request)
    return list(sums.values())


def _added(first: TrialRequest, second: TrialRequest) -> TrialRequest:
    return TrialRequest(
        first.session,
        first.group,
        min(first.at, second.at),
        first.prompt_tokens + second.prompt_tokens,
        first.prompt_nusd + second.prompt_nusd,
        first.requests + second.requests,
    )
