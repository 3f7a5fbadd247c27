"""
The agent: a property list, and launchctl's words about it.
"""

import plistlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.errors import ServiceUnavailable
from savemode_cli.service.definition import Service, State
from savemode_cli.service.launchd import Launchd
from tests.support.service_managers import stand_in

HOME = Path("/Users/a")
TEXT = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=20
)


@given(st.lists(TEXT, max_size=4), TEXT)
def test_words_arrive_as_they_are(arguments: list[str], value: str) -> None:
    """
    launchd replaces nothing, so only the XML must be right.
    """
    service = Service(("/opt/a b/$python", *arguments, "%h", "$HOME", "o'b", '"', "<&>"), {"XDG_DATA_HOME": value})
    agent = plistlib.loads(Launchd(HOME).content(service).encode())

    assert agent["ProgramArguments"] == [*service.words]
    assert agent["EnvironmentVariables"] == {"XDG_DATA_HOME": value}


def test_agent() -> None:
    """
    It starts at login, restarts after a failure, and keeps no request lines.
    """
    agent = plistlib.loads(Launchd(HOME).content(Service(("/python",), stop_s=20)).encode())

    assert (agent["Label"], agent["RunAtLoad"], agent["KeepAlive"]) == ("savemode", True, {"SuccessfulExit": False})
    assert (agent["ExitTimeOut"], agent["StandardOutPath"]) == (20, "/dev/null")
    assert "EnvironmentVariables" not in agent
    assert Launchd(HOME).file == HOME / "Library" / "LaunchAgents" / "savemode.plist"


def test_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What `launchctl print` says; a service that is not loaded is not an error.
    """
    manager = stand_in("launchctl", tmp_path, monkeypatch)
    assert Launchd(HOME).state() == State("not loaded", is_running=False, is_enabled=False)

    manager.set("running")
    manager.set("pid", "71")
    assert Launchd(HOME).state() == State("running, last exit code: 3", is_running=True, is_enabled=True, pid=71)

    manager.set("unreachable")
    with pytest.raises(ServiceUnavailable, match=r"launchctl print gui/.*Could not find domain"):
        Launchd(HOME).state()


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    plutil reads the file, where there is one.
    """
    manager = stand_in("launchctl", tmp_path, monkeypatch)
    assert Launchd(HOME).check(tmp_path / "x.plist") == ""

    (manager.folder / "plutil").write_text('#!/bin/sh\necho "$2: Encountered unexpected EOF"\nexit 1\n')
    (manager.folder / "plutil").chmod(0o700)
    assert Launchd(HOME).check(tmp_path / "x.plist").endswith("x.plist: Encountered unexpected EOF")
