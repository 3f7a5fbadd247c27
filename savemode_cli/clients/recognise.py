"""
Which client a command line runs.

Rule of this file: it reads words and nothing else: no file, no PATH. A program that nobody knows is not a client.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath

from savemode_cli.clients.table import Client, clients

_RUNNERS: dict[str, frozenset[str]] = {
    "npx": frozenset(),
    "bunx": frozenset(),
    "uvx": frozenset(),
    "npm": frozenset({"exec", "x"}),
    "pnpm": frozenset({"dlx", "exec"}),
    "yarn": frozenset({"dlx", "exec"}),
    "bun": frozenset({"x", "run"}),
    "pipx": frozenset({"run"}),
    "uv": frozenset({"run", "tool"}),
    "env": frozenset(),
    "nice": frozenset(),
    "time": frozenset(),
    "timeout": frozenset(),
}
"""Programs that run another one, and their words that may stand before its name."""

_MOST_WORDS = 8  # between a runner and the program's name
_PYTHON = re.compile(r"python(\d+(\.\d+)*)?|pypy3?")
_ENDINGS = (".exe", ".cmd", ".bat", ".ps1")
_VERSION = re.compile(r"(?<=.)(@[^/@]*|==.*)$")


@dataclass(frozen=True, slots=True)
class Recognised:
    """
    A client, and where in the command line it stands.
    """

    client: Client
    position: int
    """The number of the word that names it; the client's own words follow."""


def recognise(command: Sequence[str]) -> Recognised | None:
    """
    The client that a command runs: by its program, behind a runner like npx or uvx, or as `python -m PACKAGE`.
    """
    if not command:
        return None
    first = _program(command[0])
    if first in _RUNNERS:
        return _behind(first, command)
    if _PYTHON.fullmatch(first) and "-m" in command[:_MOST_WORDS]:
        return _named(command, command.index("-m") + 1)
    return _named(command, 0)


def _behind(runner: str, command: Sequence[str]) -> Recognised | None:
    for position, word in list(enumerate(command))[1 : _MOST_WORDS + 1]:
        if word.startswith("-") or "=" in word.partition("==")[0] or word in _RUNNERS[runner] or word[:1].isdigit():
            continue
        found = _named(command, position)
        if found is not None or runner not in ("env", "nice", "time", "timeout"):
            return found
        inner = recognise(command[position:])
        return None if inner is None else Recognised(inner.client, inner.position + position)
    return None


def _named(command: Sequence[str], position: int) -> Recognised | None:
    if position >= len(command):
        return None
    program, package = _program(command[position]), _VERSION.sub("", command[position])
    for client in clients():
        if program in client.commands or package in client.packages or package in client.commands:
            # `uvx --from PACKAGE PROGRAM`, `npm exec PACKAGE -- WORDS`
            following = command[position + 1 : position + 2]
            further = bool(following) and package not in client.commands and following[0] in (*client.commands, "--")
            return Recognised(client, position + further)
    return None


def _program(word: str) -> str:
    """
    The name of a program, without its folder and without what Windows adds.
    """
    name = PureWindowsPath(PurePath(word).name).name
    ending = next((one for one in _ENDINGS if name.lower().endswith(one)), "")
    return name[: len(name) - len(ending)]
