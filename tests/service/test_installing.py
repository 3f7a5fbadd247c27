"""
The file of a service is installed and runs, or everything is as it was.
"""

import os
from pathlib import Path

import pytest

from savemode_cli.core.errors import BadInput, ConfigError, ServiceUnavailable
from savemode_cli.service.definition import Service
from savemode_cli.service.installing import content, install, installed, manager, remove
from savemode_cli.service.signature import is_own
from tests.support.service_managers import StandIn, stand_in, tree

SERVICE = Service(("/opt/a b/python", "serve"))
OTHER = Service(("/opt/a b/python", "serve", "--port", "9"))
MANAGERS = ["systemctl", "launchctl"]
STARTED = {
    "systemctl": ["--user daemon-reload", "--user enable savemode.service", "--user restart savemode.service"],
    "launchctl": ["print gui/501/savemode", "enable gui/501/savemode", "bootstrap gui/501 FILE"],
}
STOPPED = {
    "systemctl": [
        "--user disable --now savemode.service",
        "--user daemon-reload",
        "--user reset-failed savemode.service",
    ],
    "launchctl": ["print gui/501/savemode", "bootout gui/501/savemode"],
}
REACHED = {"systemctl": ["--user show-environment"], "launchctl": ["print gui/501"]}


@pytest.fixture(params=MANAGERS)
def program(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, StandIn]:
    """
    Each stand-in as the only manager of the system.
    """
    return request.param, stand_in(request.param, tmp_path, monkeypatch)


def homes() -> dict[str, bytes | None]:
    """
    Everything below the folders in which a file may be written.
    """
    return tree(os.environ["HOME"]) | tree(os.environ["XDG_CONFIG_HOME"])


def calls(stand_in: StandIn, file: Path) -> list[str]:
    """
    The calls since the last time, without the path of the file.
    """
    return [line.replace(str(file), "FILE") for line in stand_in.calls()]


def test_install_and_remove(program: tuple[str, StandIn]) -> None:
    """
    Installing again changes nothing, another definition replaces the file, and removing leaves nothing.
    """
    name, stand_in = program
    before, found = homes(), manager(os.environ)

    assert install(found, SERVICE)
    assert calls(stand_in, found.file) == REACHED[name] + STARTED[name]
    text = found.file.read_text()
    assert is_own(text)
    assert text == content(found, SERVICE) == installed(found.file)
    assert found.file.stat().st_mode & 0o777 == 0o600

    inode = found.file.stat().st_ino
    assert not install(found, SERVICE)
    assert found.file.stat().st_ino == inode
    assert not {"--user restart savemode.service", "bootout gui/501/savemode"} & {*calls(stand_in, found.file)}

    assert install(found, OTHER)
    assert found.file.read_text() == content(found, OTHER)
    stand_in.calls()

    assert remove(found)
    assert calls(stand_in, found.file) == REACHED[name] + STOPPED[name]
    assert not stand_in.has("running")
    assert homes() == before
    assert not remove(found)
    assert calls(stand_in, found.file) == []


@pytest.mark.parametrize("change", ["foreign", "edited", "symlink", "folder", "binary"])
def test_files_of_others(program: tuple[str, StandIn], change: str) -> None:
    """
    Neither installing nor removing touches them, and the manager is not asked for anything.
    """
    found = manager(os.environ)
    found.file.parent.mkdir(parents=True)
    match change:
        case "foreign":
            found.file.write_text("[Service]\nExecStart=/bin/true\n")
        case "edited":
            found.file.write_text(content(found, SERVICE) + "# mine\n")
        case "symlink":
            target = found.file.with_name("target")
            target.write_text(content(found, SERVICE))
            found.file.symlink_to(target)
        case "folder":
            found.file.mkdir()
        case _:
            found.file.write_bytes(b"\xff\xfe")
    before = homes()

    refusal = r"was not written by savemode|cannot read .*is a directory"
    with pytest.raises(BadInput, match=refusal):
        install(found, OTHER)
    with pytest.raises(BadInput, match=refusal):
        remove(found)
    assert homes() == before
    assert program[1].calls() == []


def test_manager_that_does_not_answer(program: tuple[str, StandIn]) -> None:
    """
    Nothing is changed; the error has its words and a way out.
    """
    found, stand_in = manager(os.environ), program[1]
    stand_in.set("unreachable")
    before = homes()
    with pytest.raises(ServiceUnavailable, match=r"No medium found|Could not find domain") as raised:
        install(found, SERVICE)
    assert "--dry-run" in raised.value.hint
    assert homes() == before

    stand_in.drop("unreachable")
    install(found, SERVICE)
    stand_in.set("unreachable")
    before = homes()
    with pytest.raises(ServiceUnavailable):
        remove(found)
    assert homes() == before


def test_service_that_does_not_start(program: tuple[str, StandIn]) -> None:
    """
    A new one leaves nothing; a changed one gives way to the one before.
    """
    found, stand_in = manager(os.environ), program[1]
    stand_in.set("broken")
    before = homes()
    with pytest.raises(ServiceUnavailable, match=r"failed: (Job for|Bootstrap failed)"):
        install(found, SERVICE)
    assert homes() == before
    assert not stand_in.has("enabled")

    stand_in.drop("broken")
    install(found, SERVICE)
    stand_in.set("broken")
    with pytest.raises(ServiceUnavailable):
        install(found, OTHER)
    assert installed(found.file) == content(found, SERVICE)


def test_file_that_the_checker_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is not installed.
    """
    stand_in("systemctl", tmp_path, monkeypatch).set("wrong")
    before = homes()

    with pytest.raises(ServiceUnavailable, match="systemd does not accept the file: 7: Unknown key"):
        install(manager(os.environ), SERVICE)
    assert homes() == before


def test_folder_that_cannot_be_written(program: tuple[str, StandIn]) -> None:
    """
    The error names the file, and nothing is left.
    """
    found = manager(os.environ)
    blocker = found.file.parents[1]
    blocker.parent.mkdir(exist_ok=True)
    blocker.write_text("a file")

    with pytest.raises(BadInput, match=r"cannot write .*savemode"):
        install(found, SERVICE)
    assert blocker.read_text() == "a file"


def test_systems_without_a_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The file can still be printed.
    """
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match="neither systemd nor launchd") as raised:
        manager(os.environ)
    assert "savemode serve" in raised.value.hint
    assert manager(os.environ, must_exist=False).name in ("systemd", "launchd")


def test_unknown_home() -> None:
    """
    Then no file has a place.
    """
    with pytest.raises(ConfigError, match="home folder is not known"):
        manager({"PATH": os.environ["PATH"]})
