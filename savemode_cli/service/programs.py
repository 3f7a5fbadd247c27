"""
Runs the programs of a service manager.

Rule of this file: a program that is missing, fails or does not end is an error with the program's own words.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from savemode_cli.core.errors import ServiceUnavailable, reason

_LIMIT_S = 120
"""How long a program may take. systemd waits up to 90 seconds for a service that does not get ready."""


@dataclass(frozen=True, slots=True)
class Done:
    """
    How a program ended.
    """

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """
        What it printed about its failure, in one line.
        """
        return "; ".join((self.err.strip() or self.out.strip() or f"exit code {self.code}").splitlines())


def exists(program: str) -> bool:
    """
    Whether a program is on PATH.
    """
    return shutil.which(program) is not None


def run(*words: str) -> Done:
    """
    Run a program to its end.

    Raises:
        ServiceUnavailable: it cannot be started, or does not end.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServiceUnavailable(f"{shown(words)} did not end within {_LIMIT_S} seconds") from None
    except OSError as error:
        raise ServiceUnavailable(f"cannot run {words[0]}: {reason(error)}") from None
    return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def must(*words: str, hint: str = "") -> Done:
    """
    Run a program that must end with 0.

    Raises:
        ServiceUnavailable: it did not. The message has what it printed.
    """
    done = run(*words)
    if done.code:
        raise ServiceUnavailable(f"{shown(words)} failed: {done.words}", hint=hint)
    return done


def shown(words: Sequence[str]) -> str:
    """
    A command as messages name it.
    """
    return " ".join(words)
