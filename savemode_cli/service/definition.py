"""
What a service manager is told to run, and what a manager can do.

Rule of this file: it defines types. How a manager spells them is in the file of that manager.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from savemode_cli.core.errors import ConfigError

FOLDER_VARIABLES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
"""The variables that decide where the user's config file and ledger are. A service manager may not have them."""

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and what Python makes of bytes that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Service:
    """
    The program to run, and its surroundings.
    """

    words: tuple[str, ...]
    """The absolute path of the program, and its arguments."""
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Variables of its environment. None of them is a secret: the file of a service is not a place for secrets."""
    stop_s: int = 45
    """How long it may take to stop, in seconds. After that it is killed."""

    def __post_init__(self) -> None:
        """
        Check that a file can contain every word.

        Raises:
            ConfigError: a word is not UTF-8, or has a line break or another control character.
        """
        for word in (*self.words, *self.variables.values()):
            if _UNWRITABLE.search(word):
                raise ConfigError(
                    f"{word!a} has a character that the file of a service cannot contain",
                    hint="rename the file or the folder",
                )


def service(
    python: str, options: Sequence[str], config: Path | None, environ: Mapping[str, str], grace_s: float
) -> Service:
    """
    The service that runs `savemode serve`.

    Args:
        python: the interpreter that has savemode.
        options: further options of `savemode serve`.
        config: the file of `--config`; None for the user's own config file.
        environ: the environment, of which the service gets `FOLDER_VARIABLES`.
        grace_s: how long running requests may go on when the proxy stops, in seconds.
    """
    chosen = [] if config is None else ["--config", str(config.absolute())]
    # -P: without it, Python would look for modules in the working directory first.
    words = (python, "-P", "-m", "savemode_cli", "serve", *chosen, *options)
    return Service(words, service_environment(environ), round(grace_s) + _SHUTDOWN_S)


def service_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    The variables of an environment that a service gets.
    """
    return {name: environ[name] for name in FOLDER_VARIABLES if Path(environ.get(name, "")).is_absolute()}


_SHUTDOWN_S = 15
"""How long the proxy may take to stop after the last request: it stores captures and sends events."""


@dataclass(frozen=True, slots=True)
class State:
    """
    What a service manager says about the service.
    """

    words: str
    """Its state in the manager's words, such as `active (running)`."""
    is_running: bool
    is_enabled: bool
    """Whether it starts when the user logs in."""
    pid: int = 0
    """Its process; 0 without one."""


class Manager(Protocol):
    """
    A service manager. Every method but `content` may raise ServiceUnavailable.
    """

    name: str
    """`systemd` or `launchd`."""
    program: str
    """The program that controls it, such as `systemctl`."""
    file: Path
    """The file of the service."""
    log: str
    """The command that prints what the service printed."""
    variables_hint: str
    """How a user gives variables to services."""

    def content(self, service: Service) -> str:
        """
        The content of the file, without a signature.
        """

    def reach(self) -> None:
        """
        Check that the manager answers.
        """

    def check(self, file: Path) -> str:
        """
        What the manager's own checker finds wrong with a file; "" if it finds nothing, or if there is no checker.
        """

    def start(self, *, changed: bool) -> None:
        """
        Run the service now and at every login.

        Args:
            changed: whether the file is new or has changed, so that a service that runs must be restarted.
        """

    def stop(self) -> None:
        """
        Stop the service, and do not start it any more. A service that does not run is not an error.
        """

    def forget(self) -> None:
        """
        Let the manager notice that the file is gone.
        """

    def state(self) -> State:
        """
        The state of the service.
        """
