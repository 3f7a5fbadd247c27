"""
What a client is given so that it comes to the proxy; the person's own files are read and stay as they are.
"""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from savemode_cli.clients.setup import Prepared, prepared
from savemode_cli.clients.table import clients

URL = "http://127.0.0.1:40000"
CLINE = Path(".cline/data/settings/providers.json")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """
    The person's home folder.
    """
    folder = tmp_path / "person"
    folder.mkdir()
    return folder


def put(file: Path, document: Any) -> Path:
    """
    A file of the person's own.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def run(home: Path, line: str, *, passes_on: bool = False, **environ: str) -> tuple[Prepared, Any]:
    """
    A command made ready, and the content of its file, if it was given one.
    """
    with prepared(line.split(), URL, {"HOME": str(home), **environ}, Path(), passes_on=passes_on) as ready:
        words = [*ready.command, *ready.variables.values()]
        file = next((Path(word) for word in words if "savemode-run-" in word), None)
        if file is None:
            return ready, None
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        text = file.read_text()
    assert not file.parent.exists()
    read: Any = {".json": json.loads, ".yaml": yaml.safe_load}.get(file.suffix, str)(text)
    return ready, read


def test_unknown_command(home: Path) -> None:
    """
    It gets the variable that most clients read, and nothing is said.
    """
    ready, file = run(home, "python script.py")

    assert (ready.command, ready.variables) == (["python", "script.py"], {"ANTHROPIC_BASE_URL": URL})
    assert (ready.client, ready.told, ready.warnings, file) == (None, [], [], None)


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("claude -p x", {"ANTHROPIC_BASE_URL": URL}),
        ("opencode run x", {"ANTHROPIC_BASE_URL": f"{URL}/v1"}),
        ("aider", {"ANTHROPIC_BASE_URL": URL}),
    ],
)
def test_variables(home: Path, line: str, variables: dict[str, str]) -> None:
    """
    The client's variables are set as it wants them, and that is said.
    """
    ready, file = run(home, line)

    assert (ready.command, ready.variables, file) == (line.split(), variables, None)
    (told,) = ready.told
    assert "ANTHROPIC_BASE_URL" in told
    assert URL in told
    assert ready.warnings == []


def test_other_variables_of_the_same_meaning(home: Path) -> None:
    """
    One that is set would win, so it gives way; one that is not set stays unset.
    """
    ready, _ = run(home, "aider", ANTHROPIC_API_BASE="https://relay.example")

    assert ready.variables == {"ANTHROPIC_BASE_URL": URL, "ANTHROPIC_API_BASE": URL}


def test_file_without_one_of_the_persons(home: Path) -> None:
    """
    A client that reads only a file gets one that is whole.
    """
    ready, file = run(home, "cline hello")

    assert file["providers"]["anthropic"]["settings"] == {"provider": "anthropic", "baseUrl": f"{URL}/v1"}
    assert {"version", "lastUsedProvider", "modes"} <= set(file)
    assert list(ready.variables) == ["ANTHROPIC_BASE_URL", "CLINE_PROVIDER_SETTINGS_PATH", "CLINE_HUB_DISCOVERY_PATH"]
    assert "removed at the end" in ready.told[0]
    assert list(home.iterdir()) == []


def test_file_with_one_of_the_persons(home: Path) -> None:
    """
    It is a copy: everything stays but the address, and the person's own file does not change.
    """
    own = {"version": 1, "x": 1, "providers": {"anthropic": {"settings": {"apiKey": "k"}}, "openai": {"settings": {}}}}
    file = put(home / CLINE, own)
    before = file.read_text(), file.stat().st_mtime_ns

    ready, given = run(home, "cline hello")

    assert given["providers"]["anthropic"]["settings"] == {
        "apiKey": "k",
        "provider": "anthropic",
        "baseUrl": f"{URL}/v1",
    }
    assert (given["x"], given["providers"]["openai"]) == (1, {"settings": {}})
    assert (file.read_text(), file.stat().st_mtime_ns) == before
    assert str(file) in ready.told[0]


@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("CLINE_PROVIDER_SETTINGS_PATH", ""),
        ("CLINE_DATA_DIR", "settings/providers.json"),
        ("CLINE_DIR", "data/settings/providers.json"),
    ],
)
def test_persons_file_elsewhere(home: Path, variable: str, below: str) -> None:
    """
    Where a variable names it, that one is copied.
    """
    put(home / CLINE, {"x": "wrong"})
    file = put(home / "elsewhere" / (below or "p.json"), {"x": "right"})

    named: dict[str, Any] = {variable: str(file if not below else home / "elsewhere")}
    _, given = run(home, "cline hello", **named)

    assert given["x"] == "right"


@pytest.mark.parametrize("address", ["https://user:secret@relay.example/secret", "http://127.0.0.1:8787/v1"])
def test_file_that_names_another_address(home: Path, address: str) -> None:
    """
    The key beside it is for that address: it stays, and that is said; with an upstream of the person's choice it gives way.
    """
    put(home / CLINE, {"providers": {"anthropic": {"settings": {"baseUrl": address}}}})

    left, nothing = run(home, "cline hello")
    _, given = run(home, "cline hello", passes_on=True)

    (warning,) = left.warnings
    assert ("relay.example" in warning or "127.0.0.1:8787" in warning, "--upstream" in warning) == (True, True)
    assert "secret" not in warning
    assert (nothing, left.told) == (None, [])
    assert given["providers"]["anthropic"]["settings"]["baseUrl"] == f"{URL}/v1"


@pytest.mark.parametrize("address", ["https://api.anthropic.com/v1", "", 7, "http://["])
def test_file_that_names_no_other_address(home: Path, address: object) -> None:
    """
    The API's own address is the default; what is no address counts for nothing, or is said to be none.
    """
    put(home / CLINE, {"providers": {"anthropic": {"settings": {"baseUrl": address}}}})

    ready, given = run(home, "cline hello")

    assert (given is None) == (address == "http://[") == bool(ready.warnings)


@pytest.mark.parametrize("text", ["{", "[]", "// comment\n{}"])
def test_file_that_cannot_be_read(home: Path, text: str) -> None:
    """
    The command runs all the same, without the proxy, and that is said.
    """
    put(home / CLINE, text)

    ready, given = run(home, "cline hello")

    assert (given, ready.command) == (None, ["cline", "hello"])
    assert "is not sent through savemode" in ready.warnings[0]


def test_arguments(home: Path) -> None:
    """
    Where an argument names the file, it stands before the person's own words.
    """
    ready, given = run(home, "npx -y @earendil-works/pi-coding-agent -p hello")

    words = ready.command
    assert (words[:4], words[5:]) == (["npx", "-y", "@earendil-works/pi-coding-agent", "--extension"], ["-p", "hello"])
    assert f'baseUrl: "{URL}"' in given
    assert "{{" not in given


@pytest.mark.parametrize("line", ["pi install x", "pi auth login", "cline auth", "cn login"])
def test_subcommand(home: Path, line: str) -> None:
    """
    What begins no session is left alone.
    """
    ready, given = run(home, line)

    assert (ready.command, given, ready.told, ready.warnings) == (line.split(), None, [], [])


@pytest.mark.parametrize("line", ["cn --config own.yaml -p hi", "cn -p hi --config=own.yaml"])
def test_file_that_the_person_gives(home: Path, line: str) -> None:
    """
    It counts, and what to put into it is said.
    """
    ready, given = run(home, line)

    assert (ready.command, given) == (line.split(), None)
    assert f"models[provider=anthropic].apiBase: {URL}/v1/" in ready.warnings[0]


def test_yaml(home: Path) -> None:
    """
    Each model of the API gets the address, and the others stay; without a file there is one model.
    """
    own = {"name": "mine", "models": [{"provider": "anthropic", "model": "a"}, {"provider": "ollama", "model": "b"}]}
    _, fresh = run(home, "cn -p hi")
    put(home / ".continue" / "config.yaml", yaml.safe_dump(own))
    _, given = run(home, "cn -p hi")

    assert [one["apiBase"] for one in fresh["models"]] == [f"{URL}/v1/"]
    assert fresh["models"][0]["apiKey"] == "${{ secrets.ANTHROPIC_API_KEY }}"
    assert [one.get("apiBase") for one in given["models"]] == [f"{URL}/v1/", None]
    assert given["name"] == "mine"


def test_settings_that_win(home: Path) -> None:
    """
    A file that counts more than the variable is named, with the host that it leads to and nothing else of it.
    """
    address = "https://user:secret@relay.example:8443/secret"
    put(Path("opencode.json"), {"provider": {"anthropic": {"options": {"baseURL": address}}}})
    put(home / ".config/opencode/opencode.json", {"provider": {"anthropic": {"options": {"baseURL": f"{URL}/v1"}}}})

    ready, _ = run(home, "opencode run hi")

    (warning,) = ready.warnings
    assert "relay.example:8443, by provider.anthropic.options.baseURL in opencode.json" in warning
    assert "secret" not in warning


@pytest.mark.parametrize("client", clients(), ids=lambda one: one.name)
def test_every_row(home: Path, client: Any) -> None:
    """
    Each client that `run` recognises is made ready without a warning, and its texts have their address.
    """
    for command in client.commands:
        ready, _ = run(home, command)

        assert ready.client == client
        assert ready.told
        assert ready.warnings == []
        assert all("{" not in word for word in (*ready.variables.values(), *ready.command, *ready.told))


def test_what_the_client_left_running_is_ended(home: Path) -> None:
    """
    After the run the client is told to stop it, with the variables of the run; not where it was given no file.
    """
    program = put(home / "bin" / "cline", '#!/bin/sh\necho "$@" "$CLINE_HUB_DISCOVERY_PATH" >> "$HOME/called"\n')
    program.chmod(0o700)
    path: dict[str, Any] = {"PATH": f"{program.parent}:/usr/bin:/bin"}

    ready, _ = run(home, f"{program} hello", **path)
    run(home, f"{program} auth", **path)

    hub = ready.variables["CLINE_HUB_DISCOVERY_PATH"]
    assert Path(hub).parent == Path(ready.variables["CLINE_PROVIDER_SETTINGS_PATH"]).parent
    assert (home / "called").read_text() == f"hub stop {hub}\n"


def test_program_that_cannot_stop(home: Path) -> None:
    """
    It is no error, for the run is over.
    """
    program = put(home / "cline", "not a program")

    ready, _ = run(home, f"{program} hello")

    assert ready.client is not None
