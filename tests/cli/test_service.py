"""
`savemode service`: what it installs, shows and removes, and what it refuses before it writes a file.
"""

import json
import os
import socket
from pathlib import Path

import pytest

from savemode_cli.config.folders import user_config, user_data
from savemode_cli.serving.running import RunningProxy, registered
from tests.support.command import Run, error_line, lines
from tests.support.service_managers import StandIn, stand_in, tree


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """
    A system with systemd, and the user's config file.
    """
    write_config("port = 0\n")
    return stand_in("systemctl", tmp_path, monkeypatch)


def write_config(text: str) -> None:
    """
    Write the user's own config file.
    """
    folder = user_config()
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "savemode.toml").write_text(text)


def unit() -> Path:
    """
    The file that is installed.
    """
    return Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user" / "savemode.service"


def test_from_install_to_remove(savemode: Run, systemd: StandIn) -> None:
    """
    Each step says what it did; the second time there is nothing to do, and afterwards nothing is left.
    """
    before = tree(os.environ["XDG_CONFIG_HOME"])
    for words in ("wrote", "unchanged:"):
        done = savemode("service", "install")
        assert (done.code, done.out) == (0, "")
        assert done.err.splitlines()[0] == f"{words} {unit()}"
        assert "its log: journalctl --user -u savemode" in done.err

    shown = savemode("service", "status", "--check")
    assert (shown.code, lines(shown.out)[0]) == (0, "the service is running")
    assert savemode("service", "remove").err == f"stopped savemode serve and deleted {unit()}\n"
    assert tree(os.environ["XDG_CONFIG_HOME"]) == before
    assert savemode("service", "remove").err == f"nothing to remove: there is no {unit()}\n"
    assert savemode("service", "status", "--check").code == 1


def test_dry_run(savemode: Run, systemd: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The file goes to stdout, and nothing else happens. Options and the folders of this user are in it, and no variable else.
    """
    monkeypatch.setenv("SAVEMODE_ACCESS_TOKEN", "secret-of-sixteen-letters")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy:1")
    before = tree(os.environ["XDG_CONFIG_HOME"])
    own = Path(os.environ["HOME"]) / "a b.toml"
    own.write_text("quiet = true\n")
    done = savemode("service", "install", "--dry-run", "--config", str(own), "--", "--budget", "20", "--no-save")

    assert done.code == 0
    assert f'"serve" "--config" "{own}" "--budget" "20" "--no-save"\n' in done.out
    assert f'Environment="XDG_DATA_HOME={os.environ["XDG_DATA_HOME"]}"\n' in done.out
    assert "secret" not in done.out + done.err
    first, *others = done.err.splitlines()
    assert first == (
        "note: the service will not have these variables of your shell: HTTPS_PROXY, SAVEMODE_ACCESS_TOKEN"
    )
    assert others == ["  systemd reads variables for services from ~/.config/environment.d/*.conf", f"{unit()}:"]
    assert tree(os.environ["XDG_CONFIG_HOME"]) == before
    assert systemd.calls() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "many"), "--port is 'many'"),
        (("--no-such",), "No such option: --no-such"),
        (("--ledger", "redis://:pass@host/0"), "the file of a service is not a place for a password"),
        (("--ledger", "sqlite:///ledger.db"), "ledger is a relative path: ledger.db"),
        (("--price-file", "prices.json"), "price_file is a relative path: prices.json"),
        (("--config", "x.toml"), "--config stands before --"),
    ],
)
def test_options_that_the_service_cannot_have(
    savemode: Run, systemd: StandIn, words: tuple[str, ...], said: str
) -> None:
    """
    They are refused before a file is written.
    """
    assert said in error_line(savemode("service", "install", "--", *words))
    assert not unit().exists()
    assert systemd.calls() == []


@pytest.mark.parametrize(("text", "said"), [("port = 'x'", "port is 'x'"), ("[", "is not TOML")])
def test_config_that_cannot_be_used(savemode: Run, systemd: StandIn, text: str, said: str) -> None:
    """
    The service would not start with it.
    """
    write_config(text)

    assert said in error_line(savemode("service", "install"))
    assert not unit().exists()


def test_folder_of_the_shell_does_not_count(savemode: Run, systemd: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The service runs elsewhere, and without the variables of this shell.
    """
    Path("savemode.toml").write_text("[")
    monkeypatch.setenv("SAVEMODE_PORT", "many")

    assert savemode("service", "install").code == 0


def test_port_in_use(savemode: Run, systemd: StandIn) -> None:
    """
    By another program that is an error; by the service itself it is not.
    """
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in error_line(
            savemode("service", "install", "--", "--port", str(port))
        )
        assert not unit().exists()

        savemode("service", "install")
        assert savemode("service", "install", "--", "--port", str(port)).code == 0


def test_status(savemode: Run, systemd: StandIn) -> None:
    """
    The address is that of the process which the manager names.
    """
    savemode("service", "install")
    systemd.set("pid", str(os.getpid()))
    with registered(user_data() / "proxies", RunningProxy("http://127.0.0.1:9", os.getpid(), "")):
        shown = lines(savemode("service", "status").out)
        data = json.loads(savemode("service", "status", "--json").out)

    assert shown[:3] == [
        "the service is running",
        f"  state     active (running), process {os.getpid()}, starts when you log in",
        "  address   http://127.0.0.1:9, does not answer",
    ]
    assert (data["running"], data["url"], data["requests"]) == (True, "http://127.0.0.1:9", None)
    systemd.drop("running")
    stopped = savemode("service", "status", "--check")
    assert (stopped.code, lines(stopped.out)[0]) == (1, "the service is not running")


@pytest.mark.parametrize("command", ["install", "status", "remove"])
def test_without_a_manager(savemode: Run, systemd: StandIn, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """
    One error with a way out: where the manager does not answer, and where there is none.
    """
    savemode("service", "install")
    systemd.set("unreachable")
    done = savemode("service", command)
    assert "systemd does not answer for this user: Failed to connect to bus" in error_line(done)
    assert "XDG_RUNTIME_DIR" in done.err

    monkeypatch.setenv("PATH", "/no/such/folder")
    assert "neither systemd nor launchd" in error_line(savemode("service", command))
