"""
What makes Claude Code bypass the proxy: variables and settings that override the base URL.

Rule of this file: it reads the settings of other programs and changes nothing. Of their values it repeats only addresses,
without a user. A file that cannot be read is skipped.

Sources: https://code.claude.com/docs/en/settings and .../env-vars (checked 2026-11-29).
"""

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BASE_URL = "ANTHROPIC_BASE_URL"
PROVIDERS = {
    "CLAUDE_CODE_USE_BEDROCK": "Amazon Bedrock",
    "CLAUDE_CODE_USE_MANTLE": "Amazon Bedrock",
    "CLAUDE_CODE_USE_VERTEX": "Google Cloud",
    "CLAUDE_CODE_USE_FOUNDRY": "Microsoft Foundry",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS": "Claude Platform on AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD": "Claude Platform on Google Cloud",
    "CLAUDE_CODE_USE_GATEWAY": "a gateway of its own settings",
}
"""Variables that choose another provider. Requests then go there and not to the base URL."""

_ADDRESSES = (BASE_URL, "CLAUDE_CODE_API_BASE_URL", "ANTHROPIC_UNIX_SOCKET")
"""Variables that say where requests go. The second and the third override the first."""

_OFF_VALUES = ("", "0", "false", "no", "off")
_MAX_BYTES = 1024 * 1024
_MANAGED_FOLDERS = {"darwin": "/Library/Application Support/ClaudeCode", "linux": "/etc/claude-code"}


@dataclass(frozen=True, slots=True)
class Bypass:
    """
    One reason why requests do not come to the proxy.
    """

    name: str
    """The variable."""
    file: Path | None
    """The settings file that sets it; None for the environment."""
    where: str
    """Where requests go, for people."""

    @property
    def what(self) -> str:
        """
        What is set, and where requests go because of it.
        """
        place = "is set" if self.file is None else f"is set in {self.file}"
        return f"{self.name} {place}: Claude Code sends its requests to {self.where}, not to savemode"

    @property
    def fix(self) -> str:
        """
        What to do about it.
        """
        return f"unset {self.name}" if self.file is None else f"remove {self.name} from {self.file}"


def bypasses(
    environ: Mapping[str, str], own: Collection[str], command: Sequence[str] = (), folder: Path | None = None
) -> list[Bypass]:
    """
    What would make a Claude Code that is started here bypass the proxy.

    Args:
        environ: the variables that it would have, without the base URL.
        own: the addresses of the proxies of savemode.
        command: its command line, if that is known. `--settings` is read.
        folder: the folder in which it is started; None: the working directory.

    Returns:
        The reasons, those of the environment first.
    """
    given = [(name, None, environ[name]) for name in (*PROVIDERS, *_ADDRESSES[1:]) if name in environ]
    set_in: dict[str, tuple[str, Path, str]] = {}
    for file, variables in _settings(environ, command, folder or Path()):
        for name, value in variables.items():
            # The first file that sets a variable overrides the others and the environment.
            set_in.setdefault(name, (name, file, value))
    in_force = [row for row in given if row[0] not in set_in]
    return [
        Bypass(name, file, where)
        for name, file, value in (*in_force, *set_in.values())
        if (where := _where(name, value, own)) is not None
    ]


def _where(name: str, value: str, own: Collection[str]) -> str | None:
    """
    Where a variable sends requests; None if it sends them nowhere, or to a proxy of savemode.
    """
    if value.strip().lower() in _OFF_VALUES:
        return None
    if name in PROVIDERS:
        return PROVIDERS[name]
    if name == "ANTHROPIC_UNIX_SOCKET":
        return "a local socket"
    address = _address(value)
    return None if address in {_address(url) for url in own} else address


def _address(url: str) -> str:
    """
    Host and port of a URL, without a user or a password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "another address"
    host = {"localhost": "127.0.0.1"}.get(parts.hostname or "", parts.hostname or "")
    return f"{host}:{port}" if host and port else "another address"


def _settings(
    environ: Mapping[str, str], command: Sequence[str], folder: Path
) -> Iterator[tuple[Path, dict[str, str]]]:
    """
    The variables of each settings file. A file overrides those after it.
    """
    managed = Path(_MANAGED_FOLDERS.get(sys.platform, _MANAGED_FOLDERS["linux"]))
    yield from _variables_of(sorted(managed.glob("managed-settings.d/*.json"), reverse=True))
    yield from _variables_of([managed / "managed-settings.json"])
    for before, word in zip(("", *command), (*command, ""), strict=True):
        given = word.removeprefix("--settings=") if word.startswith("--settings=") else word
        if before == "--settings" or given is not word:
            # The value is JSON, or the path of a file with JSON.
            inline = given.lstrip().startswith("{")
            yield from [(Path("--settings"), _variables(given))] if inline else _variables_of([folder / given])
    yield from _variables_of([folder / ".claude" / "settings.local.json", folder / ".claude" / "settings.json"])
    home = environ.get("CLAUDE_CONFIG_DIR") or (str(Path(environ["HOME"]) / ".claude") if environ.get("HOME") else "")
    if home:
        yield from _variables_of([Path(home) / "settings.json"])


def _variables_of(files: Sequence[Path]) -> Iterator[tuple[Path, dict[str, str]]]:
    for file in files:
        try:
            if file.is_file() and file.stat().st_size <= _MAX_BYTES:
                yield file, _variables(file.read_text("utf-8-sig"))
        except (OSError, ValueError):
            continue


def _variables(text: str) -> dict[str, str]:
    """
    The variables that matter here, from the text of a settings file.
    """
    try:
        settings: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    env = settings.get("env") if isinstance(settings, dict) else None
    names = (*PROVIDERS, *_ADDRESSES)
    return {name: str(env[name]) for name in names if name in env} if isinstance(env, dict) else {}
