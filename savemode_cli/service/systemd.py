"""
The service as a unit of systemd's user manager.

Rule of this file: every word stands in double quotes, with the escapes of systemd. Three readers undo them in turn: the
parser of quoted words, the specifiers (`%`), and, in a command only, the variables (`$`).

Sources: systemd.syntax(7), systemd.unit(5) "Specifiers", systemd.service(5) "Command lines" (systemd 252). `Type=notify`
makes `systemctl start` wait until the proxy listens, see `ready.py`.
"""

import re
from pathlib import Path

from savemode_cli.core.errors import ServiceUnavailable
from savemode_cli.service.definition import Service, State
from savemode_cli.service.programs import exists, must, run

UNIT = "savemode.service"
_PLAIN = re.compile(r"[^\"'\\$]+")
"""
The paths of programs that can stand in a command as they are: systemd refuses quotes and backslashes there, and replaces
variables in the copy of the path that the program sees.
"""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%"})
_SHELL = '"/bin/sh" "-c" "exec \\"$$0\\" \\"$$@\\""'
_TRY = (
    "log in as this user (not by su or sudo), or set XDG_RUNTIME_DIR=/run/user/$(id -u); "
    "or run `savemode serve` in another way: `savemode service install --dry-run` prints the unit"
)

_TEXT = """\
[Unit]
Description=savemode, a proxy for the Anthropic Messages API
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
ExecStart={command}
{variables}WorkingDirectory=/
Restart=on-failure
RestartSec=2
# 2: the options or the config file are wrong, and another start would not help.
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec={stop_s}
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


class Systemd:
    """
    The user manager of systemd.
    """

    name = "systemd"
    program = "systemctl"
    log = "journalctl --user -u savemode"
    variables_hint = "systemd reads variables for services from ~/.config/environment.d/*.conf"

    def __init__(self, config_home: Path) -> None:
        """
        Args:
            config_home: the user's folder of config files, `~/.config`.
        """
        self.file = config_home / "systemd" / "user" / UNIT

    def content(self, service: Service) -> str:
        """
        The unit.
        """
        program, *arguments = service.words
        # The first word after `-c` is $0 of the shell, which replaces itself with the program.
        words = [_quoted(program)] if _PLAIN.fullmatch(program) else [_SHELL, quoted_argument(program)]
        command = " ".join([*words, *map(quoted_argument, arguments)])
        variables = "".join(
            f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(service.variables.items())
        )
        return _TEXT.format(command=command, variables=variables, stop_s=service.stop_s)

    def reach(self) -> None:
        """
        Ask the manager for its environment.

        Raises:
            ServiceUnavailable: it does not answer.
        """
        done = run("systemctl", "--user", "show-environment")
        if done.code:
            raise ServiceUnavailable(f"systemd does not answer for this user: {done.words}", hint=_TRY)

    def check(self, file: Path) -> str:
        """
        What `systemd-analyze verify` says about this unit. What it says about other units does not matter here.
        """
        if not exists("systemd-analyze"):
            return ""
        lines = run("systemd-analyze", "verify", "--user", str(file)).err.splitlines()
        return "; ".join(line.partition(f"{file.name}:")[2].strip() for line in lines if f"{file.name}:" in line)

    def start(self, *, changed: bool) -> None:
        """
        Enable the unit and start it.
        """
        see = f"see {self.log} -n 20"
        if changed:
            must("systemctl", "--user", "daemon-reload")
        must("systemctl", "--user", "enable", UNIT, hint=f"systemd must read units from {self.file.parent}")
        must("systemctl", "--user", "restart" if changed else "start", UNIT, hint=see)

    def stop(self) -> None:
        """
        Stop the unit and disable it.
        """
        must("systemctl", "--user", "disable", "--now", UNIT)

    def forget(self) -> None:
        """
        Let systemd read its units anew, and drop the state of a unit that failed.
        """
        must("systemctl", "--user", "daemon-reload")
        run("systemctl", "--user", "reset-failed", UNIT)

    def state(self) -> State:
        """
        What `systemctl show` says.
        """
        names = "ActiveState,SubState,MainPID,UnitFileState,Result"
        text = must("systemctl", "--user", "show", UNIT, f"--property={names}").out
        facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        active, result, pid = facts.get("ActiveState", "unknown"), facts.get("Result", ""), facts.get("MainPID", "")
        words = f"{active} ({facts.get('SubState', 'unknown')})"
        if result not in ("", "success"):
            words += f", last result: {result}"
        return State(
            words,
            is_running=active == "active",
            is_enabled=facts.get("UnitFileState") == "enabled",
            pid=int(pid) if pid.isascii() and pid.isdigit() else 0,
        )


def quoted_argument(word: str) -> str:
    """
    A word of a command, as a unit spells it.
    """
    return _quoted(word).replace("$", "$$")


def _quoted(word: str) -> str:
    """
    A word in double quotes.
    """
    return f'"{word.translate(_ESCAPES)}"'
