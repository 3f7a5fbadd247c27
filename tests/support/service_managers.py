"""
Programs that stand in for `systemctl` and `launchctl`: they keep the state of one service in files, and write down each call.
"""

import os
import re
from pathlib import Path

import pytest

_SYSTEMCTL = """#!/bin/sh
cd '{folder}' && echo "$@" >> calls
[ -e unreachable ] && {{ echo 'Failed to connect to bus: No medium found' >&2; exit 1; }}
unit="$XDG_CONFIG_HOME/systemd/user/savemode.service"
case "$2" in
  enable) [ -e "$unit" ] || {{ echo 'Unit file savemode.service does not exist.' >&2; exit 1; }}; touch enabled ;;
  disable) rm -f enabled running ;;
  start|restart) [ -e broken ] && {{ echo 'Job for savemode.service failed.' >&2; exit 1; }}; touch running ;;
  show)
    [ -e running ] && echo 'ActiveState=active
SubState=running' || echo 'ActiveState=failed
SubState=failed'
    [ -e enabled ] && echo UnitFileState=enabled || echo UnitFileState=disabled
    [ -e broken ] && echo Result=exit-code || echo Result=success
    echo "MainPID=$(cat pid)" ;;
esac
"""

_LAUNCHCTL = """#!/bin/sh
cd '{folder}' && echo "$@" >> calls
[ -e unreachable ] && {{ echo 'Could not find domain for user gui' >&2; exit 125; }}
case "$1 $2" in
  "print gui/"*/savemode)
    [ -e running ] || {{ echo 'Could not find service' >&2; exit 113; }}
    printf 'gui/501/savemode = {{\\n\\tstate = running\\n\\tpid = %s\\n\\tlast exit code = 3\\n}}\\n' "$(cat pid)" ;;
  "bootstrap "*) [ -e broken ] && {{ echo 'Bootstrap failed: 5: Input/output error' >&2; exit 5; }}; touch running ;;
  "bootout "*) rm running ;;
esac
"""

_CHECKER = """#!/bin/sh
cd '{folder}' && echo "$@" >> checks
[ -e wrong ] && echo "$3:7: Unknown key" >&2
exit 0
"""


class StandIn:
    """
    A stand-in, alone on PATH with the shell's own tools, and what it was asked to do.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """
        Put the program into a folder.

        Args:
            folder: a new folder, for the program and its state.
            name: `systemctl` or `launchctl`.
        """
        self.folder = folder
        folder.mkdir(parents=True)
        programs = {
            "systemctl": {"systemctl": _SYSTEMCTL, "systemd-analyze": _CHECKER},
            "launchctl": {"launchctl": _LAUNCHCTL},
        }
        for program, text in programs[name].items():
            (folder / program).write_text(text.format(folder=folder))
            (folder / program).chmod(0o700)
        for tool in ("touch", "rm", "cat"):
            (folder / tool).symlink_to(f"/bin/{tool}")
        self.set("pid", "0")

    def set(self, name: str, content: str = "") -> None:
        """
        Set a part of its state: unreachable, broken (the service does not start), wrong (the checker finds a fault), pid.
        """
        (self.folder / name).write_text(content)

    def drop(self, name: str) -> None:
        """
        Undo it.
        """
        (self.folder / name).unlink()

    def has(self, name: str) -> bool:
        """
        Whether a part of its state is set: running, enabled.
        """
        return (self.folder / name).exists()

    def calls(self) -> list[str]:
        """
        The calls since the last time, with 501 as the user's ID.
        """
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [re.sub(r"gui/\d+", "gui/501", line) for line in lines]


def stand_in(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """
    A stand-in as the only service manager of this system.
    """
    made = StandIn(folder / "managers", name)
    monkeypatch.setenv("PATH", str(made.folder))
    return made


def tree(folder: str | os.PathLike[str]) -> dict[str, bytes | None]:
    """
    Everything below a folder: the content of files, and None for folders.
    """
    below = sorted(Path(folder).rglob("*"))
    return {str(path): path.read_bytes() if path.is_file() else None for path in below}
