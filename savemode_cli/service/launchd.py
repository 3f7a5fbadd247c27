"""
The service as an agent of launchd, on macOS.

Rule of this file: `plistlib` writes the file. launchd replaces nothing in it: neither variables nor `~`.

Source: launchd.plist(5) and launchctl(1) of macOS. launchd restarts the proxy also after an error of its config file, but
not more often than every 10 seconds.
"""

import os
import plistlib
import re
from pathlib import Path
from typing import Any

from savemode_cli.core.errors import ServiceUnavailable
from savemode_cli.service.definition import Service, State
from savemode_cli.service.programs import exists, must, run

LABEL = "savemode"
_NOT_LOADED = 113
"""The exit code of `launchctl print` for a service that is not loaded."""
_FACT = re.compile(r"^\t(state|pid|last exit code) = (.*)$", re.MULTILINE)


class Launchd:
    """
    The agents of the user who is logged in on the screen.
    """

    name = "launchd"
    program = "launchctl"
    variables_hint = "give launchd a variable with `launchctl setenv NAME VALUE`, or put options into the config file"

    def __init__(self, home: Path) -> None:
        """
        Args:
            home: the user's home folder.
        """
        self.file = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self._log = home / "Library" / "Logs" / "savemode.log"
        self.log = f"tail -n 20 {self._log}"
        self._domain = f"gui/{os.getuid()}"
        self._target = f"{self._domain}/{LABEL}"

    def content(self, service: Service) -> str:
        """
        The property list. Request lines are not kept, because nothing would ever shorten that file.
        """
        agent: dict[str, Any] = {
            "Label": LABEL,
            "ProgramArguments": list(service.words),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "WorkingDirectory": "/",
            "StandardOutPath": "/dev/null",
            "StandardErrorPath": str(self._log),
            "ExitTimeOut": service.stop_s,
            "Umask": 0o077,
        }
        if service.variables:
            agent["EnvironmentVariables"] = dict(service.variables)
        return plistlib.dumps(agent, sort_keys=False).decode()

    def reach(self) -> None:
        """
        Ask launchd for the domain of this user.

        Raises:
            ServiceUnavailable: there is none.
        """
        done = run("launchctl", "print", self._domain)
        if done.code:
            raise ServiceUnavailable(
                f"launchd has no session for this user: {done.words}",
                hint="log in on the screen of this Mac (not by ssh or sudo), or run `savemode serve` in another way: "
                "`savemode service install --dry-run` prints the agent",
            )

    def check(self, file: Path) -> str:
        """
        What `plutil -lint` says about the file.
        """
        if not exists("plutil"):
            return ""
        done = run("plutil", "-lint", str(file))
        return done.words if done.code else ""

    def start(self, *, changed: bool) -> None:
        """
        Load the agent, which also starts it.
        """
        loaded = self._printed() is not None
        if loaded and changed:
            self._unload()
        must("launchctl", "enable", self._target)
        if changed or not loaded:
            must("launchctl", "bootstrap", self._domain, str(self.file), hint=f"see {self.log}")
        else:
            must("launchctl", "kickstart", self._target)

    def stop(self) -> None:
        """
        Unload the agent, which also stops it.
        """
        if self._printed() is not None:
            self._unload()

    def forget(self) -> None:
        """
        Nothing: launchd reads the folder when the user logs in.
        """

    def state(self) -> State:
        """
        What `launchctl print` says.
        """
        text = self._printed()
        if text is None:
            return State("not loaded", is_running=False, is_enabled=False)
        facts = dict(_FACT.findall(text))
        words, code = facts.get("state", "unknown"), facts.get("last exit code", "0")
        if code[:1] not in ("0", "("):  # "(never exited)"
            words += f", last exit code: {code}"
        pid = facts.get("pid", "")
        return State(
            words,
            is_running=facts.get("state") == "running",
            is_enabled=True,
            pid=int(pid) if pid.isascii() and pid.isdigit() else 0,
        )

    def _printed(self) -> str | None:
        done = run("launchctl", "print", self._target)
        if done.code not in (0, _NOT_LOADED):
            raise ServiceUnavailable(f"launchctl print {self._target} failed: {done.words}")
        return None if done.code else done.out

    def _unload(self) -> None:
        must("launchctl", "bootout", self._target)
